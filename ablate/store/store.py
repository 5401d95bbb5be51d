"""A store of trials in a folder: the truth about what ran, shared by every study that plans the same trials."""

import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ablate.errors import StoreError
from ablate.store.checkpoints import Checkpoint, Checkpoints
from ablate.store.files import (
    append_line,
    decode_metrics,
    encode_metrics,
    flush,
    json_text,
    read_json,
    replacing,
    write_json,
)
from ablate.store.record import Record, RunFacts, read_record, record_content
from ablate.trial import Outcome, Report, Resources, Status, TrialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One point of a trial's curves, and the attempt that wrote it."""

    step: int
    attempt: int
    metrics: Mapping[str, float]


class Store:
    """Trials under `root/trials/<id>/`.

    Every start of a trial claims the next attempt number, and every write carries the number of its attempt: one that
    a newer claim has overtaken is refused with `StoreError`. So a worker that was cut off from the network, and whose
    trial was started again elsewhere, can spoil nothing when it comes back.

    Args:
        root: Folder of the store; made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()

    def folder(self, trial_id: str) -> Path:
        """Give the folder of a trial."""
        return self.root / "trials" / trial_id

    def artifacts(self, trial_id: str) -> Path:
        """Give the folder of the files that a trial made."""
        return self.folder(trial_id) / "artifacts"

    def log_path(self, trial_id: str) -> Path:
        """Give the path of what a trial printed, its traceback included."""
        return self.folder(trial_id) / "log.txt"

    def write_spec(self, spec: TrialSpec) -> None:
        """Keep what decides a trial, and its resources; once it is there as it is, nothing is written.

        The disk has it for sure when the first attempt is claimed. What a crash of the machine tore before that is
        written anew.

        Raises:
            StoreError: The store cannot be written.
        """
        path = self._spec(spec.id)
        content = {"id": spec.id, **spec.content(), "resources": asdict(spec.resources)}
        try:
            is_there = read_json(path) == content
        except StoreError:
            is_there = False
        if not is_there:
            with replacing(path, flushed=False) as file:
                file.write(json_text(content))

    def read_spec(self, trial_id: str) -> TrialSpec:
        """Give back a trial by its id.

        Raises:
            StoreError: It is not there, or its content does not hash to the id.
        """
        path = self._spec(trial_id)
        content = read_json(path)
        if content is None:
            raise StoreError(f"{path}: no such trial in this store")
        try:
            resources = Resources(**content.pop("resources"))
            written_id = content.pop("id")
            spec = TrialSpec(resources=resources, **content)
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path}: not a trial's specification ({error})") from error
        if not spec.id == written_id == trial_id:
            raise StoreError(f"{path}: content hashes to {spec.id}, expected {trial_id}: the file was changed")
        return spec

    def claim(self, trial_id: str) -> int:
        """Start an attempt: from now on, writes of earlier attempts are refused.

        Returns:
            Its number: one more than the highest so far, from 1.

        Raises:
            StoreError: The store cannot be written.
        """
        folder = self._attempts(trial_id)
        facts = {"started": datetime.now(UTC).isoformat(), "host": socket.gethostname(), "pid": os.getpid()}
        flush(self._spec(trial_id))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                attempt = self.last_attempt(trial_id) + 1
                try:
                    with (folder / f"{attempt:04d}.json").open("x", encoding="utf-8") as file:
                        json.dump(facts, file)
                        file.flush()
                        os.fsync(file.fileno())
                    return attempt
                except FileExistsError:
                    continue
        except OSError as error:
            raise StoreError(f"{folder}: an attempt cannot be claimed: {error.strerror or error}") from error

    def last_attempt(self, trial_id: str) -> int:
        """Give the highest attempt number that was claimed, 0 if none was."""
        try:
            names = os.listdir(self._attempts(trial_id))
        except FileNotFoundError:
            return 0
        return max((int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()), default=0)

    def check_attempt(self, trial_id: str, attempt: int) -> None:
        """Refuse an attempt that was overtaken.

        Raises:
            StoreError: A newer attempt was claimed, or this one never was.
        """
        newest = self.last_attempt(trial_id)
        if attempt != newest:
            raise StoreError(
                f"{self.folder(trial_id)}: attempt {attempt} may not write, the newest is {newest}: "
                "the trial was started again elsewhere, and this process should end"
            )

    def finish(self, trial_id: str, attempt: int, outcome: Outcome, run: RunFacts) -> None:
        """Write the record of an attempt. A trial has one finished record, ever.

        Raises:
            StoreError: The attempt was overtaken, the trial is finished already, or the store cannot be written.
        """
        self.check_attempt(trial_id, attempt)
        found = self.record(trial_id)
        if found is not None and found.status is Status.FINISHED:
            raise StoreError(f"{self._record(trial_id)}: finished by attempt {found.run.attempt}; {attempt} came late")
        write_json(self._record(trial_id), record_content(outcome, run))

    def record(self, trial_id: str) -> Record | None:
        """Give the record of the last attempt that ended, or `None`.

        Raises:
            StoreError: The file cannot be understood.
        """
        path = self._record(trial_id)
        content = read_json(path)
        return None if content is None else read_record(content, path)

    def finished(self, trial_ids: Iterable[str]) -> set[str]:
        """Give those of the trials that need not run again."""
        records = {trial_id: self.record(trial_id) for trial_id in trial_ids}
        return {trial_id for trial_id, record in records.items() if record and record.status is Status.FINISHED}

    def put_aside(self, trial_id: str) -> None:
        """Make a trial run again from its beginning: its record stays as `replaced-<attempt>.json`, the rest goes.

        Raises:
            StoreError: The store cannot be written.
        """
        path = self._record(trial_id)
        record = self.record(trial_id)
        try:
            self._checkpoints(trial_id).drop()
            self._curves(trial_id).unlink(missing_ok=True)
            if record is not None:
                path.rename(self._replaced(trial_id, record.run.attempt))
        except OSError as error:
            raise StoreError(f"{path}: cannot be put aside: {error.strerror or error}") from error

    def was_put_aside(self, trial_id: str) -> bool:
        """Tell whether the last attempt of a trial was finished and put aside."""
        return self._replaced(trial_id, self.last_attempt(trial_id)).is_file()

    def append_report(self, report: Report) -> None:
        """Add a point to a trial's curves.

        Raises:
            StoreError: The attempt was overtaken, or the store cannot be written.
        """
        self.check_attempt(report.trial_id, report.attempt)
        point = CurvePoint(step=report.step, attempt=report.attempt, metrics=report.metrics)
        append_line(self._curves(report.trial_id), _point_line(point))

    def curves(self, trial_id: str) -> list[CurvePoint]:
        """Give a trial's points in the order they were reported; a last line torn by a crash is left out."""
        try:
            text = self._curves(trial_id).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        lines = text.split("\n")[:-1]
        points = [json.loads(line) for line in lines]
        return [CurvePoint(**{**point, "metrics": decode_metrics(point["metrics"])}) for point in points]

    def rewind_curves(self, trial_id: str, attempt: int, step: int | None) -> None:
        """Drop the points beyond `step`, which the attempt will report again; all of them where it is `None`.

        Raises:
            StoreError: The attempt was overtaken, or the store cannot be written.
        """
        self.check_attempt(trial_id, attempt)
        if not self._curves(trial_id).exists():
            return
        kept = [point for point in self.curves(trial_id) if step is not None and point.step <= step]
        with replacing(self._curves(trial_id)) as file:
            file.writelines(f"{_point_line(point)}\n".encode() for point in kept)

    def save_checkpoint(self, trial_id: str, attempt: int, step: int, state: Mapping[str, Any]) -> None:
        """Write the state after `step`; the last two are kept.

        Raises:
            StoreError: The attempt was overtaken, or the store cannot be written.
            TypeError: The state holds something that could not be read back without running code.
        """
        self.check_attempt(trial_id, attempt)
        self._checkpoints(trial_id).save(step, state)

    def load_checkpoint(self, trial_id: str) -> Checkpoint | None:
        """Give the newest whole checkpoint, or `None`; one that is torn is passed over with a warning."""
        return self._checkpoints(trial_id).load()

    def checkpoint_step(self, trial_id: str) -> int | None:
        """Give the step of the newest checkpoint, or `None`; torch is not needed for it."""
        return self._checkpoints(trial_id).latest_step()

    def _attempts(self, trial_id: str) -> Path:
        return self.folder(trial_id) / "attempts"

    def _spec(self, trial_id: str) -> Path:
        return self.folder(trial_id) / "spec.json"

    def _record(self, trial_id: str) -> Path:
        return self.folder(trial_id) / "record.json"

    def _replaced(self, trial_id: str, attempt: int) -> Path:
        return self.folder(trial_id) / f"replaced-{attempt}.json"

    def _curves(self, trial_id: str) -> Path:
        return self.folder(trial_id) / "curves.jsonl"

    def _checkpoints(self, trial_id: str) -> Checkpoints:
        return Checkpoints(self.folder(trial_id) / "checkpoints")


def _point_line(point: CurvePoint) -> str:
    return json.dumps({"step": point.step, "attempt": point.attempt, "metrics": encode_metrics(point.metrics)})
