"""The proposer of a search, run by hand: nothing lost, nothing doubled, and the same proposals after any end."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import StudyError
from ablate.plan.expand import expand
from ablate.plan.file import load_plan, save_plan
from ablate.plan.grown import grown, num_to_come
from ablate.plan.search_proposer import SearchProposer
from ablate.search.ledger import Ledger
from ablate.search.proposer import DONE, WAIT
from ablate.store import RunFacts, Store
from ablate.study.load import load_study
from ablate.trial import Outcome, Status, TrialSpec

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
def make_plan(toy_project: Any) -> Callable[..., Any]:
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


class Driver:
    """A backend without tasks: `num_slots` trials at a time, which end in a random order."""

    def __init__(self, plan: Any, store: Store, num_slots: int = 1, seed: int = 0) -> None:
        self.plan, self.store, self.num_slots = plan, store, num_slots
        self.draws = random.Random(seed)
        self.fails: Callable[[TrialSpec], bool] = lambda spec: False
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
            proposer.tell(self.end(running.pop(self.draws.randrange(len(running)))))
        return False

    def end(self, spec: TrialSpec) -> Outcome:
        attempt = self.store.claim(spec.id)
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


def test_a_search_ends_in_the_winners_on_test_data(make_plan: Any, tmp_path: Path) -> None:
    driver = Driver(make_plan(), Store(tmp_path / "s"))
    assert num_to_come(driver.plan, driver.store) == 2 * 6 * 2 + 2 * 2
    assert driver.run()
    plan = grown(driver.plan, driver.store)
    by_role = {role: [trial for trial in plan.trials if trial.role == role] for role in ("search", "arm", "untuned")}
    assert {role: len(trials) for role, trials in by_role.items()} == {"search": 24, "arm": 4, "untuned": 4}
    assert {trial.spec.parameters["method"]["evaluate_on"] for trial in by_role["search"]} == {"validation"}
    assert {trial.spec.parameters["method"]["evaluate_on"] for trial in by_role["arm"]} == {"test"}
    assert not {trial.spec.seed for trial in by_role["search"]} & {trial.spec.seed for trial in by_role["arm"]}
    for arm, told in driver.told().items():
        wins = min((values[0], number, json.loads(parameters)) for number, parameters, _, values in told)[2]
        assert {trial.spec.parameters["method"]["sigma_mm"] for trial in by_role["arm"] if trial.name == arm} == {
            wins["method.sigma_mm"]
        }
    assert plan.version == driver.plan.version
    assert num_to_come(plan, driver.store) == 0
    save_plan(driver.store.location, driver.plan)
    assert {trial.place for trial in load_plan(driver.store.location, "toy").trials} == {t.place for t in plan.trials}
    again = Driver(driver.plan, driver.store)
    assert again.run()
    assert again.proposed == []


def test_arms_have_the_same_first_proposals(make_plan: Any, tmp_path: Path) -> None:
    driver = Driver(make_plan(), Store(tmp_path / "s"))
    driver.run()
    ours, other = driver.told().values()
    assert [one[1] for one in ours] == [one[1] for one in other]  # ten startup draws of the same seed


@pytest.mark.parametrize("seed", range(2))
def test_a_search_that_is_killed_ends_as_an_undisturbed_one(make_plan: Any, tmp_path: Path, seed: int) -> None:
    plan = make_plan(("  budget: 6", "  budget: 12"), ("  seeds: 2", "  seeds: 1"))
    undisturbed = Driver(plan, Store(tmp_path / "one"))
    undisturbed.run()
    killed, draws = Driver(plan, Store(tmp_path / "other")), random.Random(seed)
    while not killed.run(most=draws.randrange(1, 9)):
        pass
    assert killed.told() == undisturbed.told()
    assert {spec.id for spec in killed.proposed} == {spec.id for spec in undisturbed.proposed}


@pytest.mark.parametrize("seed", range(2))
def test_with_many_at_a_time_nothing_is_lost_or_doubled(make_plan: Any, tmp_path: Path, seed: int) -> None:
    driver, draws = Driver(make_plan(), Store(tmp_path / "s"), num_slots=5, seed=seed), random.Random(seed)
    while not driver.run(most=draws.randrange(1, 9)):
        pass
    for told in driver.told().values():
        assert [(number, str(state)) for number, _, state, _ in told] == [(number, "told") for number in range(6)]
    ended = [spec.id for spec in driver.proposed if driver.store.record(spec.id)]
    assert {driver.store.last_attempt(trial_id) for trial_id in ended} == {1}


def test_so_many_configurations_at_a_time_as_the_study_says(make_plan: Any, tmp_path: Path) -> None:
    plan = make_plan(("  seeds: 2", "  seeds: 1\n  parallel: 1"), ("per: arm", "per: study"))
    proposer, store = SearchProposer(plan, Store(tmp_path / "s")), Store(tmp_path / "s")
    driver = Driver(plan, store)
    stages = [answer for answer in iter(proposer.ask, WAIT) if isinstance(answer, TrialSpec)]
    searched = [spec for spec in stages if spec.task.endswith(":run") and spec.seed >= 1000]
    for spec in stages:
        proposer.tell(driver.end(spec))
    assert searched == []
    assert len(Ledger(store, "toy", plan.searches[0].key).entries()) == 1


def test_a_configuration_that_fails_is_told_so_and_the_search_goes_on(make_plan: Any, tmp_path: Path) -> None:
    driver = Driver(make_plan(), Store(tmp_path / "s"))
    driver.fails = lambda spec: spec.seed == 1001 and spec.parameters.get("method", {}).get("num_steps") == 5
    assert driver.run()
    entries = [entry for one in driver.plan.searches for entry in Ledger(driver.store, "toy", one.key).entries()]
    failed = [entry for entry in entries if entry.state == "failed"]
    assert failed
    assert all(entry.parameters["method.num_steps"] == 5 for entry in failed)
    assert failed[0].reason.endswith("seed 1001: RuntimeError: no luck")
    again = Driver(driver.plan, driver.store)
    assert again.run()
    assert again.proposed == []  # what the sampler was told stays so


def test_a_stage_that_fails_fails_what_needs_it(make_plan: Any, tmp_path: Path) -> None:
    driver = Driver(make_plan(), Store(tmp_path / "s"))
    driver.fails = lambda spec: spec.task.endswith(":adapt") and spec.seed == 1000
    assert driver.run()
    assert {state for told in driver.told().values() for _, _, state, _ in told} == {"failed"}
    assert not [trial for trial in grown(driver.plan, driver.store).trials if trial.role == "arm"]


def test_equal_configurations_are_run_once(make_plan: Any, tmp_path: Path) -> None:
    few = ("{type: float, low: 1, high: 100, log: true}", "{choices: [1.0, 2.0]}")
    driver = Driver(make_plan(few, ("low: 2, high: 8", "low: 2, high: 3")), Store(tmp_path / "s"), num_slots=4)
    assert driver.run()
    assert [len(told) for told in driver.told().values()] == [6, 6]
    assert len({spec.id for spec in driver.proposed}) == len(driver.proposed)


def test_a_larger_budget_goes_on_with_the_search(make_plan: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    small = Driver(make_plan(), store)
    small.run()
    larger = Driver(make_plan(("  budget: 6", "  budget: 9")), store)
    assert num_to_come(larger.plan, store) == 2 * 3 * 2 + 2 * 2
    assert larger.run()
    for arm, told in larger.told().items():
        assert len(told) == 9
        assert told[:6] == small.told()[arm][:6]


def test_a_search_begins_with_what_another_study_learnt(make_plan: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    first = Driver(make_plan(), store)
    first.run()
    save_plan(store.location, first.plan)
    plan = make_plan(("study: toy\n", "study: next\n"), ("  seeds: 2", "  seeds: 2\n  warm_start: [toy]"))
    second = Driver(plan, store)
    assert second.run()
    entries = Ledger(store, "next", plan.searches[0].key).entries()
    assert [entry.origin for entry in entries[:6]] == [f"study toy, #{number}" for number in range(6)]
    assert sum(not entry.origin for entry in entries) == 6
    missing = make_plan(("warm_start: [toy]", "warm_start: [tox]"))
    with pytest.raises(StudyError, match=r"search.warm_start.0: the store .* has no plan of study 'tox'"):
        SearchProposer(missing, store)
