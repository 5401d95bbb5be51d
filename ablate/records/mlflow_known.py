"""Runs as they are known here: how far each is mirrored, and the writes that carry it on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.records.mlflow_client import MAX_POINTS, FoundRun, Tracking
from ablate.records.mlflow_content import FILES_TAG, OUTCOME_TAG, STEP_TAG, SYSTEM_PREFIX, TOLD_TAG, Point

_RUNNING = "RUNNING"
_LARGEST = sys.float_info.max  # databases keep infinity as this


@dataclass(slots=True)
class KnownRun:
    """What is known of a run: how far its curves and samples are there, what was told of it, how it ended."""

    run_id: str
    name: str
    start_ms: int
    status: str
    tags: dict[str, str]
    steps: dict[str, int]
    has_caught_up: bool = False  # what the store has of its curves was sent, or was there

    @classmethod
    def of(cls, found: FoundRun) -> KnownRun:
        """Take over what was found."""
        return cls(
            run_id=found.run_id,
            name=found.name,
            start_ms=found.start_ms,
            status=found.status,
            tags=dict(found.tags),
            steps=dict(found.steps),
        )

    @property
    def is_running(self) -> bool:
        """Whether MLflow shows it as running."""
        return self.status == _RUNNING

    @property
    def outcome(self) -> str:
        """How the trial ended, as far as MLflow has it."""
        return self.tags.get(OUTCOME_TAG, "")

    def fresh(self, points: Iterable[Point], tag: str) -> list[Point]:
        """Give the points beyond those that are there; of a step that comes twice, the first.

        The tag alone would not do: MLflow writes the points of a batch before its tags, and may stop in between.
        """
        place = int(self.tags[tag]) if tag in self.tags else None
        last = dict(self.steps)
        kept = []
        for point in points:
            if (place is None or point.step > place) and (point.name not in last or point.step > last[point.name]):
                kept.append(point)
                last[point.name] = point.step
        return kept


def best(found: Sequence[FoundRun]) -> FoundRun:
    """Choose among runs of the same tag, the newest first: the oldest of which something was told."""
    return ([run for run in found if TOLD_TAG in run.tags or FILES_TAG in run.tags] or found)[-1]


@dataclass(slots=True)
class Tally:
    """What came of the runs: their ids."""

    created: set[str] = field(default_factory=set)
    updated: set[str] = field(default_factory=set)
    mirrored: set[str] = field(default_factory=set)


class RunWriter:
    """The writes that keep what is known of a run true.

    Args:
        tracking: MLflow.
        tally: Told which runs changed.
    """

    def __init__(self, tracking: Tracking, tally: Tally) -> None:
        self._tracking, self._tally = tracking, tally

    def log(self, run: KnownRun, *, points: Sequence[Point] = (), tags: Mapping[str, str]) -> None:
        """Write points and tags in one call, points first."""
        self._tracking.log(run.run_id, points=points, tags=tags)
        run.tags.update(tags)
        for point in points:
            run.steps[point.name] = max(point.step, run.steps.get(point.name, point.step))
        self._tally.updated.add(run.run_id)

    def send(self, run: KnownRun, points: Sequence[Point], tag: str) -> None:
        """Send points in batches, each with the step reached, so that a later mirror goes on from there."""
        for first in range(0, len(points), MAX_POINTS):
            batch = points[first : first + MAX_POINTS]
            is_last = first + MAX_POINTS >= len(points)
            reached = batch[-1].step if is_last else batch[-1].step - 1  # a step may be cut between two batches
            self.log(run, points=batch, tags={tag: str(reached)})

    def resume(self, run: KnownRun) -> None:
        """Show a run as running, if it is not."""
        if not run.is_running:
            self._tracking.resume(run.run_id)
            run.status = _RUNNING

    def end(self, run: KnownRun, status: str, ended_ms: int | None) -> None:
        """End a run, if it has not ended so."""
        if run.status != status:
            self._tracking.end(run.run_id, status, ended_ms)
            run.status = status
            self._tally.updated.add(run.run_id)

    def has_others(self, run: KnownRun, curve: Sequence[Point], final: Sequence[Point]) -> bool:
        """Say whether MLflow has points of a run that the store has not, or lacks some that nobody will send."""
        there = {_key(point) for point in self._tracking.points(run.run_id, without=SYSTEM_PREFIX)}
        wanted = {_key(point) for point in curve}
        to_come = {_key(point) for point in run.fresh(curve, STEP_TAG)}
        return not (wanted - to_come <= there <= wanted | {_key(point) for point in final})


def _key(point: Point) -> tuple[str, int, int, str]:
    return point.name, point.step, point.time_ms, repr(max(-_LARGEST, min(_LARGEST, point.value)))
