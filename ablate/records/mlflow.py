"""The MLflow mirror: shows a study's trials as they run. What it misses, the next run or `ablate sync` brings.

A thread of its own does all the talking, so that neither a slow nor a missing server can hold up a run. While MLflow is
away, news wait in an outbox; the store has them too, and a new connection begins with what is there and what is not.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

from ablate.errors import AblateError
from ablate.records.mlflow_client import default_tracking_uri, is_server, load_mlflow
from ablate.records.mlflow_faults import is_passing, reason
from ablate.records.mlflow_outbox import News, Outbox
from ablate.records.mlflow_runs import StudyRuns
from ablate.records.mlflow_sync import not_up_to_date, sync_study
from ablate.store import Store
from ablate.trial import Outcome, Report, TrialSpec
from ablate.wording import without_password

if TYPE_CHECKING:
    from ablate.plan.model import Plan, PlannedTrial

_log = logging.getLogger(__name__)

_FLUSH_SECONDS = 2.0
_SLOW_SECONDS = 15.0  # for what takes longer: the description, the samples of the machines
_LEAST_IDLE = 20  # making the description may take a twentieth of the time
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0
_PATIENCE_SECONDS = 20.0
_SLOW_FACTOR = 3
_LONGEST_CLOSE_SECONDS = 300.0  # even when MLflow takes what it is given, but slowly
_POLL_SECONDS = 0.2

_left_behind: set[str] = set()  # where a mirror of this process stopped waiting, and said so


def mirror_report(
    plan: Plan, store: Store, tracking_uri: str | None, *, description: str, files: Sequence[Path]
) -> bool:
    """Bring MLflow up to date after a run, as `sync_study` does; a failure is one line in the log.

    Where the run's mirror just waited for MLflow in vain, and said so, it is not tried again.

    Returns:
        Whether MLflow took everything.
    """
    if (tracking_uri or default_tracking_uri(store.root)) in _left_behind:
        return False
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
    While MLflow is away (no answer, no connection, a full disk, a lock that is taken) it is tried again and again, and
    has everything in order when it is back. An error that trying again cannot cure ends the mirror, never the run; the
    next run of the study brings it up to date.

    Args:
        plan: The study's plan.
        store: Where its trials lie.
        tracking_uri: A server or database; `None` is SQLite under the store's root.
        description: Makes the result table in Markdown from the store. Asked for in the mirror's thread after trials
            ended, every 15 seconds at most; what stands there at the end is `mirror_report`'s.
        interval_s: Seconds between two descriptions at least.
        patience_s: Seconds that `close` waits for an MLflow that is away, or takes nothing.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        tracking_uri: str | None,
        description: Callable[[], str] | None = None,
        *,
        interval_s: float = _SLOW_SECONDS,
        patience_s: float = _PATIENCE_SECONDS,
    ) -> None:
        self._plan, self._store = plan, store
        self._uri = tracking_uri or default_tracking_uri(store.root)
        self._description, self._interval_s = description, interval_s
        self._described_s = time.monotonic()
        self._pause_s = interval_s
        self._has_news = False
        self._patience_s = patience_s
        self._outbox = Outbox()
        self._joined: deque[PlannedTrial] = deque()
        self._runs: StudyRuns | None = None
        self._asked_s: float | None = None  # when MLflow was asked first: loading the library takes seconds
        self._away: Exception | None = None  # why it is gone
        self._retry_s = _FIRST_PAUSE_SECONDS
        self._is_closing, self._has_given_up, self._is_done = Event(), Event(), Event()
        self._error: Exception | None = None
        _left_behind.discard(self._uri)
        Thread(target=self._work, name="mlflow-mirror", daemon=True).start()

    def planned(self, trials: Sequence[PlannedTrial]) -> None:
        """Take note of trials that join the plan: they get runs of their own."""
        self._joined.extend(trials)

    def started(self, spec: TrialSpec, attempt: int) -> None:
        """Show the trial as running."""
        if self._error is None:
            self._outbox.started(spec.id, round(time.time() * 1000))

    def reported(self, report: Report) -> None:
        """Show a point of its curves, within a few seconds."""
        if self._error is None:
            self._outbox.reported(report)

    def ended(self, spec: TrialSpec, outcome: Outcome) -> None:
        """Show what came of it, as the store has it."""
        if self._error is None:
            self._outbox.ended(spec.id)

    def close(self) -> None:
        """Deliver what is waiting, within bounds; say in one line if MLflow could not take it."""
        if self._outbox.is_closed:
            return
        self._outbox.close()
        self._is_closing.set()
        try:
            self._wait_until_delivered()
        except KeyboardInterrupt:  # the run is over; only the waiting is broken off
            pass
        self._has_given_up.set()
        if self._error is not None:
            _log.warning("%s", not_up_to_date(self._uri, self._error, self._store))
        elif not self._is_done.is_set():
            _left_behind.add(self._uri)
            what = reason(self._away) if self._away else "it takes too long"
            if num_left := self._outbox.num_trials:
                what = f"{what}; news of {num_left} {'trial' if num_left == 1 else 'trials'} wait"
            _log.warning("%s", not_up_to_date(self._uri, what, self._store))

    def _wait_until_delivered(self) -> None:
        """Wait for the thread to be done, for as long as MLflow takes something from time to time."""
        began = time.monotonic()
        while not self._is_done.is_set() and time.monotonic() - began < _LONGEST_CLOSE_SECONDS:
            if self._asked_s is not None:
                is_slow = self._away is None and not is_server(self._uri)  # a database that is being made, say
                quiet_s = time.monotonic() - max(began, self._asked_s, self._heard_s())
                if quiet_s >= self._patience_s * (_SLOW_FACTOR if is_slow else 1):
                    return
            self._is_done.wait(_POLL_SECONDS)

    def _heard_s(self) -> float:
        """Give when MLflow showed life; one that was away has to take points again: with a full disk it answers too."""
        if self._runs is None:
            return 0.0
        return self._runs.answered_s if self._away is None else self._runs.logged_s

    def _work(self) -> None:
        """Connect and deliver, again after each failure that passes."""
        while not self._has_given_up.is_set():
            try:
                self._deliver()
                self._is_done.set()
                return
            except Exception as error:  # whatever MLflow raises is no reason to lose the run
                if not is_passing(error):
                    self._error = error
                    self._is_done.set()
                    return
                self._note_away(error)
            if self._is_closing.wait(self._retry_s):
                self._has_given_up.wait(_FIRST_PAUSE_SECONDS)
            self._retry_s = min(2 * self._retry_s, _LONGEST_PAUSE_SECONDS)

    def _deliver(self) -> None:
        """Mirror what is in the store, then news as they come; curves are sent together every few seconds."""
        load_mlflow()
        self._asked_s = self._asked_s or time.monotonic()
        self._outbox.again()
        runs = StudyRuns(self._plan, self._store, self._uri)
        self._runs = runs
        runs.catch_up_all(self._outbox.running())
        watched = time.monotonic()
        is_last = False
        while not is_last:
            is_last = self._outbox.is_closed
            with self._outbox.take(_FLUSH_SECONDS if self._away is None else 0.0) as news:
                self._widen(runs)
                for trial_id, one in news.items():
                    self._tell(runs, trial_id, one)
            self._note_back()
            if time.monotonic() - watched > _SLOW_SECONDS:
                runs.watch()
                watched = time.monotonic()
            self._describe(runs)
        runs.close()

    def _widen(self, runs: StudyRuns) -> None:
        if not self._joined:
            return
        more = [self._joined.popleft() for _ in range(len(self._joined))]
        self._plan = replace(self._plan, trials=(*self._plan.trials, *more))
        runs.widen(self._plan)

    def _tell(self, runs: StudyRuns, trial_id: str, news: News) -> None:
        if news.has_ended:
            self._has_news = True
            if runs.catch_up(trial_id, is_doubtful=news.is_doubtful):
                return
        if news.has_started:
            runs.start(trial_id, news.start_ms)
        runs.send(trial_id, news.points, start_ms=news.start_ms, has_gap=news.has_gap)

    def _note_away(self, error: Exception) -> None:
        if self._away is None and not self._has_given_up.is_set():
            where = without_password(self._uri)
            _log.warning("MLflow at %s is away (%s): the run goes on, news wait for it", where, reason(error))
        self._away = error

    def _note_back(self) -> None:
        if self._away is not None and not self._has_given_up.is_set():
            _log.warning("MLflow at %s is back and up to date", without_password(self._uri))
        self._away = None
        self._retry_s = _FIRST_PAUSE_SECONDS

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
