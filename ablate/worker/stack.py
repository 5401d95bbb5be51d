"""Attempts that run together in one process: begun, announced, ended and recorded one by one."""

import os
import platform
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from ablate.store import Store
from ablate.store.record import RunFacts
from ablate.trial import Outcome, Status
from ablate.worker.capture import Capture

_DECIDING_LIBRARIES = ("torch", "numpy", "scipy")


class Stack:
    """The attempt at one trial, or those at several that differ in their seed.

    Args:
        store: Holds the specifications and takes the records.
        attempts: Id of each trial, and its claimed number.

    Raises:
        StoreError: An attempt was overtaken, or the store cannot be read.
    """

    def __init__(self, store: Store, attempts: Sequence[tuple[str, int]]) -> None:
        for trial_id, attempt in attempts:
            store.begin(trial_id, attempt)
        self._store = store
        self._started = datetime.now(UTC).isoformat()
        self._start_s = time.perf_counter()
        self.attempts = tuple(attempts)
        self.specs = tuple(store.read_spec(trial_id) for trial_id, _ in attempts)
        self.first = self.specs[0]
        """What is equal for all can be read from it."""

    @property
    def logs(self) -> list[Path]:
        """The file that each attempt's output is added to."""
        return [self._store.log_file(trial_id, attempt) for trial_id, attempt in self.attempts]

    def announce(self, capture: Capture) -> None:
        """Begin each log."""
        seeds = ", ".join(str(spec.seed) for spec in self.specs)
        together = f", seeds {seeds} stacked" if len(self.specs) > 1 else ""
        for log, (_, attempt) in zip(capture.logs, self.attempts, strict=True):
            host = socket.gethostname()
            print(f"--- attempt {attempt} at {self._started} on {host}: {self.first.task}{together}", file=log)

    def outcomes(
        self, status: Status, *, metrics: Sequence[Mapping[str, float]] | None = None, error: str | None = None
    ) -> list[Outcome]:
        """Make the outcomes of attempts that ended alike."""
        found = metrics if metrics is not None else [{} for _ in self.attempts]
        return [
            Outcome(trial_id=trial_id, attempt=attempt, status=status, metrics=one, error=error)
            for (trial_id, attempt), one in zip(self.attempts, found, strict=True)
        ]

    def conclude(self, capture: Capture, outcomes: Sequence[Outcome]) -> None:
        """End each log."""
        for log, outcome in zip(capture.logs, outcomes, strict=True):
            if outcome.error:
                print(outcome.error, file=log)
            print(f"--- attempt {outcome.attempt} {outcome.status}", file=log)

    def recorded(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Write the records, and give the outcomes with their time.

        Raises:
            StoreError: An attempt was overtaken, or the store cannot be written.
        """
        seconds = time.perf_counter() - self._start_s
        ended = datetime.now(UTC).isoformat()
        for outcome, spec in zip(outcomes, self.specs, strict=True):
            run = RunFacts(
                attempt=outcome.attempt,
                started=self._started,
                ended=ended,
                seconds=seconds,
                host=socket.gethostname(),
                python=platform.python_version(),
                versions=_versions(),
                num_stacked=len(outcomes),
            )
            self._store.finish(outcome.trial_id, outcome.attempt, outcome, run, keeps_state=spec.keeps_state)
        return [replace(outcome, seconds=seconds) for outcome in outcomes]

    def give_up(self, error: str) -> None:
        """Write the records of a task that does not listen, and end this process with it."""
        try:
            self.recorded(self.outcomes(Status.FAILED, error=error))
        finally:
            os._exit(1)


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in ("ablate-studies", *_DECIDING_LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
