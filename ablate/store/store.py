"""A store of trials in a folder or an object store: the truth about what ran, shared by every study."""

import json
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablate.errors import StoreError
from ablate.store import notes
from ablate.store.attempts import claim, numbers
from ablate.store.belongings import Belongings
from ablate.store.checkpoints import Checkpoint, Checkpoints
from ablate.store.files import decode_metrics, encode_metrics, json_text, parse_json
from ablate.store.lines import Lines
from ablate.store.medium import Location, open_medium
from ablate.store.record import Record, RunFacts
from ablate.store.records import Records
from ablate.store.repair import TRIAL_ID, repair
from ablate.trial import Json, Outcome, Report, Resources, Status, TrialSpec

_CURVES = "curves.jsonl"
_GROWING = (_CURVES, "system.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One point of a trial's curves, and the attempt that wrote it."""

    step: int
    attempt: int
    metrics: Mapping[str, float]


class Store:
    """Trials under `trials/<id>/` of a folder, or of any URL that fsspec reaches.

    Every start of a trial claims the next attempt number, and every write carries the number of its attempt: one that
    a newer claim has overtaken is refused with `StoreError`. So a worker that was cut off from the network, and whose
    trial was started again elsewhere, can spoil nothing when it comes back.

    Args:
        location: Folder or URL; a folder is made when something is written.
    """

    def __init__(self, location: Location) -> None:
        self._medium = open_medium(location)
        self.location = self._medium.location
        """Reaches this store from another process or machine."""
        self.root = self._medium.root
        """Its folder; of a remote store a local cache, which may be wiped at any moment."""
        self.is_remote = self._medium.is_remote
        self._endings = Records(self._medium)
        self._belongings = Belongings(self._medium)
        self._lines: dict[tuple[str, str], Lines] = {}

    def trial_ids(self) -> list[str]:
        """List the trials that the store knows, sorted; foreign names are left out."""
        return [name for name in self._medium.names("trials") if TRIAL_ID.fullmatch(name)]

    def folder(self, trial_id: str) -> Path:
        """Give the folder of a trial below `root`."""
        return self.root / "trials" / trial_id

    def artifacts(self, trial_id: str) -> Path:
        """Give a folder with the files that a trial made; those of a finished one are fetched from a remote store.

        Raises:
            StoreError: One of them is gone or damaged.
        """
        if self.is_remote:
            record = self.record(trial_id)
            if record is not None and record.status is Status.FINISHED:
                self._belongings.fetch(trial_id, record.run.attempt)
        return self.artifact_folder(trial_id)

    def artifact_folder(self, trial_id: str) -> Path:
        """Give the folder that an attempt writes its files to; nothing is fetched."""
        return self.folder(trial_id) / "artifacts"

    def log_path(self, trial_id: str) -> Path:
        """Give the path of what a trial printed, its traceback included; fetched from a remote store."""
        if self.is_remote:
            try:
                return self._belongings.fetch_log(trial_id)
            except StoreError as error:
                warnings.warn(f"the log is not shown: {error}", stacklevel=2)
        return self.folder(trial_id) / "log.txt"

    def log_file(self, trial_id: str, attempt: int) -> Path:
        """Give the path that an attempt's output is added to."""
        return self._belongings.log(trial_id, attempt) if self.is_remote else self.folder(trial_id) / "log.txt"

    def publish(self, path: Path) -> None:
        """Make a file below `root` part of the store: a remote one takes a copy.

        Raises:
            StoreError: The store cannot be written.
        """
        if self.is_remote:
            self._medium.upload(path, path.relative_to(self.root).as_posix())

    def read_note(self, name: str) -> dict[str, Json] | None:
        """Give a note such as `studies/<name>/driver.json`; a damaged one is set aside with a warning."""
        return notes.read_note(self.location, name)

    def write_note(self, name: str, content: Mapping[str, Json]) -> None:
        """Put a note in the place of whatever stands there."""
        notes.write_note(self.location, name, content)

    def create_note(self, name: str, content: Mapping[str, Json]) -> bool:
        """Write a note where there is none, and say whether it is ours."""
        return notes.create_note(self.location, name, content)

    def remove_note(self, name: str) -> None:
        """Take a note away."""
        notes.remove_note(self.location, name)

    def repair(self, trial_ids: Collection[str] | None = None) -> list[str]:
        """Put what is damaged out of the way, and name what is foreign, before a run uses the store.

        Args:
            trial_ids: The trials to look at; by default all.

        Returns:
            A sentence for everything that was found.

        Raises:
            StoreError: The store cannot be read or written.
        """
        return repair(self._medium, self._endings, self._spare_checkpoints, trial_ids)

    def write_spec(self, spec: TrialSpec) -> None:
        """Keep what decides a trial, and its resources; once it is there as it is, nothing is written.

        The disk has it for sure when the first attempt is claimed. What a crash of the machine tore before that is
        written anew.

        Raises:
            StoreError: The store cannot be written.
        """
        name = _spec_name(spec.id)
        content = {"id": spec.id, **spec.content(), "resources": asdict(spec.resources)}
        data = self._medium.read(name)
        try:
            is_there = data is not None and parse_json(data, name) == content
        except StoreError:
            is_there = False
        if not is_there:
            self._medium.write(name, json_text(content), flushed=False)

    def read_spec(self, trial_id: str) -> TrialSpec:
        """Give back a trial by its id.

        Raises:
            StoreError: It is not there, or its content does not hash to the id.
        """
        path = self._medium.where(_spec_name(trial_id))
        data = self._medium.read(_spec_name(trial_id))
        if data is None:
            raise StoreError(f"{path}: no such trial in this store")
        content = parse_json(data, path)
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
        self._medium.flush(_spec_name(trial_id))
        self._endings.make_way(trial_id)
        return claim(self._medium, _attempts_name(trial_id), self.last_attempt(trial_id))

    def last_attempt(self, trial_id: str) -> int:
        """Give the highest attempt number that was claimed, 0 if none was."""
        return max(numbers(self._medium, _attempts_name(trial_id)), default=0)

    def check_attempt(self, trial_id: str, attempt: int) -> None:
        """Refuse an attempt that was overtaken.

        Raises:
            StoreError: A newer attempt was claimed, or this one never was.
        """
        newest = self.last_attempt(trial_id)
        if attempt != newest:
            where = self._medium.where(_trial_name(trial_id))
            raise StoreError(
                f"{where}: attempt {attempt} may not write, the newest is {newest}: the trial was "
                "started again elsewhere, and this process should end"
            )

    def begin(self, trial_id: str, attempt: int) -> None:
        """Make this machine ready for a claimed attempt: it finds the files that the one before had saved.

        Raises:
            StoreError: The attempt was overtaken, or the store cannot be read.
        """
        self.check_attempt(trial_id, attempt)
        if self.is_remote:
            self._belongings.begin(trial_id, attempt)

    def finish(
        self, trial_id: str, attempt: int, outcome: Outcome, run: RunFacts, *, keeps_state: bool = False
    ) -> None:
        """Write the record of an attempt, after all that it stands for. A trial has one finished record, ever.

        Its checkpoints go once it is finished, or pruned; not where others go on from its last state.

        Raises:
            StoreError: The attempt was overtaken, the trial is finished already, or the store cannot be written.
        """
        self.check_attempt(trial_id, attempt)
        is_finished = outcome.status is Status.FINISHED
        self._flush_lines(trial_id)
        if self.is_remote and is_finished:
            self._belongings.bring(trial_id, attempt)
        elif self.is_remote:
            self._belongings.bring_log(trial_id, attempt)
        self._endings.write(outcome, run)
        if outcome.status in (Status.FINISHED, Status.PRUNED) and not keeps_state:
            try:
                self._checkpoints(trial_id).drop()
            except StoreError as error:
                warnings.warn(f"checkpoints of a trial that has ended are left: {error}", stacklevel=2)

    def record(self, trial_id: str) -> Record | None:
        """Give the record of the last attempt that ended, or `None`; a damaged one is warned of, and is none.

        Raises:
            StoreError: The file cannot be read, or a newer version wrote it.
        """
        return self._endings.read(trial_id)

    def check_record(self, trial_id: str) -> None:
        """Look whether a trial's record can be understood.

        Raises:
            StoreError: It cannot; says what was found.
        """
        self._endings.check(trial_id)

    def finished(self, trial_ids: Iterable[str]) -> set[str]:
        """Give those of the trials that need not run again.

        Raises:
            StoreError: A record cannot be read, or a newer version wrote it.
        """
        return self._endings.finished(trial_ids)

    def put_aside(self, trial_id: str) -> None:
        """Make a trial run again from its beginning: its record stays as `replaced-<attempt>.json`, the rest goes.

        Raises:
            StoreError: The store cannot be written.
        """
        self._endings.make_way(trial_id)
        record = self.record(trial_id)
        self._checkpoints(trial_id).drop()
        if record is not None:
            self._endings.put_aside(trial_id, _replaced_name(trial_id, record.run.attempt))
        self.lines(trial_id, _CURVES).delete()

    def was_put_aside(self, trial_id: str) -> bool:
        """Tell whether the last attempt of a trial was finished and put aside."""
        return self._medium.exists(_replaced_name(trial_id, self.last_attempt(trial_id)))

    def append_report(self, report: Report) -> None:
        """Add a point to a trial's curves.

        Raises:
            StoreError: The attempt was overtaken, or the store cannot be written.
        """
        point = CurvePoint(step=report.step, attempt=report.attempt, metrics=report.metrics)
        self.lines(report.trial_id, _CURVES).append(report.attempt, _point_line(point))

    def curves(self, trial_id: str) -> list[CurvePoint]:
        """Give a trial's points in the order they were reported.

        A last line torn by a crash is left out, and so, with a warning, is any other that cannot be read.
        """
        return self._curves(trial_id)[0]

    def rewind_curves(self, trial_id: str, attempt: int, step: int | None) -> None:
        """Drop the points beyond `step`, which the attempt will report again; all of them where it is `None`.

        Raises:
            StoreError: The attempt was overtaken, or the store cannot be written.
        """
        self.check_attempt(trial_id, attempt)
        lines = self.lines(trial_id, _CURVES)
        points, is_damaged = self._curves(trial_id)
        if is_damaged:
            warnings.warn(f"{lines.where}: kept as it was in {lines.keep_copy()}", stacklevel=2)
        lines.replace(attempt, [_point_line(point) for point in points if step is not None and point.step <= step])

    def lines(self, trial_id: str, name: str) -> Lines:
        """Give access to a trial's file of lines."""
        key = (trial_id, name)
        if key not in self._lines:

            def check(attempt: int) -> None:
                self.check_attempt(trial_id, attempt)

            self._lines.setdefault(key, self._medium.lines(f"trials/{trial_id}/{name}", check))
        return self._lines[key]

    def save_checkpoint(self, trial_id: str, attempt: int, step: int, state: Mapping[str, Any] | bytes) -> None:
        """Write the state after `step`, or what `packed` made of it; the last two are kept.

        Raises:
            StoreError: The attempt was overtaken, or the store cannot be written.
            TypeError: The state holds something that could not be read back without running code.
        """
        self.check_attempt(trial_id, attempt)
        self._flush_lines(trial_id)
        if self.is_remote:
            self._belongings.bring(trial_id, attempt)
        self._checkpoints(trial_id).save(step, state)

    def load_checkpoint(self, trial_id: str) -> Checkpoint | None:
        """Give the newest whole checkpoint, or `None`; one that is torn is passed over with a warning."""
        return self._checkpoints(trial_id).load()

    def checkpoint_step(self, trial_id: str) -> int | None:
        """Give the step of the newest checkpoint, or `None`; torch is not needed for it."""
        return self._checkpoints(trial_id).latest_step()

    def _spare_checkpoints(self, trial_id: str) -> Checkpoints | None:
        """Give the checkpoints of a trial that are of no use once it is finished; `None` where they may be of use."""
        try:
            return None if self.read_spec(trial_id).keeps_state else self._checkpoints(trial_id)
        except StoreError:
            return None

    def _checkpoints(self, trial_id: str) -> Checkpoints:
        return Checkpoints(self._medium, f"trials/{trial_id}/checkpoints")

    def _flush_lines(self, trial_id: str) -> None:
        for name in _GROWING:
            self.lines(trial_id, name).flush()

    def _curves(self, trial_id: str) -> tuple[list[CurvePoint], bool]:
        """Read what can be read of a trial's curves, and say whether there was more."""
        lines = self.lines(trial_id, _CURVES)
        points: list[CurvePoint] = []
        damaged: list[int] = []
        for number, line in enumerate(lines.read(), start=1):
            try:
                point = json.loads(line)
                points.append(CurvePoint(**{**point, "metrics": decode_metrics(point["metrics"])}))
            except (AttributeError, KeyError, TypeError, ValueError):
                damaged.append(number)
        if damaged:
            places = ", ".join(map(str, damaged[:5]))
            message = f"{lines.where}: {len(damaged)} damaged lines ({places}) are left out of the curves"
            warnings.warn(message, stacklevel=3)
        return points, bool(damaged)


def _trial_name(trial_id: str) -> str:
    return f"trials/{trial_id}"


def _spec_name(trial_id: str) -> str:
    return f"trials/{trial_id}/spec.json"


def _attempts_name(trial_id: str) -> str:
    return f"trials/{trial_id}/attempts"


def _replaced_name(trial_id: str, attempt: int) -> str:
    return f"trials/{trial_id}/replaced-{attempt}.json"


def _point_line(point: CurvePoint) -> str:
    return json.dumps({"step": point.step, "attempt": point.attempt, "metrics": encode_metrics(point.metrics)})
