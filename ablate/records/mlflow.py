"""The MLflow mirror: shows a study's trials as they run. What it misses, the next run or `ablate sync` brings.

A thread of its own does all the talking, so that neither a slow nor a missing server can hold up a run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from ablate.errors import AblateError
from ablate.records.mlflow_client import default_tracking_uri
from ablate.records.mlflow_runs import StudyRuns
from ablate.records.mlflow_sync import not_up_to_date, sync_study
from ablate.store import Store
from ablate.trial import Outcome, Report, TrialSpec

if TYPE_CHECKING:
    from ablate.plan.model import Plan

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 2.0
_SLOW_SECONDS = 15.0  # for what takes longer: the description, the samples of the machines
_LEAST_IDLE = 20  # making the description may take a twentieth of the time


def mirror_report(
    plan: Plan, store: Store, tracking_uri: str | None, *, description: str, files: Sequence[Path]
) -> bool:
    """Bring MLflow up to date after a run, as `sync_study` does; a failure is one line in the log.

    Returns:
        Whether MLflow took everything.
    """
    try:
        sync_study(plan, store, tracking_uri, description=description, files=files)
    except AblateError as error:
        _log.warning("%s", error)
        return False
    return True


class MlflowMirror:
    """A recorder that keeps one MLflow experiment per study up to date.

    An experiment holds a run for the study at each scale and nested under it one run per trial, found again by the tag
    `ablate.trial_id`. What the store has at the start is mirrored first: trials finished earlier, or for another study.
    A failure ends the mirror, never the run; the next run of the study brings it up to date.

    Args:
        plan: The study's plan.
        store: Where its trials lie.
        tracking_uri: A server or database; `None` is SQLite under the store's root.
        description: Makes the result table in Markdown from the store. Asked for in the mirror's thread after trials
            ended, every 15 seconds at most; what stands there at the end is `mirror_report`'s.
        interval_s: Seconds between two descriptions at least.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        tracking_uri: str | None,
        description: Callable[[], str] | None = None,
        *,
        interval_s: float = _SLOW_SECONDS,
    ) -> None:
        self._plan, self._store = plan, store
        self._uri = tracking_uri or default_tracking_uri(store.root)
        self._description, self._interval_s = description, interval_s
        self._described_s = time.monotonic()
        self._pause_s = interval_s
        self._has_news = False
        self._jobs: SimpleQueue[Callable[[StudyRuns], None] | None] = SimpleQueue()
        self._error: Exception | None = None
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

        def job(runs: StudyRuns) -> None:
            runs.catch_up(spec.id)
            self._has_news = True

        self._put(job)

    def close(self) -> None:
        """Deliver what is waiting; say in one line if MLflow could not take it."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
        if self._error is not None:
            _log.warning("%s", not_up_to_date(self._uri, self._error, self._store))
            self._error = None

    def _put(self, job: Callable[[StudyRuns], None]) -> None:
        if self._error is None:
            self._jobs.put(job)

    def _work(self) -> None:
        try:
            self._deliver(StudyRuns(self._plan, self._store, self._uri))
        except Exception as error:  # whatever MLflow raises is no reason to lose the run
            self._error = error

    def _deliver(self, runs: StudyRuns) -> None:
        """Do the jobs in their order; curves are sent together every few seconds."""
        runs.catch_up_all()
        flushed = watched = time.monotonic()
        while True:
            try:
                job = self._jobs.get(timeout=_FLUSH_SECONDS)
            except Empty:
                job = StudyRuns.flush
            if job is None:
                break
            job(runs)
            now = time.monotonic()
            if now - flushed > _FLUSH_SECONDS:
                runs.flush()
                flushed = now
            if now - watched > _SLOW_SECONDS:
                runs.watch()
                watched = now
            self._describe(runs)
        runs.flush()
        runs.close()

    def _describe(self, runs: StudyRuns) -> None:
        """Rewrite the study's description when there are news and it is time."""
        if self._description is None or not self._has_news or time.monotonic() - self._described_s < self._pause_s:
            return
        began = time.monotonic()
        try:
            text = self._description()
        except Exception as error:  # a table of half a study that cannot be made yet ends no mirror
            _log.info("the description in MLflow stays as it is: %r", error)
        else:
            runs.describe(text)
        self._has_news = False
        self._described_s = time.monotonic()
        self._pause_s = max(self._interval_s, _LEAST_IDLE * (self._described_s - began))
