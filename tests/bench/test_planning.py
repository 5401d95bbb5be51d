"""How long 10,000 trials take to plan, to plan again when they are done (which is to resume), and to write down.

In a process that has planned before, beside a fixed loop of pure Python in the same rounds. Planning may take 5 s;
where the loop says that the machine is slow or busy, it may take longer in proportion.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ablate.plan.describe import describe, trial_lines
from ablate.plan.expand import expand
from ablate.plan.file import load_plan, save_plan
from ablate.plan.model import Plan
from ablate.plan.reasons import Reason, reasons
from ablate.plan.subjects import subjects
from ablate.store import RunFacts, Store, TrialIndex
from ablate.store.files import json_text, replacing
from ablate.store.record import record_content
from ablate.study.load import load_study
from ablate.trial import Outcome, Status
from tests.bench.loop import LOOP, LOOP_S, python_loop
from tests.bench.measuring import Contract, Peer

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

LIMIT_S = 5.0
NUM_TRIALS = 10_000
ROUNDS = Contract(budget_s=0.0, min_rounds=5)
ARMS = "  rough: {method.sigma_mm: 20}\n  by weight: {method.kind: weighted}\n"
FRESH, RESUMED, CHANGED = "plan, nothing done", "plan, all done (resume)", "plan, code changed"
WRITTEN, READ = "write the specifications and the plan", "read the plan"


def finish_all(store: Store, plan: Plan) -> None:
    """Give every trial a record, as a run would."""
    for id_ in plan.specs:
        facts = RunFacts(attempt=1, started="", ended="2026", seconds=1.0, host="", python="", versions={"torch": "2"})
        outcome = Outcome(trial_id=id_, attempt=1, status=Status.FINISHED, metrics={"error": 1.0, "multi/error": 2.0})
        with replacing(store.folder(id_) / "record.json", flushed=False) as file:
            file.write(json_text(record_content(outcome, facts)))


def write(store: Store, plan: Plan) -> None:
    """Write what `ablate run` does before the first trial."""
    for spec in plan.specs.values():
        store.write_spec(spec)
    TrialIndex(store.root).note(subjects(plan), plan.code)
    save_plan(store.root, plan)


@dataclass(frozen=True)
class Case:
    """A study of so many arms and seeds, in a project of its own."""

    project: Any
    num_arms: int
    num_seeds: int

    def prepare(self) -> None:
        arms = "".join(f"  arm {index}: {{method.sigma_mm: {index + 100}}}\n" for index in range(self.num_arms - 1))
        self.project.edit(ARMS, arms)
        self.project.edit("replicates: 2", f"replicates: {self.num_seeds}")

    def plan(self, store: Store) -> Mapping[str, Reason]:
        """Do what `ablate plan` does."""
        plan = expand(load_study(self.project.study))
        finished = store.finished(plan.specs)
        why = reasons(plan, store, finished)
        assert len([*describe(plan, finished, why), *trial_lines(plan, why)]) > NUM_TRIALS
        return why

    def plan_changed(self, store: Store) -> Mapping[str, Reason]:
        self.project.edit("0.1", "0.2", name="toy/noise.py")
        why = self.plan(store)
        self.project.edit("0.2", "0.1", name="toy/noise.py")
        return why

    def peers(self, root: Path) -> dict[str, Peer]:
        self.prepare()
        empty, full = Store(root / "empty"), Store(root / "full")
        plan = expand(load_study(self.project.study))
        assert len(plan.specs) == NUM_TRIALS + self.num_seeds + 1
        write(full, plan)
        assert load_plan(full.root, "toy") == plan
        finish_all(full, plan)
        assert all(reason.is_cached for reason in self.plan(full).values())
        assert {str(reason) for reason in self.plan_changed(full).values()} == {"code changed: toy/noise.py"}
        calls: dict[str, Callable[[], object]] = {
            LOOP: python_loop,
            FRESH: lambda: self.plan(empty),
            RESUMED: lambda: self.plan(full),
            CHANGED: lambda: self.plan_changed(full),
            WRITTEN: self._writing(root / "written", plan),
            READ: lambda: load_plan(full.root, "toy"),
        }
        return {name: Peer(call) for name, call in calls.items()}

    @staticmethod
    def _writing(root: Path, plan: Plan) -> Callable[[], None]:
        """Write into a fresh store each time: what is there already is not written again."""
        numbers = itertools.count()

        def call() -> None:
            write(Store(root / str(next(numbers))), plan)

        return call


@pytest.mark.parametrize("size", [(1_000, 10), (10_000, 1)], ids=["1000x10", "10000x1"])
@pytest.mark.parametrize("name", [LOOP, FRESH, RESUMED, CHANGED, WRITTEN, READ])
def test_ten_thousand_trials_are_planned_in_time(side_by_side, toy_project, tmp_path, size, name):
    case = Case(toy_project, *size)
    group = f"10,000 trials, {case.num_arms:,} arms x {case.num_seeds} seeds"
    comparison = side_by_side(group, name, lambda: case.peers(tmp_path / "stores"), unit="calls", contract=ROUNDS)
    limit_s = LIMIT_S * max(1.0, comparison.samples[LOOP].median_wall_s / LOOP_S)
    if name in (FRESH, RESUMED, CHANGED):
        assert comparison.samples[name].median_wall_s < limit_s
