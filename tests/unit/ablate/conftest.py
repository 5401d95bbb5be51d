"""A toy study that searches, and a backend without tasks to run it."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ablate.plan.expand import expand
from ablate.plan.search_proposer import SearchProposer
from ablate.search.ledger import Ledger
from ablate.search.proposer import DONE, WAIT
from ablate.store import RunFacts, Store
from ablate.study.load import load_study
from ablate.trial import Outcome, Report, Status, TrialSpec

SEARCH = """\
search:
  per: arm
  space:
    method.sigma_mm: {type: float, low: 1, high: 100, log: true}
    method.num_steps: {type: int, low: 2, high: 8}
  budget: 6
  metric: error
  seeds: 2
"""


@pytest.fixture
def make_search(toy_project: Any) -> Callable[..., Any]:
    """Plan the toy study with a search, after changes of its text."""
    split = '    evaluate_on: Literal["validation", "test"] = "test"\n'
    toy_project.edit("    num_steps: int = 4\n", f"    num_steps: int = 4\n{split}", "toy/tasks.py")
    toy_project.edit("metrics:\n", f"{SEARCH}metrics:\n")
    toy_project.edit("  rough: {method.sigma_mm: 20}\n", "")

    def make(*changes: tuple[str, str]) -> Any:
        for change in changes:
            toy_project.edit(*change)
        return expand(load_study(toy_project.study))

    return make


class SearchDriver:
    """A backend without tasks: `num_slots` trials at a time, which end in a random order."""

    def __init__(self, plan: Any, store: Store, num_slots: int = 1, seed: int = 0) -> None:
        self.plan, self.store, self.num_slots = plan, store, num_slots
        self.draws = random.Random(seed)
        self.fails: Callable[[TrialSpec], bool] = lambda spec: False
        self.curve: Callable[[TrialSpec], list[float]] = lambda spec: []
        """The errors that a trial reports on its way, at steps 1, 2, 3..."""
        self.proposed: list[TrialSpec] = []

    def run(self, most: int = 10_000) -> bool:
        """Run until nothing more is proposed, or so many trials have ended; what runs then is lost."""
        proposer, running = SearchProposer(self.plan, self.store), []
        for _ in range(most):
            while len(running) < self.num_slots and isinstance(answer := proposer.ask(), TrialSpec):
                assert answer not in running, "proposed while it runs"
                assert all(self.store.record(need) for need in answer.needs.values())
                self.proposed.append(answer)
                running.append(answer)
            if not running:
                assert proposer.ask() is DONE
                return True
            assert len(running) == self.num_slots or proposer.ask() in {WAIT, DONE}
            spec = running.pop(self.draws.randrange(len(running)))
            attempt = self.store.claim(spec.id)
            is_pruned = any(proposer.reported(report) for report in self.reports(spec, attempt))
            proposer.tell(self.pruned(spec, attempt) if is_pruned else self.end(spec, attempt))
        return False

    def reports(self, spec: TrialSpec, attempt: int) -> Iterator[Report]:
        if spec.parameters.get("method", {}).get("evaluate_on") == "validation":
            for step, error in enumerate(self.curve(spec), start=1):
                report = Report(trial_id=spec.id, attempt=attempt, step=step, metrics={"error": error})
                self.store.append_report(report)
                yield report

    def pruned(self, spec: TrialSpec, attempt: int) -> Outcome:
        outcome = Outcome(trial_id=spec.id, attempt=attempt, status=Status.PRUNED)
        facts = RunFacts(attempt=attempt, started="", ended="", seconds=0.5, host="", python="")
        self.store.finish(spec.id, attempt, outcome, facts)
        return outcome

    def end(self, spec: TrialSpec, attempt: int) -> Outcome:
        failed = self.fails(spec)
        method = spec.parameters.get("method", {})
        error = abs(method.get("sigma_mm", 0.0) - 10.0) + method.get("num_steps", 0) + (spec.seed or 0) / 1000
        outcome = Outcome(
            trial_id=spec.id,
            attempt=attempt,
            status=Status.FAILED if failed else Status.FINISHED,
            metrics={} if failed else {"error": error, "multi/error": error},
            error="Traceback\nRuntimeError: no luck" if failed else None,
        )
        facts = RunFacts(attempt=attempt, started="", ended="", seconds=1.0, host="", python="")
        self.store.finish(spec.id, attempt, outcome, facts)
        return outcome

    def told(self) -> dict[str, list[tuple[Any, ...]]]:
        """Give all that the samplers were told, by arm."""
        ledgers = {one.arm: Ledger(self.store, "toy", one.key) for one in self.plan.searches}
        return {
            arm: [(one.number, json.dumps(one.parameters), one.state, one.values) for one in ledger.entries()]
            for arm, ledger in ledgers.items()
        }


@pytest.fixture
def drive() -> type[SearchDriver]:
    """The backend: `drive(plan, store).run()`."""
    return SearchDriver
