"""How long 10,000 trials take to plan, and to plan again when they are done, beside a fixed loop of this machine.

Planning may take 5 s. Where the loop, timed just before, says that the machine is slow or busy, it may take longer in
proportion.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ablate.plan.describe import describe, trial_lines
from ablate.plan.expand import expand
from ablate.plan.file import load_plan, save_plan
from ablate.plan.model import Plan
from ablate.plan.reasons import reasons
from ablate.plan.subjects import subjects
from ablate.store import RunFacts, Store, TrialIndex
from ablate.store.files import json_text, replacing
from ablate.store.record import record_content
from ablate.study.load import load_study
from ablate.trial import Outcome, Status

pytestmark = pytest.mark.bench

LIMIT_S = 5.0
LOOP_S = 0.3
"""What the loop takes on one quiet core of 2023."""
ARMS = "  rough: {method.sigma_mm: 20}\n  by weight: {method.kind: weighted}\n"


class Laps:
    """Prints what each step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        start_s = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start_s
        print(f"  {name:38} {self.seconds[name]:6.2f} s")


def calibration_s() -> float:
    """Time a loop of pure Python that is the same everywhere."""
    start_s = time.perf_counter()
    total = 0
    for number in range(12_000_000):
        total += number & 7
    assert total > 0
    return time.perf_counter() - start_s


def finish_all(store: Store, plan: Plan) -> None:
    """Give every trial a record, as a run would."""
    for id_ in plan.specs:
        facts = RunFacts(attempt=1, started="", ended="2026", seconds=1.0, host="", python="", versions={"torch": "2"})
        outcome = Outcome(trial_id=id_, attempt=1, status=Status.FINISHED, metrics={"error": 1.0, "multi/error": 2.0})
        with replacing(store.folder(id_) / "record.json", flushed=False) as file:
            file.write(json_text(record_content(outcome, facts)))


@pytest.fixture
def study(toy_project) -> Callable[[int, int], None]:
    def write(num_arms: int, num_seeds: int) -> None:
        arms = "".join(f"  arm {index}: {{method.sigma_mm: {index + 100}}}\n" for index in range(num_arms - 1))
        toy_project.edit(ARMS, arms)
        toy_project.edit("replicates: 2", f"replicates: {num_seeds}")

    return write


@pytest.mark.parametrize(("num_arms", "num_seeds"), [(1000, 10), (10_000, 1)])
def test_ten_thousand_trials_are_planned_in_time(study, toy_project, num_arms: int, num_seeds: int) -> None:
    study(num_arms, num_seeds)
    store, laps = Store(toy_project.root / "runs"), Laps()
    loop_s = calibration_s()
    limit_s = LIMIT_S * max(1.0, loop_s / LOOP_S)
    print(
        f"\n{num_arms} arms x {num_seeds} seeds; calibration loop {loop_s:.2f} s, so planning may take {limit_s:.1f} s"
    )
    with laps.lap("planning"):
        with laps.lap("  reading the study"):
            loaded = load_study(toy_project.study)
        with laps.lap("  composing, binding, expanding"):
            plan = expand(loaded)
        with laps.lap("  reasons"):
            finished = store.finished(plan.specs)
            why = reasons(plan, store, finished)
        with laps.lap("  describing"):
            lines = [*describe(plan, finished, why), *trial_lines(plan, why)]
    assert len(plan.specs) == 10_000 + num_seeds + 1
    assert len(lines) > 10_000
    assert laps.seconds["planning"] < limit_s

    with laps.lap("execute: specifications"):
        for spec in plan.specs.values():
            store.write_spec(spec)
    with laps.lap("execute: subjects and code"):
        TrialIndex(store.root).note(subjects(plan), plan.code)
    with laps.lap("execute: the plan"):
        save_plan(store.root, plan)
    with laps.lap("status: the plan is read"):
        assert load_plan(store.root, "toy") == plan

    finish_all(store, plan)
    with laps.lap("planning what is finished"):
        assert all(reason.is_cached for reason in reasons(expand(load_study(toy_project.study)), store).values())
    assert laps.seconds["planning what is finished"] < limit_s

    toy_project.edit("0.1", "0.2", name="toy/noise.py")
    with laps.lap("planning after a change of code"):
        plan = expand(load_study(toy_project.study))
        why = reasons(plan, store)
    assert {str(reason) for reason in why.values()} == {"code changed: toy/noise.py"}
    assert laps.seconds["planning after a change of code"] < limit_s
