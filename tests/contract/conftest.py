"""Tasks, a proposer and a recorder that the backends' contract suite runs with."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablate.backends.local import LocalBackend
from ablate.backends.ray_tune import RayTuneBackend
from ablate.search.proposer import DONE, WAIT, Answer
from ablate.store import Store
from ablate.trial import Outcome, Report, Resources, Status, TrialSpec

TASKS = '''
import itertools
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch


def numbers(*, slope: float, num_steps: int, seed: int, trial) -> dict[str, float]:
    """Depend on everything that must be the same everywhere: seeds, threads, dtype, order of sums."""
    state = trial.restore() or {"step": 0, "total": torch.zeros(())}
    draws = random.random() + float(np.random.rand()) + float(torch.rand(()))
    matrix = torch.linspace(-1.0, 1.0, 40_000).reshape(200, 200) * slope
    total = state["total"]
    for step in range(state["step"] + 1, num_steps + 1):
        total = total + (matrix @ matrix).sum() / step + seed
        trial.report(step, {"total": float(total)}, state=lambda: {"step": step, "total": total})
    product = np.linspace(0, 1, 90_000).reshape(300, 300)
    return {
        "total": float(total),
        "draws": draws,
        "sum": float((product @ product).sum()),
        "threads": torch.get_num_threads(),
        "bits": torch.tensor(0.5).dtype.itemsize,
        "env": len(os.environ.get("LEFT_BEHIND", "")),
    }


def litter(*, trial) -> dict[str, float]:
    """Leave behind what must not reach the next trial."""
    os.environ["LEFT_BEHIND"] = "yes"
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(7)
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    return {"x": 1.0}


def instant(*, index: int) -> dict[str, float]:
    return {"index": float(index)}


def raising(*, trial) -> dict[str, float]:
    print("about to raise")
    raise ZeroDivisionError("no luck")


def second_time(*, trial) -> dict[str, float]:
    marker = trial.artifact("was_here")
    if not marker.exists():
        marker.touch()
        raise RuntimeError("only the first time")
    return {"x": 2.0}


def wrong_result() -> dict[str, float]:
    return [1.0]


def stage(*, value: float, trial) -> dict[str, float]:
    trial.artifact("value.txt").write_text(str(value))
    return {"value": value}


def dependant(*, factor: float, trial) -> dict[str, float]:
    return {"product": factor * float((trial.inputs["base"] / "value.txt").read_text())}


def killed_once(*, num_steps: int, trial) -> dict[str, float]:
    """Die without warning in the middle, the first time; then go on from the checkpoint."""
    state = trial.restore() or {"step": 0, "total": 0.0}
    first = state["step"]
    for step in range(first + 1, num_steps + 1):
        total = step * 0.5 + state["total"]
        state = {"step": step, "total": total}
        trial.report(step, {"total": total}, state=lambda: state)
        marker = trial.artifact("died")
        if step == num_steps // 2 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return {"total": state["total"], "first": float(first)}


def leaving_once(*, trial) -> dict[str, float]:
    """Get the warning of a machine that is about to go, and work on until the platform asks to stop."""
    state = trial.restore()
    if state is not None:
        return {"first": float(state["step"])}
    for step in itertools.count(1):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        trial.report(step, {"step": step}, state=lambda: {"step": step})


def endless(*, trial) -> dict[str, float]:
    """Work on until told otherwise, and then go on where that was; the process can be found by its number."""
    state = trial.restore()
    if state is not None:
        return {"first": float(state["step"])}
    for step in itertools.count(1):
        trial.report(step, {"pid": os.getpid()}, state=lambda: {"step": step})
        time.sleep(0.01)


def stubborn(*, trial) -> dict[str, float]:
    """Let nothing but its own end stop it."""
    for step in itertools.count(1):
        try:
            trial.report(step, {"x": 1.0})
        except Exception:
            pass
        time.sleep(0.01)


def spoils_the_store(*, trial) -> dict[str, float]:
    """Put a file where the checkpoints go."""
    (trial.artifact("x").parents[1] / "checkpoints").touch()
    trial.report(1, {"x": 1.0}, state=lambda: {"step": 1})
    return {"x": 1.0}


def deaf(*, trial) -> dict[str, float]:
    trial.report(1, {"x": 1.0})
    while True:
        time.sleep(0.01)
'''


class ListProposer:
    """Proposes the trials of a list, each when what it needs is finished."""

    def __init__(self, specs: Sequence[TrialSpec]) -> None:
        self.waiting = list(specs)
        self.outcomes: dict[str, Outcome] = {}
        self.told: list[Outcome] = []
        self.running = 0
        self.is_hopeless: Callable[[Report], bool] = lambda report: False

    def ask(self) -> TrialSpec | Answer:
        for spec in self.waiting:
            needed = [self.outcomes.get(need) for need in spec.needs.values()]
            if all(outcome is not None and outcome.status is Status.FINISHED for outcome in needed):
                self.waiting.remove(spec)
                self.running += 1
                return spec
        return WAIT if self.running else DONE

    def reported(self, report: Report) -> bool:
        return self.is_hopeless(report)

    def tell(self, outcome: Outcome) -> None:
        self.running -= 1
        self.told.append(outcome)
        self.outcomes[outcome.trial_id] = outcome


class Listener:
    """A recorder that remembers, and may do something at each report."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, int]] = []
        self.reports: list[Report] = []
        self.outcomes: list[Outcome] = []
        self.on_report = lambda report: None

    def started(self, spec: TrialSpec, attempt: int) -> None:
        self.events.append(("started", spec.id, attempt))

    def reported(self, report: Report) -> None:
        self.reports.append(report)
        self.events.append(("reported", report.trial_id, report.attempt))
        self.on_report(report)

    def ended(self, spec: TrialSpec, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.events.append((str(outcome.status), spec.id, outcome.attempt))

    def close(self) -> None:
        self.events.append(("closed", "", 0))


def _spec(
    name: str,
    *,
    seed: int | None = None,
    needs: Mapping[str, str] | None = None,
    num_cpus: float = 1.0,
    retries: int = 1,
    time_limit_s: float | None = None,
    memory_limit_mib: float | None = None,
    **parameters: object,
) -> TrialSpec:
    resources = Resources(
        num_cpus=num_cpus, retries=retries, time_limit_s=time_limit_s, memory_limit_mib=memory_limit_mib
    )
    return TrialSpec(
        task=f"contract_tasks:{name}", parameters=parameters, seed=seed, needs=needs or {}, resources=resources
    )


def _run(
    backend, store: Path, specs, *, listener=None, stopping=lambda: False, is_hopeless=lambda report: False
) -> SimpleNamespace:
    trials = Store(store)
    for spec in specs:
        trials.write_spec(spec)
    proposer, listener = ListProposer(specs), listener or Listener()
    proposer.is_hopeless = is_hopeless
    backend.run(proposer, listener, store=store, stopping=stopping)
    return SimpleNamespace(store=trials, listener=listener, told=proposer.told, outcomes=proposer.outcomes)


@pytest.fixture(scope="session")
def contract_tasks(tmp_path_factory) -> Iterator[Path]:
    """An importable module of tasks, here and in every process that is started from here."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "contract_tasks.py").write_text(TASKS)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def ray_cluster(contract_tasks) -> Iterator[None]:
    """One private cluster for the module: starting one takes seconds."""
    from ablate.backends.ray_cluster import connected, prepare_environment, scratch_folder

    prepare_environment()
    with scratch_folder(None) as folder, connected(None, num_cpus=2, folder=folder):
        yield


@pytest.fixture(scope="module")
def local() -> LocalBackend:
    return LocalBackend(checkpoint_interval_s=0.0)


@pytest.fixture(scope="module")
def ray_tune(ray_cluster) -> RayTuneBackend:
    return RayTuneBackend(checkpoint_interval_s=0.0, grace_s=20.0)


@pytest.fixture(scope="module", params=["local", pytest.param("ray_tune", marks=pytest.mark.ray)])
def backend(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def contract(contract_tasks) -> SimpleNamespace:
    """What a contract test is written with."""
    return SimpleNamespace(spec=_spec, run=_run, Listener=Listener, ListProposer=ListProposer)
