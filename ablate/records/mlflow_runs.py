"""A study's runs in MLflow, brought to what the store has; whatever is done twice is there once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from ablate.records import mlflow_content as content
from ablate.records.mlflow_arms import ARM_PREFIX, arm_tags
from ablate.records.mlflow_client import MAX_NAMED, MAX_POINTS, FoundRun, Tracking, is_server
from ablate.records.mlflow_files import changed_files, trial_files
from ablate.store import CurvePoint, Record, Store
from ablate.store.system import system_samples
from ablate.trial import Report, Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ablate.plan.model import Plan

_LOCK_SECONDS = 120.0
_FILES_FOLDER = "files"
_FINISHED, _RUNNING = str(Status.FINISHED), "RUNNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCounts:
    """What came of the runs of one study, its own among them."""

    num_created: int
    num_updated: int
    num_unchanged: int

    def __str__(self) -> str:
        return f"{self.num_created} runs created, {self.num_updated} updated, {self.num_unchanged} unchanged"


@dataclass(slots=True)
class _Run:
    """What is known of a trial's run: how far its curves and samples are there, what was told of it, how it ended."""

    run_id: str
    name: str
    start_ms: int
    status: str
    tags: dict[str, str]

    @property
    def is_running(self) -> bool:
        return self.status == _RUNNING

    @property
    def outcome(self) -> str:
        return self.tags.get(content.OUTCOME_TAG, "")

    def place(self, tag: str) -> int | None:
        return int(self.tags[tag]) if tag in self.tags else None


class StudyRuns:
    """The runs of a study at one scale.

    A run is found again by its tag, and made under a lock in the store: two drivers that mirror the same store at once
    make it once. Points carry times that follow from the store, so that MLflow keeps a repeated one once.

    Args:
        plan: The study's plan.
        store: Where its trials lie.
        uri: A server or database.
        is_current: Whether the plan is the study's latest: another one makes runs, but renames none that are there.
    """

    def __init__(self, plan: Plan, store: Store, uri: str, *, is_current: bool = True) -> None:
        self._plan, self._store, self._is_current = plan, store, is_current
        store.root.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(store.root / "mlflow.lock", timeout=_LOCK_SECONDS)
        self._tracking = Tracking(uri)
        self._created: set[str] = set()
        self._updated: set[str] = set()
        self._mirrored: set[str] = set()
        self._runs: dict[str, _Run] = {}
        self._waiting: dict[str, list[CurvePoint]] = {}
        with self._lock:
            location = None if is_server(uri) else (store.root / "mlflow-artifacts" / plan.study.name).as_uri()
            self._experiment_id = self._tracking.open_experiment(
                plan.study.name, title=plan.study.title, location=location
            )
            self._parent = self._open_runs()
        parent_tag = {"mlflow.parentRunId": self._parent.run_id}
        more = arm_tags(plan)
        self._contents = content.run_contents(
            plan, {trial_id: {**more.get(trial_id, {}), **parent_tag} for trial_id in plan.specs}
        )

    def counts(self) -> SyncCounts:
        """Say what came of the runs so far."""
        updated = self._updated - self._created
        return SyncCounts(
            num_created=len(self._created),
            num_updated=len(updated),
            num_unchanged=len(self._mirrored - self._created - updated),
        )

    def catch_up_all(self) -> None:
        """Mirror every trial of the plan that the store has a record of."""
        for trial_id in self._contents:
            self.catch_up(trial_id)

    def catch_up(self, trial_id: str) -> None:
        """Bring one trial's run to what the store has, unless it is there already."""
        record = self._store.record(trial_id)
        if record is None or trial_id not in self._contents:
            return
        with self._lock:
            run = self._open(trial_id, content.milliseconds(record.run.started))
            outcome = content.outcome_tag(record)
            if run.outcome.startswith(_FINISHED) and run.outcome != outcome:
                # The trial was done anew. Points cannot be taken back, so its old run makes room.
                self._tracking.delete_run(run.run_id)
                del self._runs[trial_id]
                run = self._open(trial_id, content.milliseconds(record.run.started))
            self._tell(run, trial_id)
            if run.outcome != outcome:
                self._finish(run, trial_id, record)

    def start(self, trial_id: str) -> None:
        """Show a trial as running, again if it was ended before."""
        if trial_id not in self._contents:
            return
        with self._lock:
            run = self._open(trial_id, round(time.time() * 1000))
            self._tell(run, trial_id)
            for one in (run, self._parent):
                if not one.is_running:
                    self._tracking.resume(one.run_id)
                    one.status = _RUNNING
            run.tags.pop(content.OUTCOME_TAG, None)  # its end is mirrored again, if only the same

    def add_point(self, report: Report) -> None:
        """Keep a point for the next flush."""
        point = CurvePoint(step=report.step, attempt=report.attempt, metrics=report.metrics)
        self._waiting.setdefault(report.trial_id, []).append(point)

    def flush(self) -> None:
        """Send the points that are waiting."""
        if not self._waiting:
            return
        with self._lock:
            for trial_id, points in self._waiting.items():
                if run := self._runs.get(trial_id):
                    after = run.place(content.STEP_TAG)
                    self._send_curve(run, content.curve_points(points, after=after, start_ms=run.start_ms))
        self._waiting.clear()

    def watch(self) -> None:
        """Send what was sampled of the machine while trials run."""
        with self._lock:
            for trial_id, run in self._runs.items():
                if run.is_running and trial_id in self._contents:
                    self._send_system(run, trial_id)

    def describe(self, description: str | None, files: Sequence[Path] = ()) -> None:
        """Write the study's run: its description, and those files among its artifacts that changed."""
        parent = self._parent
        with self._lock:
            text = None if description is None else content.fitting(description)
            if text is not None and text != parent.tags.get("mlflow.note.content"):
                self._tracking.describe(parent.run_id, text)
                parent.tags["mlflow.note.content"] = text
                self._updated.add(parent.run_id)
            changed, note = changed_files(files, parent.tags.get(content.FILES_TAG, ""))
            for path in changed:
                self._tracking.log_file(parent.run_id, path)
            if changed:
                self._log(parent, tags={content.FILES_TAG: note})

    def close(self) -> None:
        """End the study's run as its trials ended."""
        records = [self._store.record(trial_id) for trial_id in self._contents]
        found = [record for record in records if record is not None]
        statuses = {record.status for record in found}
        # Of an adaptive study, planned trials that never ran may be ones that were not needed.
        if not found or (len(found) < len(records) and self._plan.study.adaptive is None):
            statuses.add(Status.INTERRUPTED)
        worst = next((status for status in (Status.FAILED, Status.INTERRUPTED) if status in statuses), Status.FINISHED)
        ended_ms = max((content.milliseconds(record.run.ended) for record in found), default=None)
        with self._lock:
            self._end(self._parent, content.run_status(worst), ended_ms)

    def _open_runs(self) -> _Run:
        """Find the study's and the trials' runs of earlier times; give the study's, made if it was not there."""
        name = content.study_tag(self._plan)
        parent: _Run | None = None
        for found in self._tracking.runs(self._experiment_id):
            if found.tags.get(content.STUDY_TAG) == name:
                parent = _known(found)
            elif content.TRIAL_TAG in found.tags:
                self._runs[found.tags[content.TRIAL_TAG]] = _known(found)
        if parent is None:
            tags = {content.STUDY_TAG: name, "scale": self._plan.scale, "role": "study"}
            parent = self._create(name, _first_start_ms(self._store, self._plan.specs), tags)
        self._mirrored.add(parent.run_id)
        return parent

    def _open(self, trial_id: str, start_ms: int) -> _Run:
        """Give a trial's run, made if there is none; another driver may have made it since we looked."""
        run = self._runs.get(trial_id)
        if run is None:
            there = self._tracking.runs(self._experiment_id, tag=(content.TRIAL_TAG, trial_id))
            told = self._contents[trial_id]
            run = _known(there[-1]) if there else self._create(told.name, start_ms, told.tags)
            self._runs[trial_id] = run
        self._mirrored.add(run.run_id)
        return run

    def _create(self, name: str, start_ms: int, tags: Mapping[str, str]) -> _Run:
        run = _known(self._tracking.create_run(self._experiment_id, name=name, start_ms=start_ms, tags=tags))
        self._created.add(run.run_id)
        return run

    def _tell(self, run: _Run, trial_id: str) -> None:
        """Log what is known of a trial before it runs; of one that was told already, what an edited study changed."""
        told = self._contents[trial_id]
        before = run.tags.get(content.TOLD_TAG)
        if before == told.digest or (before is not None and not self._is_current):
            return
        if before is None:
            self._tracking.log_texts(run.run_id, {"config.json": content.config_text(told.spec)})
            self._tracking.log_datasets(run.run_id, told.inputs)
            parameters = list(told.parameters.items())
            for first in range(0, len(parameters), MAX_NAMED):
                self._tracking.log(run.run_id, parameters=dict(parameters[first : first + MAX_NAMED]))
        if run.name != told.name:
            self._tracking.rename(run.run_id, told.name)
            run.name = told.name
        for key in [key for key in run.tags if key.startswith(ARM_PREFIX) and key not in told.tags]:
            self._tracking.remove_tag(run.run_id, key)
            del run.tags[key]
        self._log(run, tags={**told.tags, content.TOLD_TAG: told.digest})

    def _finish(self, run: _Run, trial_id: str, record: Record) -> None:
        """Log all that a trial left, how it ended last: without that tag the next mirror does it again."""
        self._waiting.pop(trial_id, None)
        log = content.log_tail(self._store.log_path(trial_id))
        if record.status is Status.FINISHED:
            folder = self._store.artifacts(trial_id)
            chosen, left_out = trial_files(folder, self._contents[trial_id].role)
            for name in chosen:
                self._tracking.log_file(run.run_id, folder / name, str(_FILES_FOLDER / name.parent))
            log += "".join(f"{line}\n" for line in left_out)
        self._tracking.log_texts(run.run_id, {"log.txt": log})
        self._send_system(run, trial_id)
        points = self._store.curves(trial_id)
        final = content.final_points(record, step=points[-1].step if points else None, start_ms=run.start_ms)
        curve = content.curve_points(points, after=run.place(content.STEP_TAG), start_ms=run.start_ms)
        self._send_curve(run, [*curve, *final])
        self._end(run, content.run_status(record.status), content.milliseconds(record.run.ended))
        self._log(run, tags={content.OUTCOME_TAG: content.outcome_tag(record)})

    def _end(self, run: _Run, status: str, ended_ms: int | None) -> None:
        if run.status != status:
            self._tracking.end(run.run_id, status, ended_ms)
            run.status = status
            self._updated.add(run.run_id)

    def _send_curve(self, run: _Run, points: Sequence[content.Point]) -> None:
        self._send(run, points, content.STEP_TAG)

    def _send_system(self, run: _Run, trial_id: str) -> None:
        after = run.place(content.SYSTEM_TAG)
        points = content.system_points(system_samples(self._store, trial_id), after=after)
        self._send(run, points, content.SYSTEM_TAG)

    def _send(self, run: _Run, points: Sequence[content.Point], tag: str) -> None:
        """Send points in batches, each with the step reached, so that a later mirror goes on from there."""
        for first in range(0, len(points), MAX_POINTS):
            batch = points[first : first + MAX_POINTS]
            is_last = first + MAX_POINTS >= len(points)
            reached = batch[-1].step if is_last else batch[-1].step - 1  # a step may be cut between two batches
            self._log(run, points=batch, tags={tag: str(reached)})

    def _log(self, run: _Run, *, points: Sequence[content.Point] = (), tags: Mapping[str, str]) -> None:
        self._tracking.log(run.run_id, points=points, tags=tags)
        run.tags.update(tags)
        self._updated.add(run.run_id)


def _known(found: FoundRun) -> _Run:
    return _Run(
        run_id=found.run_id,
        name=found.name,
        start_ms=found.start_ms,
        status=found.status,
        tags=dict(found.tags),
    )


def _first_start_ms(store: Store, trial_ids: Iterable[str]) -> int:
    records = (store.record(trial_id) for trial_id in trial_ids)
    starts = (content.milliseconds(record.run.started) for record in records if record)
    return min(starts, default=round(time.time() * 1000))
