"""Importance on functions whose parameters matter by construction."""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ablate.analysis import importance
from ablate.analysis.importance import (
    FEWEST_RESAMPLES,
    MIN_CONFIGURATIONS,
    MOST_WORK,
    SearchImportance,
    measure_importance,
)
from ablate.search import optuna_importance
from ablate.search.history import Entry, State
from ablate.search.model import Budget, Objective, Parameter, Pruner, Sampler, Search


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer resamples, for time."""
    monkeypatch.setattr(importance, "MOST_RESAMPLES", 40)


FLAT = tuple(Parameter(key=f"x{place}", kind="float", low=0.0, high=1.0) for place in range(3))
BRANCHED = (
    FLAT[0],
    Parameter(key="kind", kind="choices", choices=("plain", [8, 8])),
    Parameter(key="width", kind="float", low=1e-4, high=1.0, log=True, when={"kind": ([8, 8],)}),
    Parameter(key="depth", kind="int", low=1, high=9, when={"kind": ([8, 8],)}),
)
Values = Callable[[Mapping[str, Any]], tuple[float, ...]]


def search(space: tuple[Parameter, ...], *objectives: str) -> Search:
    """`objectives` say which way is better."""
    return Search(
        per="arm",
        space=space,
        sampler=Sampler(name="random", seed=0),
        pruner=Pruner(name="none", metric="loss"),
        budget=Budget(trials=100),
        objectives=tuple(Objective(metric=f"loss{place}", better=one) for place, one in enumerate(objectives)),  # type: ignore[arg-type]
        seeds=(1000,),
    )


def draw(parameter: Parameter, draws: random.Random) -> Any:
    if parameter.kind == "choices":
        return draws.choice(parameter.choices)
    if parameter.kind == "int":
        return draws.randint(int(parameter.low), int(parameter.high))
    if parameter.log:
        return 10 ** draws.uniform(math.log10(parameter.low), math.log10(parameter.high))
    return draws.uniform(parameter.low, parameter.high)


def tried(space: tuple[Parameter, ...], values: Values, number: int = 40, /, **changes: Any) -> list[Entry]:
    """Try settings at random."""
    draws, found = random.Random(1), []
    for place in range(number):
        chosen: dict[str, Any] = {}
        for parameter in space:
            if parameter.is_active(chosen):
                chosen[parameter.key] = draw(parameter, draws)
        fields = {"state": State.TOLD, "values": values(chosen)} | changes
        found.append(Entry(number=place, parameters=chosen, **fields))
    return found


def measured(space: tuple[Parameter, ...], values: Values, number: int = 40) -> SearchImportance:
    return measure_importance(search(space, "lower"), {"ours": tried(space, values, number)})[0]


def first_alone(chosen: Mapping[str, Any]) -> tuple[float]:
    return (10.0 * abs(chosen["x0"] - 0.3),)


def test_what_explains_all_lies_above_the_others_and_the_others_near_zero() -> None:
    found = measured(FLAT, first_alone, 100)
    first, *others = found.rows
    for method in ("fanova", "ped_anova"):
        share = getattr(first, method)
        assert share.low > 0.5
        for row in others:
            assert getattr(row, method).high < share.low
            assert getattr(row, method).low < 0.02
    assert first.fanova is not None
    assert first.fanova.value > 0.9
    assert found.ranked[0] == "x0"


def test_shares_lie_between_none_and_all_and_those_of_ped_anova_add_up() -> None:
    rows = measured(FLAT, lambda chosen: (chosen["x0"] + chosen["x1"],)).rows
    shares = [share for row in rows for share in (row.fanova, row.ped_anova) if share]
    assert len(shares) == 6
    assert all(0.0 <= share.low <= share.high <= 1.0 and 0.0 <= share.value <= 1.0 for share in shares)
    assert sum(row.ped_anova.value for row in rows if row.ped_anova) == pytest.approx(1.0)
    assert sum(row.fanova.value for row in rows if row.fanova) <= 1.0


def test_measured_twice_it_is_the_same() -> None:
    assert measured(FLAT, first_alone, 15) == measured(FLAT, first_alone, 15)


def test_a_value_that_is_better_higher_is_the_same_upside_down() -> None:
    lower, higher = search(FLAT, "lower"), search(FLAT, "higher")
    own = tried(FLAT, first_alone, 15)
    turned = tried(FLAT, lambda chosen: (-first_alone(chosen)[0],), 15)
    assert measure_importance(lower, {"a": own})[0].rows == measure_importance(higher, {"a": turned})[0].rows


def test_a_logarithmic_range_is_measured_on_its_scale() -> None:
    space = (Parameter(key="rate", kind="float", low=1e-6, high=1.0, log=True), *FLAT[1:])
    first = measured(space, lambda chosen: (float(chosen["rate"] < 1e-3),)).rows[0]
    assert first.fanova is not None
    assert first.fanova.low > 0.5  # on a linear scale a thousandth of the range is nothing


def test_conditional_parameters_are_measured_where_they_are_searched() -> None:
    def loss(chosen: Mapping[str, Any]) -> tuple[float]:
        return (5.0 + math.log10(chosen["width"]) if "width" in chosen else 5.0 + 0.1 * chosen["x0"],)

    rows = {row.key: row for row in measured(BRANCHED, loss, 60).rows}
    assert list(rows) == ["x0", "kind", "width", "depth"]
    assert rows["x0"].num == rows["kind"].num == 60
    assert MIN_CONFIGURATIONS <= rows["width"].num == rows["depth"].num < 60
    width, depth = rows["width"].fanova, rows["depth"].fanova
    assert width is not None
    assert depth is not None
    assert width.low > depth.high


def test_of_few_configurations_nothing_is_said() -> None:
    found = measured(FLAT, first_alone, MIN_CONFIGURATIONS - 1)
    assert {row.note for row in found.rows} == {"too few configurations"}
    assert not found.is_known
    assert found.ranked == ("x0", "x1", "x2")
    assert measured(FLAT, first_alone, MIN_CONFIGURATIONS).is_known


def test_a_branch_of_few_configurations_says_so_alone() -> None:
    rows = {row.key: row for row in measured(BRANCHED, lambda chosen: (chosen["x0"],), 14).rows}
    assert rows["x0"].fanova is not None
    assert rows["width"].note == "too few configurations"
    assert rows["width"].num < MIN_CONFIGURATIONS


def test_what_never_varies_is_no_ground_for_a_share() -> None:
    assert {row.note for row in measured(FLAT, lambda chosen: (1.0,), 12).rows} == {"all values are the same"}
    assert {row.note for row in measured(FLAT[:1], first_alone, 12).rows} == {"nothing beside it varies"}
    fixed = (Parameter(key="only", kind="choices", choices=("one",)), *FLAT)
    assert measured(fixed, first_alone, 12).rows[0].note == "one value alone"


@pytest.mark.parametrize(
    "changes",
    [
        {"state": State.FAILED, "values": None},
        {"state": State.PRUNED, "values": None},
        {"state": State.OPEN, "values": None},
        {"origin": "study other"},
        {"values": (math.inf,)},
    ],
)
def test_only_what_the_budget_paid_for_and_has_a_value_counts(changes: dict[str, Any]) -> None:
    own, others = tried(FLAT, first_alone, 12), tried(FLAT, first_alone, 9, **changes)
    with_others = measure_importance(search(FLAT, "lower"), {"ours": [*own, *others]})
    assert with_others == measure_importance(search(FLAT, "lower"), {"ours": own})


def test_every_search_and_objective_is_measured_with_one_number_of_resamples() -> None:
    def both(chosen: Mapping[str, Any]) -> tuple[float, float]:
        return first_alone(chosen)[0], chosen["x1"]

    found = measure_importance(
        search(FLAT, "lower", "higher"), {arm: tried(FLAT, both, 30) for arm in ("ours", "theirs")}
    )
    assert [(one.arm, one.metric) for one in found] == [
        (arm, metric) for metric in ("loss0", "loss1") for arm in ("ours", "theirs")
    ]
    assert {one.num_resamples for one in found} == {max(FEWEST_RESAMPLES, min(40, MOST_WORK // 120))}
    assert [one.ranked[0] for one in found] == ["x0", "x0", "x1", "x1"]


def test_without_the_library_of_forests_there_is_no_fanova(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna_importance, "find_spec", lambda name: None)
    found = measured(FLAT, first_alone, 12)
    assert not found.has_fanova
    assert all(row.fanova is None and row.ped_anova is not None for row in found.rows)
    assert found.ranked[0] == "x0"
