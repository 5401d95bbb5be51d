from types import SimpleNamespace

import pytest

from ablate.search.history import Entry, State, best, is_spent, pareto
from ablate.search.ledger import Ledger
from ablate.search.model import Budget
from ablate.search.space import fits
from ablate.store import Store


def told(number: int, *values: float, seconds: float = 0.0, origin: str = "") -> Entry:
    return Entry(number=number, parameters={}, state=State.TOLD, values=values, seconds=seconds, origin=origin)


@pytest.mark.parametrize(
    ("budget", "values", "spent"),
    [
        (Budget(trials=3), [3, 2], False),
        (Budget(trials=3), [3, 2, 1], True),
        (Budget(trials=9, no_improvement=2), [3, 1, 2], False),
        (Budget(trials=9, no_improvement=2), [3, 1, 2, 4], True),
        (Budget(no_improvement=2), [3, 1, 1, 1], False),  # equal to the best is no worse
        (Budget(hours=2.0), [3, 2], False),
        (Budget(hours=2.0), [3, 2, 1], True),
    ],
)
def test_a_search_ends_at_the_first_of_its_limits(known: SimpleNamespace, budget, values, spent) -> None:
    entries = [told(index, value, seconds=2400.0) for index, value in enumerate(values)]
    assert is_spent(known.search(budget=budget), entries) is spent


def test_what_another_study_tried_costs_nothing_and_wins_nothing(known: SimpleNamespace) -> None:
    entries = [told(0, 1.0, origin="study other, #4"), told(1, 2.0)]
    assert not is_spent(known.search(trials=2), entries)
    assert best(known.search(), entries) == entries[1]


def test_the_winner_is_the_earliest_of_the_best(known: SimpleNamespace) -> None:
    failed = Entry(number=3, parameters={}, state=State.FAILED)
    assert best(known.search(), [told(0, 2.0), told(1, 1.0), told(2, 1.0), failed]).number == 1
    assert best(known.search(), [failed]) is None


def test_the_pareto_set_has_what_nothing_beats(known: SimpleNamespace) -> None:
    entries = [told(0, 1.0, 5.0), told(1, 2.0, 6.0), told(2, 3.0, 1.0), told(3, 3.0, 2.0)]
    search = known.search(objectives=2)
    assert [entry.number for entry in pareto(search, entries)] == [0, 2]
    assert best(search, entries).number == 0  # the first objective says


def test_a_ledger_gives_back_what_was_written(tmp_path) -> None:
    ledger = Ledger(Store(tmp_path), "study", "abc")
    entry = Entry(
        number=0,
        parameters={"a.b": 0.1, "kind": [1, 2]},
        open=(),
        state=State.PRUNED,
        points={4: 1.5},
        trials={"1000": "ff"},
        stages=(("court", "aa"),),
        seconds=2.5,
        origin="driver x, trial 3",
        reason="why",
    )
    assert ledger.entries() == []
    ledger.write(entry)
    ledger.write(told(1, 0.5))
    ledger.write(told(3, 0.5))  # 2 was never written: what comes after it cannot count
    assert ledger.entries() == [entry, told(1, 0.5)]
    ledger.forget()
    assert ledger.entries() == []


def test_a_configuration_fits_where_all_that_is_searched_lies_within_bounds(known: SimpleNamespace) -> None:
    space, _ = known.cases["conditional"]
    assert fits(space, {"kind": "line", "slope": 0.5, "other": 3})
    assert fits(space, {"kind": "curve", "width": 0.1, "order": 3})
    assert not fits(space, {"kind": "curve", "width": 0.1, "order": 3.5})
    assert not fits(space, {"kind": "curve", "width": 100.0, "order": 3})
    assert not fits(space, {"kind": "curve", "width": 0.1})
    assert not fits(space, {"kind": "spline"})
