"""The MLflow mirror: shows a study's trials as they run and can be rebuilt from the store. The only door to mlflow.

A thread of its own does all the talking, so that neither a slow nor a missing server can hold up a run.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from ablate.records import mlflow_content as content
from ablate.store import CurvePoint, Record, Store
from ablate.trial import Outcome, Report, Status, TrialSpec

if TYPE_CHECKING:
    from ablate.plan.model import Plan

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 2.0
_MAX_POINTS, _MAX_PARAMETERS = 1000, 100  # of one batch, by MLflow's rules
_EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the page opens on runs, not on GenAI traces


def default_tracking_uri(root: Path) -> str:
    """Give the address of the store's own MLflow: SQLite under its root."""
    return f"sqlite:///{root / 'mlflow.db'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredStudy:
    """Where a study is in MLflow: its experiment and the runs of its arms, in the order of the arms and seeds."""

    experiment_id: str
    run_ids: tuple[str, ...]


def find_study(tracking_uri: str, name: str) -> MirroredStudy | None:
    """Look a study up, or give nothing if it was never mirrored there."""
    client = _connect(tracking_uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    runs = [run for run in _all_runs(client, experiment.experiment_id) if run.data.tags.get("role") == "arm"]
    # Trials start in the order of the plan, the reference first: so do the arms here.
    starts: dict[str, int] = {}
    for run in sorted(runs, key=lambda run: run.info.start_time):
        starts.setdefault(run.data.tags.get("arm", ""), run.info.start_time)
    runs.sort(key=lambda run: (starts[run.data.tags.get("arm", "")], int(run.data.tags.get("seed", "0"))))
    return MirroredStudy(experiment_id=experiment.experiment_id, run_ids=tuple(run.info.run_id for run in runs))


def mirror_report(
    plan: Plan, store: Store, tracking_uri: str | None, *, description: str, files: Sequence[Path]
) -> bool:
    """Bring MLflow up to date after a run, its trials and the reports of the study; a failure is one line in the log.

    Args:
        plan: The study's plan.
        store: Where its trials lie.
        tracking_uri: A server or database; `None` is SQLite under the store's root.
        description: The result table in Markdown.
        files: The reports, for the artifacts of the study's run.

    Returns:
        Whether MLflow took everything.
    """
    mirror = MlflowMirror(plan, store, tracking_uri)
    mirror.describe(description, files)
    mirror.close()
    return not mirror.has_failed


class MlflowMirror:
    """A recorder that keeps one MLflow experiment per study up to date.

    An experiment holds a run for the study at each scale and nested under it one run per trial, found again by the tag
    `ablate.trial_id`. What the store has at the start is mirrored first: trials finished earlier, or for another study.
    A failure ends the mirror, never the run; the next run of the study brings it up to date.

    Args:
        plan: The study's plan.
        store: Where its trials lie.
        tracking_uri: A server or database; `None` is SQLite under the store's root.
    """

    def __init__(self, plan: Plan, store: Store, tracking_uri: str | None) -> None:
        self._plan, self._store = plan, store
        self._uri = tracking_uri or default_tracking_uri(store.root)
        self._jobs: SimpleQueue[Callable[[_StudyRuns], None] | None] = SimpleQueue()
        self._error: Exception | None = None
        self.has_failed = False
        self._thread = Thread(target=self._work, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def started(self, spec: TrialSpec, attempt: int) -> None:
        """Show the trial as running."""
        self._put(lambda runs: runs.start(spec.id))

    def reported(self, report: Report) -> None:
        """Show a point of its curves, within a few seconds."""
        self._put(lambda runs: runs.add_point(report))

    def ended(self, spec: TrialSpec, outcome: Outcome) -> None:
        """Show what came of it, as the store has it."""
        self._put(lambda runs: runs.catch_up(spec.id))

    def describe(self, description: str, files: Sequence[Path] = ()) -> None:
        """Put the result table (Markdown) on the study's run, and the reports among its artifacts."""
        self._put(lambda runs: runs.describe(description, files))

    def close(self) -> None:
        """Deliver what is waiting; say in one line if MLflow could not take it."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
        if self._error is not None:
            _log.warning(
                "MLflow at %s is not up to date (%s); results are safe in %s, and running again mirrors them",
                self._uri,
                " ".join(str(self._error).split())[:300] or type(self._error).__name__,
                self._store.root,
            )
            self._error = None

    def _put(self, job: Callable[[_StudyRuns], None]) -> None:
        if self._error is None:
            self._jobs.put(job)

    def _work(self) -> None:
        try:
            self._deliver(_StudyRuns(self._plan, self._store, self._uri))
        except Exception as error:  # whatever MLflow raises is no reason to lose the run
            self._error = error
            self.has_failed = True

    def _deliver(self, runs: _StudyRuns) -> None:
        """Do the jobs in their order; curves are sent together every few seconds."""
        runs.catch_up_all()
        flushed = time.monotonic()
        while True:
            try:
                job = self._jobs.get(timeout=_FLUSH_SECONDS)
            except Empty:
                job = _StudyRuns.flush
            if job is None:
                break
            job(runs)
            if time.monotonic() - flushed > _FLUSH_SECONDS:
                runs.flush()
                flushed = time.monotonic()
        runs.flush()
        runs.close()


@dataclass(slots=True)
class _Run:
    """What is known of a trial's run: its id, when it began, how far its curves are there, and how it ended."""

    run_id: str
    start_ms: int
    last_step: int | None = None
    outcome: str = ""
    is_running: bool = True


class _StudyRuns:
    """A study's runs in MLflow: every call that talks to it."""

    def __init__(self, plan: Plan, store: Store, uri: str) -> None:
        self._plan, self._store = plan, store
        self._contents = content.run_contents(plan)
        self._client = _connect(uri)
        self._experiment_id = self._open_experiment(is_server=uri.startswith(("http://", "https://", "databricks")))
        self._runs: dict[str, _Run] = {}
        self._waiting: dict[str, list[CurvePoint]] = {}
        self._parent_id, self._description = self._find_runs()

    def catch_up_all(self) -> None:
        """Mirror every trial of the plan that the store has a record of."""
        for trial_id in self._contents:
            self.catch_up(trial_id)

    def catch_up(self, trial_id: str) -> None:
        """Bring one trial's run to what the store has, unless it is there already."""
        record = self._store.record(trial_id)
        if record is None or trial_id not in self._contents:
            return
        run = self._runs.get(trial_id) or self._create(trial_id, record)
        if run.outcome == content.outcome_tag(record):
            return
        self._waiting.pop(trial_id, None)
        points = self._store.curves(trial_id)
        final = content.final_points(record, step=points[-1].step if points else None, start_ms=run.start_ms)
        self._log(run, content.curve_points(points, after=run.last_step, start_ms=run.start_ms) + final)
        self._client.log_text(run.run_id, content.log_tail(self._store.log_path(trial_id)), "log.txt")
        ended_ms = content.milliseconds(record.run.ended)
        self._client.set_terminated(run.run_id, content.run_status(record.status), end_time=ended_ms)
        run.outcome, run.is_running = content.outcome_tag(record), False
        self._client.set_tag(run.run_id, content.OUTCOME_TAG, run.outcome)

    def start(self, trial_id: str) -> None:
        """Show a trial as running, again if it was ended before."""
        if trial_id not in self._contents:
            return
        run = self._runs.get(trial_id) or self._create(trial_id, None)
        if not run.is_running:
            self._client.update_run(run.run_id, status="RUNNING")
            run.is_running, run.outcome = True, ""

    def add_point(self, report: Report) -> None:
        """Keep a point for the next flush."""
        point = CurvePoint(step=report.step, attempt=report.attempt, metrics=report.metrics)
        self._waiting.setdefault(report.trial_id, []).append(point)

    def flush(self) -> None:
        """Send the points that are waiting."""
        for trial_id, points in self._waiting.items():
            if run := self._runs.get(trial_id):
                self._log(run, content.curve_points(points, after=run.last_step, start_ms=run.start_ms))
        self._waiting.clear()

    def describe(self, description: str, files: Sequence[Path]) -> None:
        """Write the study's run: its description, and files among its artifacts."""
        text = content.fitting(description)
        if text != self._description:
            self._client.set_tag(self._parent_id, "mlflow.note.content", text)
            self._description = text
        for path in files:
            self._client.log_artifact(self._parent_id, str(path))

    def close(self) -> None:
        """End the study's run as its trials ended."""
        records = [self._store.record(trial_id) for trial_id in self._contents]
        statuses = {record.status if record else Status.INTERRUPTED for record in records}
        worst = next((status for status in (Status.FAILED, Status.INTERRUPTED) if status in statuses), Status.FINISHED)
        if self._client.get_run(self._parent_id).info.status != content.run_status(worst):
            self._client.set_terminated(self._parent_id, content.run_status(worst))

    def _open_experiment(self, *, is_server: bool) -> str:
        study = self._plan.study
        found = self._client.get_experiment_by_name(study.name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = None if is_server else (self._store.root / "mlflow-artifacts" / study.name).as_uri()
        tags = {**_EXPERIMENT_KIND, "mlflow.note.content": study.title}
        return str(self._client.create_experiment(study.name, artifact_location=location, tags=tags))

    def _find_runs(self) -> tuple[str, str]:
        """Find the study's and the trials' runs of earlier times; give the study's run id and its description."""
        parent = None
        for run in _all_runs(self._client, self._experiment_id):
            tags = run.data.tags
            if tags.get(content.STUDY_TAG) == content.study_tag(self._plan):
                parent = run
            elif content.TRIAL_TAG in tags:
                self._runs[tags[content.TRIAL_TAG]] = _Run(
                    run_id=run.info.run_id,
                    start_ms=run.info.start_time,
                    last_step=int(tags[content.STEP_TAG]) if content.STEP_TAG in tags else None,
                    outcome=tags.get(content.OUTCOME_TAG, ""),
                    is_running=run.info.status == "RUNNING",
                )
        if parent is None:
            name = content.study_tag(self._plan)
            tags = {content.STUDY_TAG: name, "scale": self._plan.scale, "role": "study"}
            parent = self._client.create_run(self._experiment_id, run_name=name, tags=tags)
        return str(parent.info.run_id), parent.data.tags.get("mlflow.note.content", "")

    def _create(self, trial_id: str, record: Record | None) -> _Run:
        from mlflow.entities import Param

        told = self._contents[trial_id]
        start_ms = content.milliseconds(record.run.started) if record else round(time.time() * 1000)
        tags = {**told.tags, "mlflow.parentRunId": self._parent_id}
        created = self._client.create_run(self._experiment_id, start_time=start_ms, run_name=told.name, tags=tags)
        run = self._runs[trial_id] = _Run(run_id=created.info.run_id, start_ms=start_ms)
        parameters = [Param(name, value) for name, value in told.parameters.items()]
        for first in range(0, len(parameters), _MAX_PARAMETERS):
            self._client.log_batch(run.run_id, params=parameters[first : first + _MAX_PARAMETERS])
        self._client.log_dict(run.run_id, told.spec.content(), "config.json")
        return run

    def _log(self, run: _Run, points: Sequence[content.Point]) -> None:
        """Send points in batches, each with the step reached, so that a later mirror goes on from there."""
        from mlflow.entities import Metric, RunTag

        for first in range(0, len(points), _MAX_POINTS):
            batch = points[first : first + _MAX_POINTS]
            is_last = first + _MAX_POINTS >= len(points)
            run.last_step = batch[-1].step if is_last else batch[-1].step - 1  # a step may be cut between two batches
            self._client.log_batch(
                run.run_id,
                metrics=[Metric(point.name, point.value, point.time_ms, point.step) for point in batch],
                tags=[RunTag(content.STEP_TAG, str(run.last_step))],
            )


def _connect(uri: str) -> Any:
    """Open MLflow without its telemetry, its log lines and its long waits for a server that is not there."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    # MLflow's own use of SQLAlchemy, once per process and nothing the user can change.
    warnings.filterwarnings("ignore", message="The ``noload`` loader", category=DeprecationWarning)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def _all_runs(client: Any, experiment_id: str) -> list[Any]:
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
