"""The proposer of a search, run by hand: nothing lost, nothing doubled, and the same proposals after any end."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import StudyError
from ablate.plan.file import load_plan, save_plan
from ablate.plan.grown import grown, num_to_come
from ablate.plan.search_proposer import SearchProposer
from ablate.search.ledger import Ledger
from ablate.search.proposer import WAIT
from ablate.store import Store
from ablate.trial import TrialSpec


def test_a_search_ends_in_the_winners_on_test_data(make_search: Any, drive: Any, tmp_path: Path) -> None:
    driver = drive(make_search(), Store(tmp_path / "s"))
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
    again = drive(driver.plan, driver.store)
    assert again.run()
    assert again.proposed == []


def test_arms_have_the_same_first_proposals(make_search: Any, drive: Any, tmp_path: Path) -> None:
    driver = drive(make_search(), Store(tmp_path / "s"))
    driver.run()
    ours, other = driver.told().values()
    assert [one[1] for one in ours] == [one[1] for one in other]  # ten startup draws of the same seed


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_search_ends_as_an_undisturbed_one(make_search: Any, drive: Any, tmp_path: Path, seed: int) -> None:
    plan = make_search(("  budget: 6", "  budget: 12"), ("  seeds: 2", "  seeds: 1"))
    undisturbed = drive(plan, Store(tmp_path / "one"))
    undisturbed.run()
    killed, draws = drive(plan, Store(tmp_path / "other")), random.Random(seed)
    while not killed.run(most=draws.randrange(1, 9)):
        pass
    assert killed.told() == undisturbed.told()
    assert {spec.id for spec in killed.proposed} == {spec.id for spec in undisturbed.proposed}


@pytest.mark.parametrize("seed", range(2))
def test_side_by_side_nothing_is_lost_or_doubled(make_search: Any, drive: Any, tmp_path: Path, seed: int) -> None:
    driver, draws = drive(make_search(), Store(tmp_path / "s"), num_slots=5, seed=seed), random.Random(seed)
    while not driver.run(most=draws.randrange(1, 9)):
        pass
    for told in driver.told().values():
        assert [(number, str(state)) for number, _, state, _ in told] == [(number, "told") for number in range(6)]
    ended = [spec.id for spec in driver.proposed if driver.store.record(spec.id)]
    assert {driver.store.last_attempt(trial_id) for trial_id in ended} == {1}


def test_so_many_configurations_at_a_time_as_the_study_says(make_search: Any, drive: Any, tmp_path: Path) -> None:
    plan = make_search(("  seeds: 2", "  seeds: 1\n  parallel: 1"), ("per: arm", "per: study"))
    proposer, store = SearchProposer(plan, Store(tmp_path / "s")), Store(tmp_path / "s")
    driver = drive(plan, store)
    stages = [answer for answer in iter(proposer.ask, WAIT) if isinstance(answer, TrialSpec)]
    searched = [spec for spec in stages if spec.task.endswith(":run") and spec.seed >= 1000]
    for spec in stages:
        proposer.tell(driver.end(spec, driver.store.claim(spec.id)))
    assert searched == []
    assert len(Ledger(store, "toy", plan.searches[0].key).entries()) == 1


def test_a_failed_configuration_is_told_so_and_the_search_goes_on(make_search: Any, drive: Any, tmp_path: Path) -> None:
    driver = drive(make_search(), Store(tmp_path / "s"))
    driver.fails = lambda spec: spec.seed == 1001 and spec.parameters.get("method", {}).get("num_steps") == 5
    assert driver.run()
    entries = [entry for one in driver.plan.searches for entry in Ledger(driver.store, "toy", one.key).entries()]
    failed = [entry for entry in entries if entry.state == "failed"]
    assert failed
    assert all(entry.parameters["method.num_steps"] == 5 for entry in failed)
    assert failed[0].reason.endswith("seed 1001: RuntimeError: no luck")
    again = drive(driver.plan, driver.store)
    assert again.run()
    assert again.proposed == []  # what the sampler was told stays so


def test_a_stage_that_fails_fails_what_needs_it(make_search: Any, drive: Any, tmp_path: Path) -> None:
    driver = drive(make_search(), Store(tmp_path / "s"))
    driver.fails = lambda spec: spec.task.endswith(":adapt") and spec.seed == 1000
    assert driver.run()
    assert {state for told in driver.told().values() for _, _, state, _ in told} == {"failed"}
    assert not [trial for trial in grown(driver.plan, driver.store).trials if trial.role == "arm"]


def test_equal_configurations_are_run_once(make_search: Any, drive: Any, tmp_path: Path) -> None:
    few = ("{type: float, low: 1, high: 100, log: true}", "{choices: [1.0, 2.0]}")
    driver = drive(make_search(few, ("low: 2, high: 8", "low: 2, high: 3")), Store(tmp_path / "s"), num_slots=4)
    assert driver.run()
    assert [len(told) for told in driver.told().values()] == [6, 6]
    assert len({spec.id for spec in driver.proposed}) == len(driver.proposed)


def test_a_larger_budget_goes_on_with_the_search(make_search: Any, drive: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    small = drive(make_search(), store)
    small.run()
    larger = drive(make_search(("  budget: 6", "  budget: 9")), store)
    assert num_to_come(larger.plan, store) == 2 * 3 * 2 + 2 * 2
    assert larger.run()
    for arm, told in larger.told().items():
        assert len(told) == 9
        assert told[:6] == small.told()[arm][:6]


def test_a_search_begins_with_what_another_study_learnt(make_search: Any, drive: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    first = drive(make_search(), store)
    first.run()
    save_plan(store.location, first.plan)
    plan = make_search(("study: toy\n", "study: next\n"), ("  seeds: 2", "  seeds: 2\n  warm_start: [toy]"))
    second = drive(plan, store)
    assert second.run()
    entries = Ledger(store, "next", plan.searches[0].key).entries()
    assert [entry.origin for entry in entries[:6]] == [f"study toy, #{number}" for number in range(6)]
    assert sum(not entry.origin for entry in entries) == 6
    missing = make_search(("warm_start: [toy]", "warm_start: [tox]"))
    with pytest.raises(StudyError, match=r"search.warm_start.0: the store .* has no plan of study 'tox'"):
        SearchProposer(missing, store)
