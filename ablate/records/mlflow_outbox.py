"""What MLflow has not been told yet, by trial. The store has all of it too, so memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition

from ablate.store import CurvePoint
from ablate.trial import Report

MAX_WAITING = 20_000
"""Points in memory; beyond it those of the trial with the most are dropped, to be read from the store."""


@dataclass(slots=True, kw_only=True)
class News:
    """What happened to a trial since MLflow was told last, in this order: it started, went on, ended.

    `has_gap` says that points before these were dropped, `is_doubtful` that some were at any time.
    """

    start_ms: int | None = None
    has_started: bool = False
    points: list[CurvePoint] = field(default_factory=list)
    has_gap: bool = False
    has_ended: bool = False
    is_doubtful: bool = False


class Outbox:
    """News by trial, put in by the driver and taken out by the mirror's thread. Putting in never waits for MLflow."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._waiting: dict[str, News] = {}
        self._in_hand: dict[str, News] = {}
        self._running: dict[str, int] = {}
        self._has_gap: set[str] = set()
        self._num_points = 0
        self._is_urgent = self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be put in."""
        return self._is_closed

    @property
    def num_trials(self) -> int:
        """Trials of which there are news that MLflow has not taken."""
        with self._changed:
            return len({*self._waiting, *self._in_hand})

    def running(self) -> Mapping[str, int]:
        """Give when the trials that run now were started, in milliseconds since 1970."""
        with self._changed:
            return dict(self._running)

    def started(self, trial_id: str, start_ms: int) -> None:
        """Put in that an attempt began."""
        with self._news(trial_id, is_urgent=True) as news:
            self._running[trial_id] = start_ms
            news.start_ms = start_ms if news.start_ms is None else news.start_ms
            news.has_started, news.has_ended = True, False

    def reported(self, report: Report) -> None:
        """Put in a point."""
        with self._news(report.trial_id) as news:
            news.points.append(CurvePoint(step=report.step, attempt=report.attempt, metrics=report.metrics))
            self._num_points += 1
            self._drop()

    def ended(self, trial_id: str) -> None:
        """Put in that an attempt ended."""
        with self._news(trial_id, is_urgent=True) as news:
            news.has_ended, news.is_doubtful = True, trial_id in self._has_gap
            self._running.pop(trial_id, None)

    def close(self) -> None:
        """Wake who takes, for the last time."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def again(self) -> None:
        """After a new connection: what was in hand waits again, and what runs is told to have started."""
        with self._changed:
            for trial_id, news in self._in_hand.items():
                self._waiting[trial_id] = _joined(news, self._waiting.get(trial_id))
            self._in_hand = {}
            for trial_id, start_ms in self._running.items():
                news = self._waiting.setdefault(trial_id, News(start_ms=start_ms))
                news.has_started = True
            self._num_points = sum(len(news.points) for news in self._waiting.values())
            self._drop()

    @contextmanager
    def take(self, timeout_s: float) -> Iterator[Mapping[str, News]]:
        """Give all the news, after a while or at once when a trial started or ended; delivered when the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_urgent or self._is_closed, timeout_s)
            self._in_hand, self._waiting, self._is_urgent = self._waiting, {}, False
            self._num_points = 0
        yield self._in_hand
        with self._changed:
            self._has_gap -= {trial_id for trial_id, news in self._in_hand.items() if news.has_ended}
            self._in_hand = {}

    @contextmanager
    def _news(self, trial_id: str, *, is_urgent: bool = False) -> Iterator[News]:
        with self._changed:
            news = self._waiting.setdefault(trial_id, News(start_ms=self._running.get(trial_id)))
            yield news
            if is_urgent:
                self._is_urgent = True
                self._changed.notify_all()

    def _drop(self) -> None:
        while self._num_points > MAX_WAITING:
            trial_id, news = max(self._waiting.items(), key=lambda item: len(item[1].points))
            self._num_points -= len(news.points)
            news.points, news.has_gap = [], True
            self._has_gap.add(trial_id)


def _joined(before: News, after: News | None) -> News:
    """Put the later news behind the earlier ones."""
    if after is None:
        return before
    return News(
        start_ms=after.start_ms if before.start_ms is None else before.start_ms,
        has_started=before.has_started or after.has_started,
        points=[*before.points, *after.points],
        has_gap=before.has_gap or after.has_gap,
        has_ended=after.has_ended or (before.has_ended and not after.has_started),
        is_doubtful=before.is_doubtful or after.is_doubtful,
    )
