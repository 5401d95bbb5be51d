"""One attempt at a trial, from the clean process to the record: the same code under every backend."""

import os
import platform
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib import metadata
from pathlib import Path

from ablate.errors import StoreError
from ablate.store import Store
from ablate.store.record import RunFacts
from ablate.target import instantiate
from ablate.trial import Outcome, Report, Status, TrialSpec
from ablate.worker.capture import captured
from ablate.worker.context import CHECKPOINT_INTERVAL_S, StopTrial, TrialContext, as_metrics, num_threads
from ablate.worker.isolation import clean_process
from ablate.worker.limits import LimitExceeded, Limits
from ablate.worker.system import sampled

_PLATFORM = str(Path(__file__).parents[1])
_DECIDING_LIBRARIES = ("torch", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class _Clock:
    """When the attempt began, for people and for differences."""

    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    start_s: float = field(default_factory=time.perf_counter)


def run_trial(
    store: Store,
    trial_id: str,
    attempt: int,
    *,
    on_report: Callable[[Report], None],
    stopping: Callable[[], bool],
    device: str | None = None,
    checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
    may_exit: bool = False,
) -> Outcome:
    """Run the claimed attempt and write its record; a trial that is finished already is not run again.

    Args:
        store: Holds the trial's specification and takes all it gives.
        trial_id: The trial.
        attempt: Its claimed number.
        on_report: Takes each point of the curves, after it is stored.
        stopping: Asked at each report: should the trial save its state and end?
        device: Where to compute; by default `cuda` where the trial asks for a GPU and there is one, else `cpu`.
        checkpoint_interval_s: Least time between two checkpoints.
        may_exit: Whether this process may be ended for a trial that exceeds a limit and does not report.

    Raises:
        StoreError: The store cannot be read or written, or the attempt was overtaken.
    """
    found = store.record(trial_id)
    if found is not None and found.status is Status.FINISHED:
        return found.outcome
    store.begin(trial_id, attempt)
    spec = store.read_spec(trial_id)
    clock = _Clock()
    give_up = partial(_given_up, store, trial_id, attempt, clock) if may_exit else None
    limits = Limits(spec.resources, give_up=give_up)
    with sampled(store, trial_id, attempt), captured(store.log_file(trial_id, attempt)) as capture:
        print(f"--- attempt {attempt} at {clock.started} on {socket.gethostname()}: {spec.task}", file=capture.log)
        outcome = Outcome(trial_id=trial_id, attempt=attempt, status=Status.INTERRUPTED)
        try:
            trial = TrialContext(
                store=store,
                spec=spec,
                attempt=attempt,
                device=device or _device(spec),
                on_report=limits.after(on_report),
                stopping=stopping,
                checkpoint_interval_s=checkpoint_interval_s,
                capture=capture,
            )
            # Imported before the reset: importing may draw random numbers and load libraries with thread pools.
            with limits:
                call = instantiate(spec.task, spec.parameters, seed=spec.seed, trial=trial)
                outcome = _called(call, spec, attempt)
            trial.close()
        except StoreError:
            raise
        except LimitExceeded as error:
            outcome = replace(outcome, status=Status.FAILED, error=str(error))
        except Exception as error:
            outcome = _failed(trial_id, attempt, error)
        if outcome.error:
            print(outcome.error, file=capture.log)
        print(f"--- attempt {attempt} {outcome.status}", file=capture.log)
    return _recorded(store, outcome, clock)


def _called(call: Callable[[], object], spec: TrialSpec, attempt: int) -> Outcome:
    """Call the task in a process as good as new, and look at what it returns."""
    wanted = spec.resources
    process = clean_process(
        seed=spec.seed or 0, num_threads=num_threads(wanted.num_cpus), deterministic=wanted.deterministic
    )
    try:
        with process:
            metrics = as_metrics(call(), f"what {spec.task} returned")
    except StopTrial:
        return Outcome(trial_id=spec.id, attempt=attempt, status=Status.INTERRUPTED)
    except SystemExit as error:
        return _failed(spec.id, attempt, error)
    return Outcome(trial_id=spec.id, attempt=attempt, status=Status.FINISHED, metrics=metrics)


def _given_up(store: Store, trial_id: str, attempt: int, clock: _Clock, error: str) -> None:
    """Write the record of a task that does not listen, and end this process with it."""
    try:
        _recorded(store, Outcome(trial_id=trial_id, attempt=attempt, status=Status.FAILED, error=error), clock)
    finally:
        os._exit(1)


def _failed(trial_id: str, attempt: int, error: BaseException) -> Outcome:
    """Make the outcome of a trial that raised; the traceback begins in the task, so it is the same everywhere."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None and frame.tb_frame.f_code.co_filename.startswith(_PLATFORM):
        frame = frame.tb_next
    text = "".join(traceback.format_exception(type(error), error, frame))
    return Outcome(trial_id=trial_id, attempt=attempt, status=Status.FAILED, error=text)


def _recorded(store: Store, outcome: Outcome, clock: _Clock) -> Outcome:
    """Write the record, and give the outcome with its time."""
    seconds = time.perf_counter() - clock.start_s
    run = RunFacts(
        attempt=outcome.attempt,
        started=clock.started,
        ended=datetime.now(UTC).isoformat(),
        seconds=seconds,
        host=socket.gethostname(),
        python=platform.python_version(),
        versions=_versions(),
    )
    store.finish(outcome.trial_id, outcome.attempt, outcome, run)
    return replace(outcome, seconds=seconds)


def _device(spec: TrialSpec) -> str:
    """Give `cuda` where the trial asks for a GPU and there is one; the log says so where there is none."""
    if not spec.resources.num_gpus:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    print(f"this trial asks for {spec.resources.num_gpus} GPUs and this process sees none: it computes on the CPU")
    return "cpu"


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in ("ablate-studies", *_DECIDING_LIBRARIES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
