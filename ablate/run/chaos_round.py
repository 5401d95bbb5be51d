"""One disturbed run: the same command again and again, killed at random moments or at named steps, until it is done."""

import math
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ablate.errors import AblateError, ExitCode
from ablate.run.chaos_child import Child
from ablate.run.chaos_points import FaultPoints
from ablate.run.chaos_watch import Running, Watch

WORKERS, DRIVER = "workers", "driver"
WORKER_KILL, DRIVER_KILL, POINT_KILL = "worker", "driver", "fault point"
_SHARE_AT_START = 0.15
"""Of the kills, those that come while a driver starts; the others wait until it has started a trial."""
_MIN_GAP_S = 0.3
LOOK_S = 0.05
_MAX_WORKERS_IN_A_ROW = 6
"""A trial that is lost ten times in a row without a newer checkpoint counts as failed."""
_MAX_FRUITLESS = 5
"""Ends of the command by itself, neither done nor after a kill, before chaos gives up."""


class ChaosError(AblateError):
    """The study does not come to its end, so that nothing can be compared."""


@dataclass(slots=True, kw_only=True)
class Kill:
    """One kill.

    Args:
        what: `worker`, `driver` or `fault point`.
        at_s: Seconds after the start of its round.
        running: The trials in work at that moment.
        lost_s: Seconds of work that are done again because of it.
        first_step_s: From the driver's next start to the first step that is new, where the driver was killed.
    """

    what: str
    at_s: float
    running: Mapping[str, Running] = field(default_factory=dict)
    lost_s: float = 0.0
    first_step_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the undisturbed run taught: when the first trial starts, how long all take, and how the whole ends."""

    start_s: float
    work_s: float
    seconds: float
    exit_code: int


class Disturbance:
    """Runs a command to its end, whatever happens to it on the way.

    Args:
        child: The command.
        watch: Looks at its store.
        pace: Of the undisturbed run.
        what: Who may be killed: `workers`, `driver`, or both.
        generator: Decides moments and victims.
        say: Takes a line of progress.
    """

    def __init__(
        self,
        child: Child,
        watch: Watch,
        *,
        pace: Pace,
        what: Collection[str],
        generator: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self._child, self._watch, self._pace = child, watch, pace
        self._what, self._generator, self._say = what, generator, say
        self._start_s = time.monotonic()
        self._before: dict[str, int] = {}
        self._waits_for_step: Kill | None = None
        self._num_workers_in_a_row = 0
        self._num_fruitless = 0
        self.num_starts = 0
        self.kills: list[Kill] = []

    def kill_at_random(self, num_kills: int, environment: Mapping[str, str]) -> None:
        """Kill that often, or until the study is done; then let it come to its end.

        Raises:
            ChaosError: The command ends otherwise again and again.
        """
        is_done = False
        while not is_done:
            num_before = len(self.kills)
            self._start(**environment)
            code = self._killed_or_ended(num_kills)
            is_done = code is not None and self._is_done(code, has_killed=len(self.kills) > num_before)
        _count_lost_work(self.kills, self._watch.attempts())

    def crash_at(self, points: FaultPoints, environment: Mapping[str, str]) -> None:
        """Let the command crash at each of the steps that it comes to, until it is done.

        Raises:
            ChaosError: The command ends otherwise again and again.
        """
        is_done = False
        while not is_done:
            num_before = len(points.met())
            self._start(**environment)
            code = self._waited(math.inf)
            at_s = time.monotonic() - self._start_s
            found = points.met()[num_before:]
            self.kills += [Kill(what=POINT_KILL, at_s=at_s) for _ in found]
            for name in found:
                self._say(f"crashed {name}; {len(points.left())} steps are left")
            is_done = code is not None and self._is_done(code, has_killed=bool(found))

    def _start(self, **environment: str) -> None:
        self._before = self._watch.attempts()
        self._child.start(**environment)
        self.num_starts += 1

    def _killed_or_ended(self, num_kills: int) -> int | None:
        """Give the exit code, or `None` once the driver was killed."""
        is_starting = True
        while True:
            left = num_kills - len(self.kills)
            gap_s = self._gap_s(left) if left > 0 else math.inf
            if is_starting and gap_s < math.inf:
                if self._generator.random() < _SHARE_AT_START and DRIVER in self._what:
                    gap_s = self._generator.uniform(0.0, self._pace.start_s)
                else:
                    code = self._waited(math.inf, until_trial=True)
                    if code is not None:
                        return code
            is_starting = False
            code = self._waited(gap_s)
            if code is not None:
                return code
            if self._kill():
                return None

    def _gap_s(self, num_left: int) -> float:
        """Draw the time to the next kill, so that what is left of the kills fits into what is left of the work."""
        share_left = 1.0 - len(self._watch.finished()) / self._watch.num_trials
        mean_s = max(_MIN_GAP_S, self._pace.work_s * share_left / (num_left + 1))
        return self._generator.uniform(0.0, 2.0 * mean_s)

    def _kill(self) -> bool:
        """Kill someone; say whether it was the driver."""
        chosen = self._generator.choice(sorted(self._what))
        if DRIVER in self._what and self._num_workers_in_a_row >= _MAX_WORKERS_IN_A_ROW:
            chosen = DRIVER
        running = self._watch.running()
        if chosen == WORKERS and self._child.kill_worker(self._generator):
            self._num_workers_in_a_row += 1
            self._note(WORKER_KILL, running)
            return False
        if DRIVER not in self._what:
            return False
        self._child.kill_driver()
        self._num_workers_in_a_row = 0
        self._waits_for_step = self._note(DRIVER_KILL, running)
        return True

    def _note(self, what: str, running: Mapping[str, Running]) -> Kill:
        kill = Kill(what=what, at_s=time.monotonic() - self._start_s, running=running)
        self.kills.append(kill)
        num_finished = len(self._watch.finished())
        self._say(f"kill {len(self.kills)} ({what}) at {kill.at_s:.1f} s; {num_finished} trials finished")
        return kill

    def _waited(self, seconds: float, *, until_trial: bool = False) -> int | None:
        """Wait; give the exit code if the command ended meanwhile."""
        until_s = time.monotonic() + seconds
        while True:
            code = self._child.wait(max(0.0, min(LOOK_S, until_s - time.monotonic())))
            waiting = self._waits_for_step
            if waiting is not None and self._watch.has_new_step(self._before):
                waiting.first_step_s = time.monotonic() - self._child.start_s
                self._waits_for_step = None
            if code is not None or time.monotonic() >= until_s:
                return code
            if until_trial and self._has_begun():
                return None

    def _has_begun(self) -> bool:
        """Say whether a trial runs, or has run, in an attempt of the newest start."""
        running, attempts = self._watch.running(), self._watch.attempts()
        is_running = any(found.attempt > self._before.get(trial_id, 0) for trial_id, found in running.items())
        return is_running or any(
            attempts[one] > self._before.get(one, 0) for one in self._watch.finished() & attempts.keys()
        )

    def _is_done(self, code: int, *, has_killed: bool) -> bool:
        if code in (ExitCode.DONE, self._pace.exit_code):
            return True
        self._num_fruitless = 0 if has_killed else self._num_fruitless + 1
        if self._num_fruitless > _MAX_FRUITLESS:
            raise ChaosError(f"the run ends with exit code {code} again and again:\n{self._child.last_lines()}")
        return False


def _count_lost_work(kills: list[Kill], attempts: Mapping[str, int]) -> None:
    """Charge each kill with the unsaved work of the trials that it sent back: started again, and gone at the next."""
    for kill, later in zip(kills, [*kills[1:], None], strict=True):
        for trial_id, running in kill.running.items():
            still = later.running.get(trial_id) if later else None
            goes_on = still is not None and still.attempt == running.attempt
            if attempts.get(trial_id, 0) > running.attempt and not goes_on:
                kill.lost_s += running.unsaved_s
