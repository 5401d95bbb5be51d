"""The driver's end of the Ray backend: a searcher that asks the proposer, and callbacks that stop and watch.

What was measured of Ray Tune decides the form: the searcher must never say "not now" while nothing runs (Tune would
block), exceptions must not pass through Tune (it would turn them into text), and nothing here is ever restored from
Tune's snapshots (the store is the truth). Imported only where ray is used.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from ablate.backends.attempts import Attempts, Stack
from ablate.backends.ray_cluster import HeadLostError
from ablate.backends.ray_nodes import Nodes
from ablate.errors import BackendError, StoreError
from ablate.search.proposer import WAIT, Answer
from ablate.trial import Report, Resources, TrialSpec

IMPORT_FAILED = "failed to import on the worker"
"""What Ray says where it could not load an actor's class."""
METRICS = "metrics/"
"""Begins the names of metrics in the flat results that Tune's schedulers see."""
LOOK_AHEAD = 2.0
"""Trials handed to Tune, in units of what fits at once: with none waiting, short trials run one at a time."""


@dataclass(slots=True, kw_only=True)
class Run:
    """What searcher, callbacks and stopper share during one run.

    Args:
        attempts: Hands out attempts and takes what came of them.
        stopping: The user's wish to stop, or a fault of the store.
        faults: Faults of the store, met here or by a trial: the others are asked to save what they can.
        settings: Part of every trial's configuration: where the store and the stop file are.
        nodes: The cluster.
        may_grow: Whether the cluster may get more than it has now.
        grace_s: Time that trials get between the wish to stop and their end.
        start_timeout_s: Time within which one of the trials handed to Tune has to start while none runs.
    """

    attempts: Attempts
    stopping: Callable[[], bool]
    faults: list[StoreError]
    settings: Mapping[str, Any]
    nodes: Nodes
    may_grow: bool
    grace_s: float
    start_timeout_s: float
    handed: dict[str, Stack] = field(default_factory=dict)
    """What Tune has, by its own trial ids: each of its trials is a stack of ours, mostly of one."""
    running: set[str] = field(default_factory=set)
    error: Exception | None = None
    is_past_grace: bool = False

    @property
    def capacity(self) -> Mapping[str, float]:
        """What the cluster has now, by Ray's names."""
        return self.nodes.capacity

    def break_down(self, error: Exception) -> None:
        """Take note of what ends the run: a fault of the store lets the trials save, anything else ends it at once."""
        if isinstance(error, StoreError):
            self.faults.append(error)
        else:
            self.error = self.error or error

    @property
    def stop_file(self) -> Path:
        """Its presence asks every trial to stop."""
        return Path(self.settings["stop_file"])


class Inert:
    """Pickled as nothing: Tune writes searcher, callbacks and stopper into a snapshot that nobody reads."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (object, ())


class ProposerSearcher(Inert, Searcher):
    """Gives Tune the trials that the proposer gives us, no more than the cluster can soon take."""

    def __init__(self, run: Run) -> None:
        super().__init__(metric=None, mode=None)
        self._run = run
        self._kept: tuple[TrialSpec, ...] | None = None

    def suggest(self, trial_id: str) -> Any:
        """Give the next attempt's configuration, `None` for not now, or `FINISHED` for never again."""
        if self._run.error is not None:
            return self._finished()
        try:
            return self._suggest(trial_id)
        except Exception as error:
            self._run.break_down(error)
            return self._finished()

    def _suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        run = self._run
        if run.stopping():
            return self._finished()
        answer = self._kept or run.attempts.next()
        self._kept = None
        if isinstance(answer, Answer):
            return None if answer is WAIT else self._finished()
        first = answer[0]
        self._check_feasible(first)
        if not self._has_room(first.resources):
            self._kept = answer
            return None
        stack = run.attempts.claim(answer)
        run.handed[trial_id] = stack
        return {
            **run.settings,
            "attempts": [(attempt.spec.id, attempt.number) for attempt in stack],
            "task": first.task,
            "num_cpus": first.resources.num_cpus,
            "num_gpus": first.resources.num_gpus,
        }

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take the end of a stack; what came of it stands in the store."""
        run = self._run
        run.running.discard(trial_id)
        try:
            run.attempts.ended(run.handed.pop(trial_id))
        except Exception as fault:
            run.break_down(fault)

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the store is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing."""

    def _finished(self) -> str:
        return str(Searcher.FINISHED)

    def _has_room(self, wanted: Resources) -> bool:
        handed = [stack[0].spec.resources for stack in self._run.handed.values()]
        if not handed:
            return True
        capacity = self._run.capacity
        num_cpus = wanted.num_cpus + sum(resources.num_cpus for resources in handed)
        num_gpus = wanted.num_gpus + sum(resources.num_gpus for resources in handed)
        has_cpus = num_cpus <= LOOK_AHEAD * capacity.get("CPU", 0.0)
        return has_cpus and (not wanted.num_gpus or num_gpus <= LOOK_AHEAD * capacity.get("GPU", 0.0))

    def _check_feasible(self, spec: TrialSpec) -> None:
        for name, wanted in (("CPU", spec.resources.num_cpus), ("GPU", spec.resources.num_gpus)):
            found = self._run.capacity.get(name, 0.0)
            if wanted > found and not self._run.may_grow:
                raise BackendError(
                    f"{spec.task} asks for {wanted:g} {name}s and this machine has {found:g}: "
                    f"lower resources.num_{name.lower()}s in the study, or join a larger cluster with --address"
                )


class Placement(Inert, FIFOScheduler):
    """Ends hopeless trials, and gives a process that became free to a trial for which none is being started yet.

    Tune's own order gives it to the trial that waits longest, and cancels the process that is being started for that
    one. Starting a process takes longer than a short trial, so that no second one would ever stand (measured: trials
    of one second ran one at a time on two CPUs).
    """

    def __init__(self, run: Run) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._run = run

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Give the first pending trial beyond those that have room of their own, if there is one."""
        trials = tune_controller.get_trials()
        running = [trial.config for trial in trials if trial.status == Trial.RUNNING]
        free_cpus = self._run.capacity.get("CPU", 0.0) - sum(config["num_cpus"] for config in running)
        for trial in trials:
            if trial.status == Trial.PENDING:
                # The process that became free still holds its CPUs, so one such share is not there to start in.
                free_cpus -= trial.config["num_cpus"]
                if free_cpus < trial.config["num_cpus"]:
                    return trial
        return None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Pass on one point of the curves; end the trial where it is hopeless."""
        if "step" not in result:
            return self.CONTINUE
        report = Report(
            trial_id=result["trial"],
            attempt=result["attempt"],
            step=result["step"],
            metrics={key.removeprefix(METRICS): result[key] for key in result if key.startswith(METRICS)},
        )
        try:
            return self.STOP if self._run.attempts.reported(report) else self.CONTINUE
        except Exception as error:
            self._run.break_down(error)
            return self.CONTINUE


class Watch(Inert, tune.Callback):
    """Passes Tune's events on, asks trials to stop, ends those that are deaf, and notices when nothing starts."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._idle_since_s = time.monotonic()
        self._asked_at_s: float | None = None

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Take note that an attempt got its process."""
        self._run.running.add(trial.trial_id)
        self._guarded(lambda: self._run.attempts.started(self._run.handed[trial.trial_id]))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Hear of a node or a store that cannot be used."""
        if "unusable" in result:
            self._run.error = self._run.error or BackendError(result["unusable"])
        if "store_fault" in result:
            self._run.break_down(StoreError(result["store_fault"]))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tell a node that lacks the platform from a process that died: no attempt would ever start there."""
        self._guarded(lambda: _check_platform(Path(trial.error_file)))

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look after stopping and starting; called about ten times a second."""
        now_s = time.monotonic()
        if self._run.nodes.is_head_lost:
            self._run.error = self._run.error or HeadLostError()
        if self._run.stopping():
            self._stop(trials, now_s)
        if self._run.running or not self._run.handed:
            self._idle_since_s = now_s
        elif now_s - self._idle_since_s > self._run.start_timeout_s and self._run.error is None:
            waiting = next(iter(self._run.handed.values()))[0].spec
            self._run.error = BackendError(
                f"no trial started within {self._run.start_timeout_s:g} s: {waiting.task} asks for "
                f"{waiting.resources.num_cpus:g} CPUs and {waiting.resources.num_gpus:g} GPUs, the cluster has "
                f"{self._run.capacity.get('CPU', 0):g} and {self._run.capacity.get('GPU', 0):g}: free some, or run "
                "the same command again"
            )

    def _stop(self, trials: list[Any], now_s: float) -> None:
        if self._asked_at_s is None:
            self._asked_at_s = now_s
            self._run.nodes.ask_to_stop()
            self._guarded(self._run.stop_file.touch)
        if now_s - self._asked_at_s <= self._run.grace_s or self._run.is_past_grace:
            return
        # Left to itself, Tune waits ten more seconds for each process that does not end.
        for trial in trials:
            if trial.trial_id in self._run.running and trial.temporary_state.ray_actor is not None:
                ray.kill(trial.temporary_state.ray_actor)
        self._run.is_past_grace = True

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self._run.break_down(error)


def _check_platform(error_file: Path) -> None:
    """Look into what Tune wrote about the end of an attempt.

    Raises:
        BackendError: The process could not import this package.
    """
    text = error_file.read_text() if error_file.is_file() else ""
    if IMPORT_FAILED in text:
        place = re.search(r"\bip[=:] ?([\d.]+)", text)
        reason = re.search(r"^\s*(\w+Error: .*)$", text.partition(IMPORT_FAILED)[2], re.MULTILINE)
        raise BackendError(
            f"the node {place[1] if place else 'that was chosen'} cannot import the platform"
            f"{f' ({reason[1]})' if reason else ''}: install the same packages on every node of the cluster"
        )


class Deadline(Inert, tune.Stopper):
    """Ends the run at once when something broke, or when the time for trials to stop is over."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial."""
        return False

    def stop_all(self) -> bool:
        """Say whether the whole run is to end now."""
        return self._run.error is not None or self._run.is_past_grace
