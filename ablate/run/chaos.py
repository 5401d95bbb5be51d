"""A study run while what runs it is killed, and the proof that nothing came out otherwise.

First the study runs undisturbed, which also tells how long it takes. Then it runs again in a store of its own, while
its driver, the processes of its trials and (where that is wanted) the nodes of a private cluster are killed at random
moments and the same command is started again, until it is done; where that ends before there were enough kills, once
more from the beginning. Then the stores are compared.
"""

import os
import random
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ablate.errors import ExitCode
from ablate.plan.model import Plan
from ablate.run.chaos_child import Child
from ablate.run.chaos_equal import Difference, find_differences, leftover_files
from ablate.run.chaos_nodes import PrivateNodes, node_size
from ablate.run.chaos_points import FaultPoints
from ablate.run.chaos_round import DRIVER_KILL, LOOK_S, NODES, ChaosError, Disturbance, Kill, Pace
from ablate.run.chaos_watch import Watch
from ablate.run.estimate import duration
from ablate.store import Store

_MAX_ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What chaos does.

    Args:
        arguments: Of `ablate`, for one run of the study; the store is added.
        num_kills: How many processes are killed at least.
        seed: Decides moments and victims.
        what: Who is killed: some of `workers`, `driver` and `nodes`.
        interval_s: Least time between two checkpoints in the disturbed runs.
        points: Names of steps of the store's writes at which to crash too, as a regular expression.
        folder: For stores and logs.
    """

    arguments: tuple[str, ...]
    num_kills: int
    seed: int
    what: Collection[str]
    interval_s: float
    points: str | None
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One disturbed run, from an empty store to the end of the study; `leftovers` are files that only it has."""

    store: Store
    seconds: float
    num_starts: int
    num_attempts: int
    kills: tuple[Kill, ...]
    differences: tuple[Difference, ...]
    leftovers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it all.

    Args:
        num_trials: Trials of the study.
        num_finished: Of these, finished in the undisturbed run.
        undisturbed_s: How long that took.
        rounds: The disturbed runs.
        points: Steps of the store's writes at which a process crashed.
        points_left: Those at which none did.
    """

    num_trials: int
    num_finished: int
    undisturbed_s: float
    rounds: tuple[Round, ...]
    points: tuple[str, ...] = ()
    points_left: tuple[str, ...] = ()

    @property
    def kills(self) -> list[Kill]:
        """All kills of all rounds."""
        return [kill for found in self.rounds for kill in found.kills]

    @property
    def differences(self) -> list[Difference]:
        """All differences of all rounds."""
        return [difference for found in self.rounds for difference in found.differences]

    @property
    def exit_code(self) -> ExitCode:
        """What the command line returns."""
        return ExitCode.SOME_FAILED if self.differences else ExitCode.DONE

    def lost_s(self) -> list[float]:
        """Give the work that was done again, of each kill that hit a trial."""
        return [kill.lost_s for kill in self.kills if kill.lost_s]

    def first_steps_s(self, *, of_driver: bool) -> list[float]:
        """Give the times to the first new step after kills of the driver, or of something else."""
        kills = [kill for kill in self.kills if (kill.what == DRIVER_KILL) is of_driver]
        return [kill.first_step_s for kill in kills if kill.first_step_s is not None]


@dataclass(slots=True)
class Chaos:
    """Runs and kills one study.

    Args:
        plan: The study's plan.
        settings: What to do.
        say: Takes a line of progress.
    """

    plan: Plan
    settings: Settings
    say: Callable[[str], None]
    _generator: random.Random = field(init=False)
    _points: FaultPoints | None = field(init=False)

    def __post_init__(self) -> None:
        self._generator = random.Random(self.settings.seed)
        pattern = self.settings.points
        self._points = None if pattern is None else FaultPoints(self.settings.folder / "points", pattern)

    def run(self) -> Outcome:
        """Run it undisturbed, then disturbed as often as it takes, and compare.

        Raises:
            ChaosError: The study does not run to its end.
            StoreError: A store cannot be read.
        """
        undisturbed = Store(self.settings.folder / "undisturbed")
        pace = self._run_undisturbed(undisturbed)
        rounds: list[Round] = []
        while (left := self.settings.num_kills - sum(len(one.kills) for one in rounds)) > 0:
            if len(rounds) == _MAX_ROUNDS:
                raise ChaosError(f"only {self.settings.num_kills - left} kills in {_MAX_ROUNDS} runs: it is too short")
            rounds.append(self._round(f"disturbed-{len(rounds) + 1}", undisturbed, pace, num_kills=left))
        while self._points is not None and self._points.left():
            rounds.append(self._round(f"crashed-{len(rounds) + 1}", undisturbed, pace, num_kills=0))
            if not rounds[-1].kills:
                break  # what is left comes by chance, and did not come again
        return Outcome(
            num_trials=len(self.plan.specs),
            num_finished=len(undisturbed.finished(self.plan.specs)),
            undisturbed_s=pace.seconds,
            rounds=tuple(rounds),
            points=tuple(self._points.met() if self._points else ()),
            points_left=tuple(self._points.left() if self._points else ()),
        )

    def _run_undisturbed(self, store: Store) -> Pace:
        child, watch = self._child(store), Watch(store, self.plan.specs)
        begun_s = done_s = 0.0
        self.say("undisturbed: started")
        try:
            child.start(**self._listing(store))
            while (code := child.wait(LOOK_S)) is None:
                elapsed_s, num_finished = time.monotonic() - child.start_s, len(watch.finished())
                begun_s = begun_s or (elapsed_s if num_finished or watch.running() else 0.0)
                done_s = done_s or (elapsed_s if num_finished == watch.num_trials else 0.0)
            seconds = time.monotonic() - child.start_s
        finally:
            child.end()
        if code not in (ExitCode.DONE, ExitCode.SOME_FAILED):
            raise ChaosError(f"the undisturbed run ended with exit code {code}:\n{child.last_lines()}")
        self.say(f"undisturbed: {len(watch.finished())} of {watch.num_trials} finished in {duration(seconds)}")
        return Pace(start_s=begun_s, work_s=(done_s or seconds) - begun_s, seconds=seconds, exit_code=code)

    def _round(self, name: str, undisturbed: Store, pace: Pace, *, num_kills: int) -> Round:
        """Run the study once while it is killed, or while it crashes at named steps, and compare."""
        store = Store(self.settings.folder / name)
        watch, is_random = Watch(store, self.plan.specs), bool(num_kills) or self._points is None
        with self._nodes(name, is_wanted=is_random and NODES in self.settings.what) as nodes:
            child = self._child(store, *self._disturbed_options(nodes))
            disturbance = Disturbance(
                child,
                watch,
                pace=pace,
                what=self.settings.what,
                generator=self._generator,
                say=lambda text: self.say(f"{name}: {text}"),
                nodes=nodes,
            )
            start_s = time.monotonic()
            self.say(f"{name}: started")
            try:
                if self._points is None or is_random:
                    disturbance.kill_at_random(num_kills, self._listing(store))
                else:
                    disturbance.crash_at(self._points, self._points.crashing(store.root, _python_path()))
            finally:
                child.end()
            seconds = time.monotonic() - start_s
        return self._compared(store, undisturbed, disturbance, watch, seconds)

    def _compared(
        self, store: Store, undisturbed: Store, disturbance: Disturbance, watch: Watch, seconds: float
    ) -> Round:
        num_attempts = sum(watch.attempts().values())
        differences = tuple(find_differences(self.plan, store, undisturbed))
        self.say(
            f"{store.root.name}: {len(watch.finished())} of {watch.num_trials} finished in {duration(seconds)}, "
            f"{len(disturbance.kills)} kills, {num_attempts} attempts; "
            + (f"{len(differences)} differences" if differences else "equal to the undisturbed run")
        )
        return Round(
            store=store,
            seconds=seconds,
            num_starts=disturbance.num_starts,
            num_attempts=num_attempts,
            kills=tuple(disturbance.kills),
            differences=differences,
            leftovers=tuple(leftover_files(self.plan, store, undisturbed)),
        )

    def _disturbed_options(self, nodes: PrivateNodes | None) -> tuple[str, ...]:
        joined = ("--address", nodes.address) if nodes else ()
        return ("--checkpoint-interval", f"{self.settings.interval_s:g}", *joined)

    @contextmanager
    def _nodes(self, name: str, *, is_wanted: bool) -> Iterator[PrivateNodes | None]:
        if not is_wanted:
            yield None
            return
        num_cpus, num_gpus = node_size(self.plan.specs)
        log = self.settings.folder / f"{name}-cluster.log"
        with PrivateNodes(num_cpus=num_cpus, num_gpus=num_gpus, log=log) as nodes:
            yield nodes

    def _listing(self, store: Store) -> dict[str, str]:
        return self._points.listing(store.root, _python_path()) if self._points else {}

    def _child(self, store: Store, *more: str) -> Child:
        log = self.settings.folder / f"{store.root.name}.log"
        return Child([*self.settings.arguments, "--store", str(store.root), *more], {}, log)


def describe(outcome: Outcome) -> list[str]:
    """Say what came of it, for people."""
    kinds = [kill.what for kill in outcome.kills]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    lines = [
        f"trials       {outcome.num_trials}, of which {outcome.num_finished} finish undisturbed in "
        f"{duration(outcome.undisturbed_s)}",
        f"kills        {len(kinds)}: {counts}",
        f"runs         {len(outcome.rounds)} disturbed, in {duration(sum(one.seconds for one in outcome.rounds))}; "
        f"{sum(one.num_starts for one in outcome.rounds)} starts of the command, "
        f"{sum(one.num_attempts for one in outcome.rounds)} attempts at trials",
        f"lost work    {_spread(outcome.lost_s(), 'per kill that hit a trial')}",
        f"first step   {_spread(outcome.first_steps_s(of_driver=True), 'after a killed driver was started again')}",
        f"             {_spread(outcome.first_steps_s(of_driver=False), 'after the kill of a worker or a node')}",
    ]
    if outcome.points or outcome.points_left:
        num_all = len(outcome.points) + len(outcome.points_left)
        lines.append(f"write steps  crashed at {len(outcome.points)} of {num_all} named steps")
        lines += [f"             not met again: {name}" for name in outcome.points_left]
    leftovers = [name for one in outcome.rounds for name in one.leftovers]
    if leftovers:
        lines.append(
            f"left over    {len(leftovers)} files that killed attempts wrote in part; the first: {leftovers[0]}"
        )
    lines.append(
        f"outcome      {len(outcome.differences)} differences; the first: {outcome.differences[0]}"
        if outcome.differences
        else "outcome      equal: records, curves, files, reports and MLflow"
    )
    return lines


def _spread(seconds: list[float], what: str) -> str:
    if not seconds:
        return f"none measured {what}"
    return f"median {median(seconds):.1f} s, at most {max(seconds):.1f} s, in all {sum(seconds):.0f} s, {what}"


def _python_path() -> str:
    return os.environ.get("PYTHONPATH", "")
