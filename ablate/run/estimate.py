"""Time left, from what finished trials of the same task took; what is unknown is said, not guessed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Time left of a run.

    Args:
        seconds: For the trials whose task has a finished one.
        num_known: How many finished trials that rests on.
        num_unknown: Trials left whose task has none yet; they come on top.
        num_slots: Trials at once, as seen so far.
    """

    seconds: float
    num_known: int
    num_unknown: int
    num_slots: int

    def __str__(self) -> str:
        if not self.num_known:
            return "time left: not known before a trial has finished"
        if self.num_unknown and not self.seconds:
            return f"time left: not known before one of {self.num_unknown} trials of a new kind has finished"
        basis = f"from {self.num_known} finished, {self.num_slots} at a time"
        more = f" and {self.num_unknown} trials of a kind not seen yet" if self.num_unknown else ""
        return f"about {duration(self.seconds)}{more} left ({basis})"


class TimeLeft:
    """Learns how long the trials of each task take.

    The trials of a study differ by role (a stage, an arm), and roles have tasks of their own, so the task is the kind.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def learn(self, task: str, seconds: float) -> None:
        """Take note of a finished trial."""
        self._seconds[task].append(seconds)

    def estimate(self, waiting: Iterable[str], running: Iterable[tuple[str, float]], *, num_slots: int) -> Estimate:
        """Estimate the time left: the mean of each task, spread over the slots, no less than the longest trial.

        Args:
            waiting: Task of each trial that has not started.
            running: Task of each running trial, and for how many seconds it has run.
            num_slots: Trials at once.
        """
        means: Mapping[str, float] = {task: fmean(seconds) for task, seconds in self._seconds.items()}
        left = [(task, 0.0) for task in waiting] + list(running)
        known = [max(0.0, means[task] - elapsed_s) for task, elapsed_s in left if task in means]
        slots = max(1, num_slots)
        return Estimate(
            seconds=max(sum(known) / slots, max(known, default=0.0)),
            num_known=sum(len(seconds) for seconds in self._seconds.values()),
            num_unknown=len(left) - len(known),
            num_slots=slots,
        )


def duration(seconds: float) -> str:
    """Write a time for people: `8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
