"""Attempts from the clean process to the record, one or a stack of them: the same code under every backend."""

import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ablate.errors import StoreError
from ablate.store import Store
from ablate.target import companion_path, instantiate, instantiate_stacked
from ablate.trial import Outcome, Report, Status, TrialSpec
from ablate.worker.capture import captured
from ablate.worker.context import (
    CHECKPOINT_INTERVAL_S,
    EndedByDriver,
    StopTrial,
    TrialContext,
    as_metrics,
    num_threads,
)
from ablate.worker.isolation import clean_process
from ablate.worker.limits import LimitExceeded, Limits
from ablate.worker.rounds import Rounds
from ablate.worker.stack import Stack
from ablate.worker.system import sampled

_PLATFORM = str(Path(__file__).parents[1])


def run_trial(
    store: Store,
    trial_id: str,
    attempt: int,
    *,
    on_report: Callable[[Report], bool],
    stopping: Callable[[], bool],
    device: str | None = None,
    checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
    may_exit: bool = False,
) -> Outcome:
    """Run the claimed attempt of one trial: `run_trials` with a stack of one."""
    (outcome,) = run_trials(
        store,
        [(trial_id, attempt)],
        on_report=on_report,
        stopping=stopping,
        device=device,
        checkpoint_interval_s=checkpoint_interval_s,
        may_exit=may_exit,
    )
    return outcome


def run_trials(
    store: Store,
    attempts: Sequence[tuple[str, int]],
    *,
    on_report: Callable[[Report], bool],
    stopping: Callable[[], bool],
    device: str | None = None,
    checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
    may_exit: bool = False,
) -> list[Outcome]:
    """Run claimed attempts together and write their records; a trial that is finished already is not run again.

    A trial by itself is a call of its task, several that differ in their seed are one call of its companion. They end
    alike, whichever of them raised. The state of the process is that of the first seed, and sums may be taken in
    another order: results equal those of separate runs within floating-point tolerance, not to the last bit.

    Args:
        store: Holds the trials' specifications and takes all they give.
        attempts: Id of each trial, and its claimed number.
        on_report: Takes each point of the curves, after it is stored; says whether the driver ends the trials with it.
            Then they come back as pruned, and the driver writes their records.
        stopping: Asked at each report: should the trials save their state and end?
        device: Where to compute; by default `cuda` where the trials ask for a GPU and there is one, else `cpu`.
        checkpoint_interval_s: Least time between two checkpoints.
        may_exit: Whether this process may be ended for trials that exceed a limit and do not report.

    Raises:
        StoreError: The store cannot be read or written, or an attempt was overtaken.
    """
    records = {trial_id: store.record(trial_id) for trial_id, _ in attempts}
    done = {id_: record.outcome for id_, record in records.items() if record and record.status is Status.FINISHED}
    left = [(trial_id, attempt) for trial_id, attempt in attempts if trial_id not in done]
    if left:
        stack = Stack(store, left)
        limits = Limits(stack.first.resources, give_up=stack.give_up if may_exit else None)
        with sampled(store, left), captured(stack.logs) as capture:
            stack.announce(capture)
            make_trial = partial(
                TrialContext,
                store=store,
                on_report=limits.after(on_report),
                rounds=Rounds(len(left), interval_s=checkpoint_interval_s, stopping=stopping),
                capture=capture,
            )
            found = _run(stack, limits, make_trial, device)
            stack.conclude(capture, found)
        if found[0].status is not Status.PRUNED:
            found = stack.recorded(found)
        done |= {outcome.trial_id: outcome for outcome in found}
    return [done[trial_id] for trial_id, _ in attempts]


def _run(stack: Stack, limits: Limits, make_trial: Callable[..., TrialContext], device: str | None) -> list[Outcome]:
    """Call the task, and say how that ended."""
    try:
        where = device or _device(stack.first)
        both = zip(stack.specs, stack.attempts, strict=True)
        trials = [make_trial(spec=spec, attempt=attempt, device=where) for spec, (_, attempt) in both]
        with limits:
            outcomes = _called(stack, _call(stack, trials))
        if outcomes[0].status is Status.FINISHED:
            for trial in trials:
                trial.close()
    except StoreError:
        raise
    except LimitExceeded as error:
        return stack.outcomes(Status.FAILED, error=str(error))
    except Exception as error:
        return stack.outcomes(Status.FAILED, error=_told(error))
    return outcomes


def _call(stack: Stack, trials: Sequence[TrialContext]) -> Callable[[], object]:
    """Import the task; before the process is reset, as that may draw random numbers and load libraries with threads."""
    first = stack.first
    if len(trials) == 1:
        return instantiate(first.task, first.parameters, seed=first.seed, trial=trials[0])
    seeds = [spec.seed for spec in stack.specs if spec.seed is not None]
    return instantiate_stacked(first.task, first.parameters, seeds=seeds, trials=trials)


def _called(stack: Stack, call: Callable[[], object]) -> list[Outcome]:
    """Call the task in a process as good as new, the first seed's, and look at what it returns."""
    wanted = stack.first.resources
    process = clean_process(
        seed=stack.first.seed or 0, num_threads=num_threads(wanted.num_cpus), deterministic=wanted.deterministic
    )
    try:
        with process:
            metrics = _metrics(stack, call())
    except EndedByDriver:
        return stack.outcomes(Status.PRUNED)
    except StopTrial:
        return stack.outcomes(Status.INTERRUPTED)
    except SystemExit as error:
        return stack.outcomes(Status.FAILED, error=_told(error))
    return stack.outcomes(Status.FINISHED, metrics=metrics)


def _metrics(stack: Stack, found: object) -> list[dict[str, float]]:
    """Check what a task returned, or what its companion did.

    Raises:
        TypeError: It is something else; the text says what was expected.
    """
    task, number = stack.first.task, len(stack.specs)
    if number == 1:
        return [as_metrics(found, f"what {task} returned")]
    where = f"what {companion_path(task)} returned"
    if not isinstance(found, list | tuple) or len(found) != number:
        got = f"{len(found)} of them" if isinstance(found, list | tuple) else type(found).__name__
        raise TypeError(f"{where}: expected a list of {number} dicts of numbers, one per seed, got {got}")
    return [as_metrics(one, f"{where} for seed {spec.seed}") for one, spec in zip(found, stack.specs, strict=True)]


def _told(error: BaseException) -> str:
    """Write the traceback of a task that raised; it begins in the task, so it is the same everywhere."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None and frame.tb_frame.f_code.co_filename.startswith(_PLATFORM):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def _device(spec: TrialSpec) -> str:
    """Give `cuda` where the trial asks for a GPU and there is one; the log says so where there is none."""
    if not spec.resources.num_gpus:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    print(f"this trial asks for {spec.resources.num_gpus} GPUs and this process sees none: it computes on the CPU")
    return "cpu"
