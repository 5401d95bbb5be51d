"""Population based training: who goes on from whom, with which settings, and what decides it: results, not time."""

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablate.errors import StudyError
from ablate.plan.describe import describe
from ablate.plan.grown import grown, num_to_come
from ablate.search.history import Entry, State, best
from ablate.search.ledger import Ledger
from ablate.search.model import Budget, Objective, Parameter, Population, Pruner, Sampler, Search
from ablate.search.population import (
    SHIFT,
    STRONGER,
    WEAKER,
    drawn,
    explored,
    is_waiting,
    lineage,
    parent_of_next,
    proposed,
)
from ablate.store import Store
from ablate.trial import PARENT

RATE = Parameter(key="rate", kind="float", low=1e-4, high=1.0, log=True)
SPACE = (
    RATE,
    Parameter(key="shift", kind="float", low=-1.0, high=1.0, step=0.25),
    Parameter(key="width", kind="int", low=1, high=64, log=True),
    Parameter(key="kind", kind="choices", choices=("line", "curve", ["a", 1])),
    Parameter(key="order", kind="int", low=0, high=9, step=3, when={"kind": ("curve",)}),
)
OLD_BUDGET = "  budget: 6\n"
SAMPLER = "{name: pbt, population: 4, generations: 3, length: method.num_steps}"
ONE_ARM = ("per: arm", "per: study")
ONE_KEY = ("    method.num_steps: {type: int, low: 2, high: 8}\n", "")
PBT = (ONE_KEY, (OLD_BUDGET, f"  sampler: {SAMPLER}\n"))


def population(size: int = 8, quantile: float = 0.25, seed: int = 0, better: str = "lower") -> Search:
    """Make a search by a population."""
    return Search(
        per="study",
        space=SPACE,
        sampler=Sampler(name="pbt", seed=seed),
        pruner=Pruner(name="none", metric="loss"),
        budget=Budget(trials=size * 3),
        objectives=(Objective(metric="loss", better=better),),
        seeds=(1000,),
        population=Population(size=size, generations=3, length="steps", quantile=quantile),
    )


def generation(search: Search, values: Sequence[float | None], before: Sequence[Entry] = ()) -> list[Entry]:
    """Propose a generation and tell its values; `None` for a member that failed."""
    entries = list(before)
    for value in values:
        parameters, parent = proposed(search, entries)
        came = {"state": State.FAILED} if value is None else {"state": State.TOLD, "values": (value,)}
        entries.append(Entry(number=len(entries), parameters=parameters, parent=parent, **came))
    return entries


def children(search: Search, entries: Sequence[Entry]) -> list[int | None]:
    return [entry.parent for entry in generation(search, [1.0] * 8, entries)[len(entries) :]]


def is_within(parameter: Parameter, value: Any) -> bool:
    if parameter.kind == "choices":
        return value in parameter.choices
    steps = (value - parameter.low) / (parameter.step or 1)
    on_step = parameter.step is None or steps == pytest.approx(round(steps))
    return (
        parameter.low <= value <= parameter.high and on_step and (parameter.kind == "float") == isinstance(value, float)
    )


def test_the_worst_go_on_from_the_best_and_the_others_from_themselves() -> None:
    search = population()
    entries = generation(search, [3, 1, 8, 4, 2, 7, 5, 6])
    parents = children(search, entries)
    assert [parents[index] for index in (0, 1, 3, 4, 6, 7)] == [0, 1, 3, 4, 6, 7]
    assert {parents[2], parents[5]} <= {1, 4}
    after = generation(search, [1.0] * 8, entries)[8:]
    assert all(after[index].parameters == entries[index].parameters for index in (0, 1, 3, 4, 6, 7))
    assert all(after[index].parameters != entries[after[index].parent].parameters for index in (2, 5))


def test_what_failed_is_among_the_worst_however_many() -> None:
    search = population()
    few = children(search, generation(search, [3, None, 8, None, 2, None, 5, 6]))
    assert {few[1], few[3], few[5]} <= {4, 0}
    assert few[2] == 2  # worse than a quarter of those that came out, yet better than what failed
    one = children(search, generation(search, [None] * 7 + [1.0]))
    assert one == [7] * 8
    assert children(search, generation(search, [None] * 8)) == list(range(8))  # no better one


def test_higher_is_better_where_the_objective_says_so() -> None:
    search = population(better="higher")
    parents = children(search, generation(search, [3, 1, 8, 4, 2, 7, 5, 6]))
    assert {parents[1], parents[4]} <= {2, 5}


def test_of_two_members_one_gives_up() -> None:
    for quantile in (0.1, 0.25, 0.5):
        search = population(size=2, quantile=quantile)
        entries = generation(search, [2.0, 1.0])
        assert [entry.parent for entry in generation(search, [1.0, 1.0], entries)[2:]] == [1, 1]


def test_a_generation_waits_for_the_one_before() -> None:
    search = population(size=2)
    entries = generation(search, [2.0, 1.0])
    assert not is_waiting(search, entries)
    assert is_waiting(search, [entries[0], replace(entries[1], state=State.OPEN)])
    assert not is_waiting(search, [replace(entries[0], state=State.OPEN)])  # members of one generation do not
    assert parent_of_next(search, entries[:1]) is None


def test_only_what_was_trained_in_full_wins() -> None:
    search = population(size=2)
    entries = generation(search, [2.0, 0.1])
    entries = generation(search, [3.0, 4.0], entries)
    assert best(search, entries) is None
    entries = generation(search, [0.5, 0.4], entries)
    winner = best(search, entries)
    assert winner is not None
    assert winner.number == 5
    way = lineage(entries, winner)
    assert [entry.number // 2 for entry in way] == [0, 1, 2]
    assert [entry.parent for entry in way[1:]] == [entry.number for entry in way[:-1]]


def test_numbers_are_multiplied_and_stay_within_their_bounds() -> None:
    draws = random.Random(0)
    moved = {explored([RATE], {"rate": 0.1}, draws)["rate"] for _ in range(50)}
    assert moved == {0.1 * WEAKER, 0.1 * STRONGER}
    assert {explored([RATE], {"rate": 1.0}, draws)["rate"] for _ in range(50)} == {WEAKER, 1.0}
    width = SPACE[2]
    assert {explored([width], {"width": 2}, draws)["width"] for _ in range(50)} == {1, 3}  # one at least
    assert {explored([width], {"width": 10}, draws)["width"] for _ in range(50)} == {8, 12}
    around_zero = Parameter(key="x", kind="float", low=-1.0, high=1.0)
    assert {explored([around_zero], {"x": 0.0}, draws)["x"] for _ in range(50)} == {2 * SHIFT, -2 * SHIFT}


def test_choices_are_drawn_again_now_and_then_and_conditions_followed() -> None:
    draws = random.Random(0)
    found = [explored(SPACE, {**BEGIN, "kind": "line"}, draws) for _ in range(2000)]
    assert sum(one["kind"] != "line" for one in found) == pytest.approx(500, abs=60)
    assert all(("order" in one) == (one["kind"] == "curve") for one in found)
    back = [explored(SPACE, {**BEGIN, "kind": "curve", "order": 3}, draws) for _ in range(50)]
    assert {one["order"] for one in back if one["kind"] == "curve"} == {0, 6}


BEGIN = {"rate": 0.1, "shift": 0.0, "width": 8}


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_configuration_lies_in_the_space(seed: int) -> None:
    draws = random.Random(seed)
    found = drawn(SPACE, draws)
    for _ in range(20):
        assert {one.key for one in SPACE if one.is_active(found)} == found.keys()
        assert all(is_within(one, found[one.key]) for one in SPACE if one.key in found)
        found = explored(SPACE, found, draws)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.none() | st.floats(-1e6, 1e6), min_size=4, max_size=4), order=st.permutations(range(4)))
def test_neither_the_order_of_the_results_nor_the_time_of_asking_matters(values: list[Any], order: list[int]) -> None:
    plain = population(size=4)
    told = generation(plain, values)
    late = [replace(entry, state=State.OPEN, values=None) for entry in told]
    for index in order:
        assert is_waiting(plain, late)
        late[index] = told[index]
    assert not is_waiting(plain, late)
    assert proposed(plain, late) == proposed(plain, told)
    assert proposed(population(size=4, seed=1), []) != proposed(plain, [])


def test_it_follows_an_optimum_that_moves_where_no_constant_can() -> None:
    """Ten parts of a training, in each of which another rate is best: the losses of all parts add up."""
    wanted = [0.5 * 0.75**part for part in range(10)]

    def loss(rate: float, part: int) -> float:
        return math.log(rate / wanted[part]) ** 2

    best_constant = min(sum(loss(10 ** (-index / 100), part) for part in range(10)) for index in range(400))
    found = []
    for seed in range(10):
        search = replace(population(size=32, seed=seed), space=(RATE,))
        search = replace(search, population=replace(search.population, generations=10))
        entries: list[Entry] = []
        for number in range(320):
            parameters, parent = proposed(search, entries)
            before = 0.0 if parent is None else entries[parent].values[0]
            value = before + loss(parameters["rate"], number // 32)
            entry = Entry(number=number, parameters=parameters, parent=parent, state=State.TOLD, values=(value,))
            entries.append(entry)
        found.append(best(search, entries).values[0])
    assert max(found) < best_constant
    assert median(found) < best_constant / 2


def told(driver: Any) -> list[Any]:
    ledgers = [Ledger(driver.store, "toy", one.key) for one in driver.plan.searches]
    return [
        (one.number, one.parent, json.dumps(one.parameters), one.state, one.values, one.trials)
        for ledger in ledgers
        for one in ledger.entries()
    ]


def test_a_population_is_trained_and_its_winner_goes_the_same_way_on_test_data(
    make_search: Any, drive: Any, tmp_path: Path
) -> None:
    plan = make_search(*PBT)
    driver = drive(plan, Store(tmp_path / "s"), num_slots=3)
    assert num_to_come(plan, driver.store) == 2 * 12 * 2 + 2 * 2 * 3
    assert driver.run()
    for planned in plan.searches:
        entries = Ledger(driver.store, "toy", planned.key).entries()
        assert [entry.state for entry in entries] == [State.TOLD] * 12
        for entry in entries:
            for seed, trial_id in entry.trials.items():
                spec = driver.store.read_spec(trial_id)
                assert spec.keeps_state
                assert spec.parameters["method"]["num_steps"] == [1, 2, 4][entry.number // 4]
                assert spec.parameters["method"]["evaluate_on"] == "validation"
                parent = None if entry.parent is None else entries[entry.parent].trials[seed]
                assert spec.needs.get(PARENT) == parent
        winner = best(plan.study.search, entries)
        rows = [
            trial for trial in grown(plan, driver.store).trials if trial.role == "arm" and trial.name == planned.arm
        ]
        assert [trial.spec.seed for trial in rows] == [0, 1]
        for row in rows:
            spec, way = row.spec, lineage(entries, winner)
            for entry in way[::-1]:
                assert spec.parameters["method"]["sigma_mm"] == entry.parameters["method.sigma_mm"]
                assert spec.parameters["method"]["evaluate_on"] == "test"
                assert (spec.seed, spec.keeps_state) == (row.spec.seed, True)
                assert (PARENT in spec.needs) == (entry.number >= 4)
                spec = driver.store.read_spec(spec.needs[PARENT]) if PARENT in spec.needs else None
            assert spec is None
    whole = grown(plan, driver.store)
    assert num_to_come(whole, driver.store) == 0
    assert "search: pbt with a population of 4 over 3 generations over 1 parameter" in "\n".join(describe(whole, ()))
    again = drive(plan, driver.store)
    assert again.run()
    assert again.proposed == []


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_it_ends_as_undisturbed(make_search: Any, drive: Any, tmp_path: Path, seed: int) -> None:
    plan = make_search(*PBT)
    undisturbed = drive(plan, Store(tmp_path / "one"))
    assert undisturbed.run()
    killed, draws = drive(plan, Store(tmp_path / "other"), num_slots=1 + seed * 2, seed=seed), random.Random(seed)
    while not killed.run(most=draws.randrange(1, 7)):
        pass
    assert told(killed) == told(undisturbed)
    assert {spec.id for spec in killed.proposed} == {spec.id for spec in undisturbed.proposed}


def test_where_a_whole_generation_fails_the_search_ends(make_search: Any, drive: Any, tmp_path: Path) -> None:
    driver = drive(make_search(*PBT, ONE_ARM), Store(tmp_path / "s"))
    driver.fails = lambda spec: spec.keeps_state and spec.parameters["method"]["num_steps"] == 2
    assert driver.run()
    (planned,) = driver.plan.searches
    entries = Ledger(driver.store, "toy", planned.key).entries()
    assert [entry.state for entry in entries] == [State.TOLD] * 4 + [State.FAILED] * 8
    assert entries[-1].reason == "no configuration of the generation before came to a value"
    assert best(driver.plan.study.search, entries) is None


def test_ids_of_other_trials_and_keys_of_other_searches_stay(make_search: Any) -> None:
    plan = make_search(ONE_KEY)
    specs = [*plan.specs.values(), *(one.spec for one in plan.configurations.tried("ours", "ours #0", {}))]
    assert all("keeps_state" not in spec.content() for spec in specs)


CASES: dict[str, tuple[tuple[str, str], ...]] = {
    "nothing but its name": ((OLD_BUDGET, "  sampler: pbt\n"),),
    "settings of a population for others": (
        (OLD_BUDGET, "  budget: 6\n  sampler: {name: tpe, population: 8, quantile: 0.2}\n"),
    ),
    "others need a budget": ((OLD_BUDGET, ""),),
    "too few and too many": (
        ONE_KEY,
        (OLD_BUDGET, f"  sampler: {SAMPLER[:-1].replace('4', '1').replace('3', '0')}, quantile: 0.6}}\n"),
    ),
    "a budget that says something else": (ONE_KEY, (OLD_BUDGET, f"  budget: 13\n  sampler: {SAMPLER}\n")),
    "limits of another kind": (
        ONE_KEY,
        (OLD_BUDGET, f"  budget: {{trials: 12, hours: 2, no_improvement: 3}}\n  sampler: {SAMPLER}\n"),
    ),
    "what does not go with it": (
        ONE_KEY,
        (
            OLD_BUDGET,
            f"  sampler: {SAMPLER}\n  pruner: asha\n  warm_start: [other]\n  storage: sqlite:///x.db\n",
        ),
    ),
    "several objectives": (*PBT, ("  metric: error\n", "  metric: [error, multi/error]\n"), ONE_ARM),
    "a length that is searched": ((OLD_BUDGET, f"  sampler: {SAMPLER}\n"),),
    "a length that is not there": (ONE_KEY, (OLD_BUDGET, f"  sampler: {SAMPLER.replace('num_steps', 'num_epochs')}\n")),
    "a length that is no integer": (
        ("    method.sigma_mm: {type: float, low: 1, high: 100, log: true}\n", ""),
        ("    method.num_steps: {type: int, low: 2, high: 8}\n", "    method.kind: {choices: [plain, weighted]}\n"),
        ("  by weight: {method.kind: weighted}\n", "  other: {method.sizes: [4]}\n"),
        (OLD_BUDGET, f"  sampler: {SAMPLER.replace('num_steps', 'sigma_mm')}\n"),
    ),
    "a length too short": (
        ONE_KEY,
        (OLD_BUDGET, f"  sampler: {SAMPLER.replace('generations: 3', 'generations: 5')}\n"),
    ),
    "what a stage takes too": (
        ONE_KEY,
        ("    method.sigma_mm:", "    data.num_samples: {choices: [4, 5]}\n    method.sigma_mm:"),
        (OLD_BUDGET, f"  sampler: {SAMPLER}\n"),
    ),
    "a task that cannot be restored": (
        ONE_KEY,
        ("task: toy.tasks:run\n", "task: toy.tasks:measured\n"),
        (OLD_BUDGET, f"  sampler: {SAMPLER}\n"),
    ),
}


def test_what_check_says_of_a_population_is_as_reviewed(
    make_search: Any, toy_project: Any, golden: Callable[..., None]
) -> None:
    source = (toy_project.root / "toy/tasks.py").read_text()
    plain = "\n\ndef measured(*, method: Method, data: Data, seed: int) -> dict[str, float]:\n    return {}\n"
    toy_project.write("toy/tasks.py", source + plain)
    original, said = toy_project.study.read_text(), []
    for name, changes in CASES.items():
        toy_project.write("studies/toy.yaml", original)
        with pytest.raises(StudyError) as raised:
            make_search(*changes)
        said.append(f"# {name}\n{raised.value}")
    golden("population_faults.txt", "\n\n".join(said) + "\n")
