"""The sampler behind the search: equal to bare Optuna one at a time, and rebuilt from what it was asked and told."""

import math
import random
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import optuna
import pytest

from ablate.search.history import Entry, State
from ablate.search.model import Parameter, Search
from ablate.search.optuna import Suggester, decoded, encoded

GRID = (
    Parameter(key="kind", kind="choices", choices=("a", [1, 2], None)),
    Parameter(key="n", kind="int", low=1, high=5, step=2),
)
MIXED = (
    Parameter(key="kind", kind="choices", choices=("a", "b", [1, 2])),
    Parameter(key="x", kind="float", low=-5, high=10),
    Parameter(key="n", kind="int", low=1, high=9, when={"kind": ("a",)}),
)
NUMBERS = (*MIXED[1:2], Parameter(key="y", kind="float", low=1e-3, high=15, log=True))
SAMPLERS = {
    "tpe": MIXED,
    "random": MIXED,
    "grid": GRID,
    "cmaes": NUMBERS,
    "qmc": NUMBERS,
    "nsga2": MIXED,
    "gp": NUMBERS,
}


def value(given) -> float:
    return (given.get("x", 0.0) - 1) ** 2 + given.get("y", 0.0) + given.get("n", 0) + (given.get("kind") == "a")


def bare(space, function, number: int, sampler: optuna.samplers.BaseSampler) -> list[tuple[dict, float | None]]:
    """What a person would write with Optuna alone; without a value where the function gives no number."""

    def objective(trial: optuna.Trial) -> float:
        given = {}
        for one in space:
            if all(given.get(key) in values for key, values in one.when.items()):
                if one.kind == "choices":
                    given[one.key] = trial.suggest_categorical(one.key, one.choices)
                elif one.kind == "int":
                    given[one.key] = trial.suggest_int(one.key, one.low, one.high, log=one.log)
                else:
                    given[one.key] = trial.suggest_float(one.key, one.low, one.high, log=one.log)
        return function(given)

    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=number)
    return [(trial.params, trial.value) for trial in study.trials]


def one_at_a_time(search: Search, function, number: int) -> list[tuple[dict, float | None]]:
    suggester, found = Suggester(search), []
    for _ in range(number):
        place, parameters = suggester.ask()
        came_out = function(parameters)
        failed = math.isnan(came_out)
        suggester.tell(place, State.FAILED if failed else State.TOLD, None if failed else [came_out])
        found.append((parameters, None if failed else came_out))
    return found


@pytest.mark.parametrize("name", ["branin", "hartmann", "conditional"])
def test_one_at_a_time_it_proposes_what_bare_optuna_proposes(known: SimpleNamespace, name: str) -> None:
    space, function = known.cases[name]
    theirs = bare(space, function, 60, optuna.samplers.TPESampler(seed=7))
    assert one_at_a_time(known.search(space, seed=7), function, 60) == theirs


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("random", optuna.samplers.RandomSampler),
        ("cmaes", partial(optuna.samplers.CmaEsSampler, warn_independent_sampling=False)),
        ("qmc", partial(optuna.samplers.QMCSampler, scramble=True, warn_independent_sampling=False)),
    ],
)
def test_so_do_the_other_samplers(known: SimpleNamespace, name: str, make) -> None:
    theirs = bare(NUMBERS, value, 40, make(seed=7))
    assert one_at_a_time(known.search(NUMBERS, name, seed=7), value, 40) == theirs


def test_a_failed_configuration_counts_as_it_does_for_bare_optuna(known: SimpleNamespace) -> None:
    space, function = known.cases["branin"]

    def fails(given) -> float:
        return math.nan if given["x"] > 5 else function(given)

    ours = one_at_a_time(known.search(space, seed=3), fails, 40)
    assert ours == bare(space, fails, 40, optuna.samplers.TPESampler(seed=3))
    assert 0 < [came_out for _, came_out in ours].count(None) < 40


class Driver:
    """Runs a search with some configurations out at a time, which end in a random order; some fail."""

    def __init__(self, search: Search, history: list[Entry], num_open: int, number: int) -> None:
        self.suggester = Suggester(search, history)
        self.entries = list(history)
        self._search, self._num_open, self._number = search, num_open, number

    def step(self, draws: random.Random) -> bool:
        waiting = [entry.number for entry in self.entries if entry.state is State.OPEN]
        if len(waiting) < self._num_open and len(self.entries) < self._number:
            number, parameters = self.suggester.ask()
            self.entries.append(Entry(number=number, parameters=parameters, open=tuple(waiting)))
        elif waiting:
            entry = self.entries[draws.choice(waiting)]
            values = (value(entry.parameters),) * len(self._search.objectives)
            failed = entry.number % 5 == 3
            entry = replace(entry, state=State.FAILED if failed else State.TOLD, values=None if failed else values)
            self.suggester.tell(entry.number, entry.state, entry.values)
            self.entries[entry.number] = entry
        return len(self.entries) < self._number or bool(waiting)


@pytest.mark.parametrize(("name", "num_open"), [(name, num) for name in SAMPLERS for num in (1, 3)][:-1])
def test_a_sampler_made_anew_goes_on_as_if_nothing_had_been(known: SimpleNamespace, name: str, num_open: int) -> None:
    number = {"grid": 9, "gp": 12}.get(name, 24)
    search = known.search(SAMPLERS[name], name, objectives=2 if name == "nsga2" else 1)
    undisturbed, draws = Driver(search, [], num_open, number), random.Random(num_open)
    snapshots = []
    while undisturbed.step(draws):
        snapshots.append((list(undisturbed.entries), draws.getstate()))
    for history, state in snapshots[2 :: max(1, len(snapshots) // (2 if name == "gp" else 4))]:
        again = Driver(search, history, num_open, number)
        draws.setstate(state)
        while again.step(draws):
            pass
        assert again.entries == undisturbed.entries


def test_a_grid_has_every_point_once(known: SimpleNamespace) -> None:
    search = known.search(GRID, "grid")
    assert search.num_configurations == 9
    driver, draws = Driver(search, [], 2, 9), random.Random(0)
    while driver.step(draws):
        pass
    points = {str(entry.parameters) for entry in driver.entries}
    assert len(points) == 9
    assert "{'kind': [1, 2], 'n': 3}" in points


def test_a_history_that_cannot_be_repeated_is_learnt_from(known: SimpleNamespace, caplog) -> None:
    search = known.search()
    told = [
        Entry(number=index, parameters={"x": index / 10, "y": 1.0}, state=State.TOLD, values=(index / 10,))
        for index in range(20)
    ]
    waiting = Entry(number=20, parameters={"x": 5.0, "y": 5.0})
    suggester = Suggester(search, [*told, waiting])
    assert "are not what this version of Optuna" in caplog.text
    suggester.tell(20, State.TOLD, [1.0])
    assert suggester.ask()[0] == 21


def test_what_others_tried_counts_for_the_sampler(known: SimpleNamespace) -> None:
    search = known.search(seed=3)
    near = Entry(number=0, parameters={"x": 2.0, "y": 3.0}, state=State.TOLD, values=(0.0,), origin="study other, #0")
    alone, helped = Suggester(search), Suggester(search)
    for index in range(20):
        helped.adopt(replace(near, number=index, parameters={"x": 2.0 + index / 100, "y": 3.0}))
    assert helped.ask()[0] == 20
    assert alone.ask()[0] == 0


def test_choices_that_optuna_cannot_hold_come_back_as_they_were() -> None:
    for choice in ("a", "b", [1, 2]):
        given = {"kind": choice, "x": 1.5}
        assert decoded(MIXED, encoded(MIXED, given)) == given
