"""Limits of an attempt's time and memory: measured from a thread, enforced at the next report or by force."""

import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from ablate.trial import Outcome, Report, Resources, Status

SAMPLE_INTERVAL_S = 0.5
CHILDREN_INTERVAL_S = 5.0
GRACE_S = 10.0
"""Time between exceeding a limit and the end of a process whose task does not report."""
_EXCEEDED = "exceeded its "
_MIB = 2**20


class LimitExceeded(BaseException):
    """Ends a task at its next report; not an `Exception`, so that a task's own `except Exception` lets it pass."""


def is_over_limit(outcome: Outcome) -> bool:
    """Tell whether a limit ended the attempt: trying again would end the same way."""
    return outcome.status is Status.FAILED and (outcome.error or "").startswith(_EXCEEDED)


class Limits:
    """Watches one attempt while its block runs.

    Args:
        resources: What the attempt may take. Without limits nothing is started.
        give_up: Writes the failure and ends this process, for a task that does not report in `grace_s`. Without it
            such a task goes on, and one that ends by itself keeps its result.
        grace_s: That time.
    """

    def __init__(
        self, resources: Resources, *, give_up: Callable[[str], None] | None = None, grace_s: float = GRACE_S
    ) -> None:
        self._time_s = resources.time_limit_s
        self._memory_mib = resources.memory_limit_mib
        self._give_up = give_up
        self._grace_s = grace_s
        self._error: str | None = None
        self._memory = _Memory()
        self._start_s = time.monotonic()
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __enter__(self) -> "Limits":
        if self._time_s is not None or self._memory_mib is not None:
            threading.Thread(target=self._watch, name="limits", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()

    def after(self, on_report: Callable[[Report], bool]) -> Callable[[Report], bool]:
        """Give `on_report` with a check behind it, which raises `LimitExceeded`."""

        def checked(report: Report) -> bool:
            is_over = on_report(report)
            if self._error is not None:
                raise LimitExceeded(self._error)
            return is_over

        return checked

    def _watch(self) -> None:
        while self._error is None:
            self._error = self._find_exceeded()
            if self._error is None and self._over.wait(self._pause_s()):
                return
        if self._give_up is None or self._over.wait(self._grace_s):
            return
        with self._lock:
            if not self._over.is_set():
                self._give_up(self._error)

    def _pause_s(self) -> float:
        if self._time_s is None:
            return SAMPLE_INTERVAL_S
        return min(SAMPLE_INTERVAL_S, max(0.0, self._start_s + self._time_s - time.monotonic()))

    def _find_exceeded(self) -> str | None:
        if self._time_s is not None and time.monotonic() - self._start_s >= self._time_s:
            return f"{_EXCEEDED}time limit of {self._time_s:.10g} s"
        if self._memory_mib is not None and (used_mib := self._memory.used_mib()) > self._memory_mib:
            return f"{_EXCEEDED}memory limit of {self._memory_mib:.10g} MiB (it used {used_mib:.0f})"
        return None


class _Memory:
    """Resident memory of this process and of those that it started."""

    def __init__(self) -> None:
        self._children: list[Any] = []
        self._counted_at_s = -math.inf

    def used_mib(self) -> float:
        """Measure it; children are looked for less often, because that goes through all processes of the machine."""
        import psutil

        this = psutil.Process()
        now_s = time.monotonic()
        if now_s - self._counted_at_s >= CHILDREN_INTERVAL_S:
            self._children = this.children(recursive=True)
            self._counted_at_s = now_s
        used = 0
        for process in (this, *self._children):
            try:
                used += process.memory_info().rss
            except psutil.Error:
                continue
        return used / _MIB
