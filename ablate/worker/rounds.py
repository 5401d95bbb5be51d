"""When the trials of a stack save their state, and when they stop: all of them, at the same step."""

import time
from collections.abc import Callable


class Rounds:
    """Decides for the trials of a stack together; a trial by itself is a stack of one.

    A round is a report of each trial at one step. What the first of them finds holds for all: so the checkpoints of a
    stack are of the same step, and its trials can be stacked again; and it ends when the last has saved its state.

    Args:
        num_trials: How many trials there are.
        interval_s: Least time between two checkpoints that nobody asked for.
        stopping: Says whether the trials should save their state and end.
    """

    def __init__(self, num_trials: int, *, interval_s: float, stopping: Callable[[], bool]) -> None:
        self._num_trials = num_trials
        self._interval_s = interval_s
        self._ask = stopping
        self._saved_at_s = time.monotonic()
        self._step: int | None = None
        self._heard: set[str] = set()
        self._is_due = False
        self._is_stopping = self._was_stopping = False

    def enter(self, trial_id: str, step: int) -> None:
        """Take note of a trial's report; a second one of the same trial, or another step, begins a new round."""
        if step != self._step or trial_id in self._heard:
            self._step, self._heard = step, set()
            self._was_stopping, self._is_stopping = self._is_stopping, self._ask()
            self._is_due = self._is_stopping or time.monotonic() - self._saved_at_s >= self._interval_s
        self._heard.add(trial_id)

    @property
    def is_due(self) -> bool:
        """Whether each trial should save its state in this round."""
        return self._is_due

    @property
    def is_last(self) -> bool:
        """Whether the trials end with this report: all have saved, or had a whole round for it."""
        return self._is_stopping and (self._was_stopping or len(self._heard) == self._num_trials)

    def saved(self) -> None:
        """Take note that a state was saved."""
        self._saved_at_s = time.monotonic()
