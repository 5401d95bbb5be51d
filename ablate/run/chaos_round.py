"""One disturbed run: the same command again and again, killed at random moments or at named steps, until it is done."""

import math
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ablate.errors import AblateError, ExitCode
from ablate.run.chaos_child import Child
from ablate.run.chaos_nodes import PrivateNodes
from ablate.run.chaos_points import FaultPoints
from ablate.run.chaos_watch import Running, Watch

WORKERS, DRIVER, NODES = "workers", "driver", "nodes"
WORKER_KILL, DRIVER_KILL, NODE_KILL, POINT_KILL = "worker", "driver", "node", "fault point"
_BELOW = {WORKERS: WORKER_KILL, NODES: NODE_KILL}
_SHARE_AT_START = 0.15
"""Of the kills, those that come while a driver starts or trials leave a lost node; the others wait for a new start."""
_SHARE_AT_STEP = 0.5
"""Of the kills, those that wait for a new step of a trial, so that on a slow machine too some find a saved state."""
_MIN_GAP_S = 0.3
LOOK_S = 0.05
_MAX_IN_A_ROW = 6
"""A trial that is lost ten times in a row without a newer checkpoint counts as failed."""
_GHOST_S = 2.0
"""Time that a process may outlive the node or the driver that it belongs to."""
_MAX_FRUITLESS = 5
"""Ends of the command by itself, neither done nor after a kill, before chaos gives up."""


class ChaosError(AblateError):
    """The study does not come to its end, so that nothing can be compared."""


@dataclass(slots=True, kw_only=True)
class Kill:
    """One kill.

    Args:
        what: `worker`, `node`, `driver` or `fault point`.
        at_s: Seconds after the start of its round.
        running: The trials in work at that moment.
        lost_s: Seconds of work that are done again because of it.
        first_step_s: To the first step that is new: from the next start of a driver that was killed; else from the
            kill, of a trial that it hit.
    """

    what: str
    at_s: float
    running: Mapping[str, Running] = field(default_factory=dict)
    lost_s: float = 0.0
    first_step_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Awaited:
    """The first new step after a kill: of an attempt newer than those `before`, of all trials or of those `among`."""

    kill: Kill
    since_s: float | None = None
    before: Mapping[str, int] = field(default_factory=dict)
    among: Collection[str] | None = None


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
        what: Who may be killed: some of `workers`, `driver` and `nodes`.
        generator: Decides moments and victims.
        say: Takes a line of progress.
        nodes: Where the command runs its trials, if that is not left to it.
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
        nodes: PrivateNodes | None = None,
    ) -> None:
        self._child, self._watch, self._pace = child, watch, pace
        self._what, self._generator, self._say, self._nodes = what, generator, say, nodes
        self._start_s = time.monotonic()
        self._before: dict[str, int] = {}
        self._awaited: _Awaited | None = None
        self._num_in_a_row = 0
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
                share = self._generator.random()
                if share < _SHARE_AT_START and DRIVER in self._what:
                    gap_s = self._generator.uniform(0.0, self._pace.start_s)
                else:
                    code = self._waited(math.inf, self._has_step if share >= 1.0 - _SHARE_AT_STEP else self._has_begun)
                    if code is not None:
                        return code
            is_starting = False
            code = self._waited(gap_s)
            if code is not None:
                return code
            if (kill := self._kill()) == DRIVER_KILL:
                return None
            if kill == NODE_KILL and self._generator.random() >= _SHARE_AT_START:
                self._before = self._watch.attempts()
                self._waited(2.0 * self._pace.start_s, self._has_begun)

    def _gap_s(self, num_left: int) -> float:
        """Draw the time to the next kill, so that what is left of the kills fits into what is left of the work."""
        share_left = 1.0 - len(self._watch.finished()) / self._watch.num_trials
        mean_s = max(_MIN_GAP_S, self._pace.work_s * share_left / (num_left + 1))
        return self._generator.uniform(0.0, 2.0 * mean_s)

    def _kill(self) -> str | None:
        """Kill someone; say who it was."""
        kinds = self._generator.sample(sorted(self._what), len(self._what))
        if DRIVER in kinds and self._num_in_a_row >= _MAX_IN_A_ROW:
            kinds = [DRIVER]
        running = self._watch.running()
        before = {trial_id: found.attempt for trial_id, found in running.items()}
        for kind in kinds:
            if kind == DRIVER:
                self._child.kill_driver()
                self._num_in_a_row = 0
                self._awaited = _Awaited(kill=self._note(DRIVER_KILL, running))
                return DRIVER_KILL
            if self._kill_below(kind):
                self._num_in_a_row += 1
                kill, since_s = self._note(_BELOW[kind], running), time.monotonic()
                self._awaited = _Awaited(kill=kill, since_s=since_s, before=before, among=before) if before else None
                return kill.what
        return None

    def _kill_below(self, chosen: str) -> bool:
        """Kill something that the driver uses; say whether there was such a thing."""
        if chosen == NODES:
            return self._nodes is not None and self._nodes.kill_node(self._generator)
        return self._child.kill_worker(self._generator, self._nodes.processes() if self._nodes else ())

    def _note(self, what: str, running: Mapping[str, Running]) -> Kill:
        kill = Kill(what=what, at_s=time.monotonic() - self._start_s, running=running)
        self.kills.append(kill)
        num_finished = len(self._watch.finished())
        self._say(f"kill {len(self.kills)} ({what}) at {kill.at_s:.1f} s; {num_finished} trials finished")
        return kill

    def _waited(self, seconds: float, until: Callable[[], bool] | None = None) -> int | None:
        """Wait, not longer than until something is true; give the exit code if the command ended meanwhile."""
        until_s = time.monotonic() + seconds
        while True:
            code = self._child.wait(max(0.0, min(LOOK_S, until_s - time.monotonic())))
            self._look_for_step()
            if code is not None or time.monotonic() >= until_s:
                return code
            if until is not None and until():
                return None

    def _look_for_step(self) -> None:
        awaited = self._awaited
        if awaited is None:
            return
        before, since_s = awaited.before, awaited.since_s
        if since_s is None:
            before, since_s = self._before, self._child.start_s
        if self._watch.has_new_step(before, awaited.among):
            awaited.kill.first_step_s = time.monotonic() - since_s
            self._awaited = None

    def _has_begun(self) -> bool:
        """Say whether a trial runs, or has run, in an attempt of the newest start."""
        running, attempts = self._watch.running(), self._watch.attempts()
        is_running = any(found.attempt > self._before.get(trial_id, 0) for trial_id, found in running.items())
        return is_running or any(
            attempts[one] > self._before.get(one, 0) for one in self._watch.finished() & attempts.keys()
        )

    def _has_step(self) -> bool:
        """Say whether an attempt of the newest start has reported a point, or has finished."""
        return self._watch.has_new_step(self._before)

    def _is_done(self, code: int, *, has_killed: bool) -> bool:
        if code in (ExitCode.DONE, self._pace.exit_code):
            return True
        self._num_fruitless = 0 if has_killed else self._num_fruitless + 1
        if self._num_fruitless > _MAX_FRUITLESS:
            raise ChaosError(f"the run ends with exit code {code} again and again:\n{self._child.last_lines()}")
        return False


def _count_lost_work(kills: list[Kill], attempts: Mapping[str, int]) -> None:
    """Charge each kill with the unsaved work of the attempts that it ended, each of them once.

    That of the driver ends all. Another one ends those that are started again later and of which nothing is heard
    until the next kill.
    """
    charged: set[tuple[str, int]] = set()
    for kill, later in zip(kills, [*kills, None][1:], strict=True):
        for trial_id, running in kill.running.items():
            ended = (trial_id, running.attempt)
            if ended in charged or attempts.get(trial_id, 0) <= running.attempt:
                continue
            if kill.what == DRIVER_KILL or later is None or not _goes_on(trial_id, kill, later):
                charged.add(ended)
                kill.lost_s += running.unsaved_s


def _goes_on(trial_id: str, kill: Kill, later: Kill) -> bool:
    still = later.running.get(trial_id)
    if still is None or still.attempt != kill.running[trial_id].attempt:
        return False
    return still.silent_s < later.at_s - kill.at_s - _GHOST_S
