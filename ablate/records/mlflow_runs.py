"""A study's runs in MLflow, brought to what the store has; whatever is done twice is there once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from ablate.records import mlflow_content as content
from ablate.records.mlflow_arms import ARM_PREFIX, arm_tags
from ablate.records.mlflow_client import MAX_NAMED, FoundRun, Tracking, is_server
from ablate.records.mlflow_content import Point
from ablate.records.mlflow_files import changed_files, trial_files
from ablate.records.mlflow_known import KnownRun, RunWriter, Tally, best
from ablate.store import CurvePoint, Record, Store
from ablate.store.system import system_samples
from ablate.trial import Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ablate.plan.model import Plan

_LOCK_SECONDS = 60.0  # another driver may wait for a server that hangs, or be stopped itself
_FILES_FOLDER = "files"
_TRIAL, _STUDY = content.TRIAL_TAG, content.STUDY_TAG
_FINISHED = str(Status.FINISHED)
_ENDED_FOR_GOOD = (Status.FINISHED, Status.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCounts:
    """What came of the runs of one study, its own among them."""

    num_created: int
    num_updated: int
    num_unchanged: int

    def __str__(self) -> str:
        return f"{self.num_created} runs created, {self.num_updated} updated, {self.num_unchanged} unchanged"


class StudyRuns:
    """The runs of a study at one scale.

    A run is found again by its tag, and made under a lock in the store: two drivers that mirror the same store at once
    make it once. Points carry times that follow from the store, so that MLflow keeps a repeated one once.

    Args:
        plan: The study's plan.
        store: Where its trials lie.
        uri: A server or database.
        is_current: Whether the plan is the study's latest: another one makes runs, but renames none that are there.
        tally: Counts on from here.
    """

    def __init__(
        self, plan: Plan, store: Store, uri: str, *, is_current: bool = True, tally: Tally | None = None
    ) -> None:
        self._plan, self._store, self._is_current = plan, store, is_current
        store.root.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(store.root / "mlflow.lock", timeout=_LOCK_SECONDS)
        self._tracking = Tracking(uri)
        self._tally = Tally() if tally is None else tally
        self._writer = RunWriter(self._tracking, self._tally)
        self._runs: dict[str, KnownRun] = {}
        with self._lock:
            location = None if is_server(uri) else (store.root / "mlflow-artifacts" / plan.study.name).as_uri()
            self._experiment_id = self._tracking.open_experiment(
                plan.study.name, title=plan.study.title, location=location
            )
            self._parent = self._open_runs()
        self._contents: Mapping[str, content.RunContent] = {}
        self.widen(plan)

    def widen(self, plan: Plan) -> None:
        """Take a plan that more trials have joined."""
        self._plan = plan
        parent_tag = {"mlflow.parentRunId": self._parent.run_id}
        more = arm_tags(plan)
        self._contents = content.run_contents(
            plan, {trial_id: {**more.get(trial_id, {}), **parent_tag} for trial_id in plan.specs}
        )

    @property
    def answered_s(self) -> float:
        """When MLflow took or gave something last, on the monotonic clock."""
        return self._tracking.answered_s

    @property
    def logged_s(self) -> float:
        """When MLflow took points or tags last, on the monotonic clock."""
        return self._tracking.logged_s

    def counts(self) -> SyncCounts:
        """Say what came of the runs so far."""
        tally = self._tally
        updated = tally.updated - tally.created
        return SyncCounts(
            num_created=len(tally.created),
            num_updated=len(updated),
            num_unchanged=len(tally.mirrored - tally.created - updated),
        )

    def catch_up_all(self, starts: Mapping[str, int] | None = None) -> None:
        """Mirror all that the store has of the plan's trials, also of those that have not ended.

        Args:
            starts: When trials that run now were started, in milliseconds since 1970.
        """
        for trial_id in self._contents:
            if not self.catch_up(trial_id):
                self.send(trial_id, start_ms=(starts or {}).get(trial_id))

    def catch_up(self, trial_id: str, *, is_doubtful: bool = False) -> bool:
        """Bring one trial's run to what the store has, unless it is there already.

        Args:
            trial_id: The trial.
            is_doubtful: Whether points may be missing amid its curves.

        Returns:
            Whether the store has a record of it; a trial without one has not ended.
        """
        record = self._store.record(trial_id)
        if record is None or trial_id not in self._contents:
            return False
        with self._lock:
            run = self._open(trial_id, content.milliseconds(record.run.started))
            outcome = content.outcome_tag(record)
            is_new = run.outcome != outcome
            # Points cannot be taken back: the run of a trial that was done anew, or went another way after it was
            # taken back to a checkpoint, makes room.
            if is_new and run.outcome.startswith(_FINISHED):
                run = self._anew(run, trial_id, content.milliseconds(record.run.started))
            elif is_new and (is_doubtful or record.run.attempt > 1) and self._is_another(run, trial_id, record):
                run = self._anew(run, trial_id, run.start_ms)
            self._tell(run, trial_id)
            if run.outcome != outcome:
                self._finish(run, trial_id, record)
        return True

    def start(self, trial_id: str, start_ms: int | None = None) -> None:
        """Show a trial as running, again if it was ended before."""
        if trial_id not in self._contents:
            return
        with self._lock:
            run = self._open(trial_id, start_ms)
            self._tell(run, trial_id)
            self._writer.resume(run)
            self._writer.resume(self._parent)
            run.tags.pop(content.OUTCOME_TAG, None)  # its end is mirrored again, if only the same

    def send(
        self, trial_id: str, points: Sequence[CurvePoint] = (), *, start_ms: int | None = None, has_gap: bool = False
    ) -> None:
        """Send what is new of a trial's curves: what the store has, once per connection, then these points.

        Args:
            trial_id: The trial.
            points: The latest.
            start_ms: When it was started, should its run have to be made; now by default.
            has_gap: Whether points before these were dropped: the store has them.
        """
        if trial_id not in self._contents:
            return
        known = self._runs.get(trial_id)
        if known is None or has_gap or not known.has_caught_up:
            points = [*self._store.curves(trial_id), *points]
        if points:
            with self._lock:
                run = self._open(trial_id, start_ms)
                self._tell(run, trial_id)
                self._send_curve(run, points)
                run.has_caught_up = True

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
                self._tally.updated.add(parent.run_id)
            changed, note = changed_files(files, parent.tags.get(content.FILES_TAG, ""))
            for path in changed:
                self._tracking.log_file(parent.run_id, path)
            if changed:
                self._writer.log(parent, tags={content.FILES_TAG: note})

    def close(self) -> None:
        """End the study's run as its trials ended, and drop what a request that was thought lost made twice."""
        records = [self._store.record(trial_id) for trial_id in self._contents]
        found = [record for record in records if record is not None]
        statuses = {record.status for record in found}
        # Of an adaptive study, planned trials that never ran may be ones that were not needed.
        if not found or (len(found) < len(records) and self._plan.study.adaptive is None):
            statuses.add(Status.INTERRUPTED)
        worst = next((status for status in (Status.FAILED, Status.INTERRUPTED) if status in statuses), Status.FINISHED)
        ended_ms = max((content.milliseconds(record.run.ended) for record in found), default=None)
        with self._lock:
            self._writer.end(self._parent, content.run_status(worst), ended_ms)
            self._drop_doubles()

    def _open_runs(self) -> KnownRun:
        """Find the study's and the trials' runs of earlier times; give the study's, made if it was not there."""
        name = content.study_tag(self._plan)
        found = self._found()
        self._runs = {trial_id: KnownRun.of(best(runs)) for (tag, trial_id), runs in found.items() if tag == _TRIAL}
        if same := found.get((_STUDY, name)):
            parent = KnownRun.of(best(same))
        else:
            tags = {_STUDY: name, "scale": self._plan.scale, "role": "study"}
            parent = self._create(name, _first_start_ms(self._store, self._plan.specs), tags)
        self._tally.mirrored.add(parent.run_id)
        return parent

    def _found(self) -> dict[tuple[str, str], list[FoundRun]]:
        """Give all runs by the tag that names them: one each, but for what went wrong."""
        found: dict[tuple[str, str], list[FoundRun]] = {}
        for run in self._tracking.runs(self._experiment_id):
            for tag in (_STUDY, _TRIAL):
                if tag in run.tags:
                    found.setdefault((tag, run.tags[tag]), []).append(run)
        return found

    def _drop_doubles(self) -> None:
        """Delete runs of a tag that one of ours has. A server that hung may have made them after we looked."""
        ours = {self._parent.run_id, *(run.run_id for run in self._runs.values())}
        for runs in self._found().values():
            ids = {run.run_id for run in runs}
            for double in ids - ours if ids & ours else ():
                self._tracking.delete_run(double)

    def _open(self, trial_id: str, start_ms: int | None) -> KnownRun:
        """Give a trial's run, made if there is none; another driver may have made it since we looked."""
        run = self._runs.get(trial_id)
        if run is None:
            there = self._tracking.runs(self._experiment_id, tag=(_TRIAL, trial_id))
            told = self._contents[trial_id]
            run = KnownRun.of(best(there)) if there else self._create(told.name, start_ms, told.tags)
            self._runs[trial_id] = run
        self._tally.mirrored.add(run.run_id)
        return run

    def _create(self, name: str, start_ms: int | None, tags: Mapping[str, str]) -> KnownRun:
        start_ms = round(time.time() * 1000) if start_ms is None else start_ms
        run = KnownRun.of(self._tracking.create_run(self._experiment_id, name=name, start_ms=start_ms, tags=tags))
        self._tally.created.add(run.run_id)
        return run

    def _anew(self, run: KnownRun, trial_id: str, start_ms: int) -> KnownRun:
        self._tracking.delete_run(run.run_id)
        del self._runs[trial_id]
        return self._open(trial_id, start_ms)

    def _is_another(self, run: KnownRun, trial_id: str, record: Record) -> bool:
        """Say whether the run's points are not those of the trial as it ended."""
        if record.status not in _ENDED_FOR_GOOD:
            return False  # it goes on, and most likely as before
        return self._writer.has_others(run, *self._points(run, trial_id, record))

    def _tell(self, run: KnownRun, trial_id: str) -> None:
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
        self._writer.log(run, tags={**told.tags, content.TOLD_TAG: told.digest})

    def _finish(self, run: KnownRun, trial_id: str, record: Record) -> None:
        """Log all that a trial left, how it ended last: without that tag the next mirror does it again."""
        log = content.log_tail(self._store.log_path(trial_id))
        if record.status is Status.FINISHED:
            folder = self._store.artifacts(trial_id)
            chosen, left_out = trial_files(folder, self._contents[trial_id].role)
            for name in chosen:
                self._tracking.log_file(run.run_id, folder / name, str(_FILES_FOLDER / name.parent))
            log += "".join(f"{line}\n" for line in left_out)
        self._tracking.log_texts(run.run_id, {"log.txt": log})
        self._send_system(run, trial_id)
        curve, final = self._points(run, trial_id, record)
        self._writer.send(run, [*run.fresh(curve, content.STEP_TAG), *final], content.STEP_TAG)
        self._writer.end(run, content.run_status(record.status), content.milliseconds(record.run.ended))
        self._writer.log(run, tags={content.OUTCOME_TAG: content.outcome_tag(record)})

    def _points(self, run: KnownRun, trial_id: str, record: Record) -> tuple[list[Point], list[Point]]:
        """Give the points of a trial that ended: of its curves, and its final ones."""
        points = self._store.curves(trial_id)
        final = content.final_points(record, points, start_ms=run.start_ms)
        return content.curve_points(points, start_ms=run.start_ms), final

    def _send_curve(self, run: KnownRun, points: Sequence[CurvePoint]) -> None:
        curve = content.curve_points(points, start_ms=run.start_ms)
        self._writer.send(run, run.fresh(curve, content.STEP_TAG), content.STEP_TAG)

    def _send_system(self, run: KnownRun, trial_id: str) -> None:
        points = content.system_points(system_samples(self._store, trial_id))
        self._writer.send(run, run.fresh(points, content.SYSTEM_TAG), content.SYSTEM_TAG)


def _first_start_ms(store: Store, trial_ids: Iterable[str]) -> int:
    records = (store.record(trial_id) for trial_id in trial_ids)
    starts = (content.milliseconds(record.run.started) for record in records if record)
    return min(starts, default=round(time.time() * 1000))
