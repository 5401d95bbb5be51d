"""Searches on functions with known optima, and bare Optuna beside them."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from ablate.search.model import Budget, Objective, Parameter, Pruner, Sampler, Search
from tests.optima import branin, conditional, hartmann


def range_of(key: str, low: float, high: float, **more: Any) -> Parameter:
    return Parameter(key=key, kind=more.pop("kind", "float"), low=low, high=high, **more)


BRANIN = (range_of("x", -5, 10), range_of("y", 0, 15))
HARTMANN = tuple(range_of(f"x{index}", 0, 1) for index in range(6))
CURVE = {"kind": ("curve",)}
CONDITIONAL = (
    Parameter(key="kind", kind="choices", choices=("line", "curve")),
    range_of("slope", -1, 1, when={"kind": ("line",)}),
    range_of("width", 1e-5, 1e1, log=True, when=CURVE),
    range_of("order", 1, 9, kind="int", when=CURVE),
)


def search(space: tuple[Parameter, ...] = BRANIN, sampler: str = "tpe", **more: Any) -> Search:
    """Make a search; `seed`, `trials` and `objectives` are for short."""
    number = more.pop("objectives", 1)
    return Search(
        per="study",
        space=space,
        sampler=Sampler(name=sampler, seed=more.pop("seed", 0)),
        pruner=more.pop("pruner", Pruner(name="none", metric="loss")),
        budget=more.pop("budget", Budget(trials=more.pop("trials", 100))),
        objectives=tuple(Objective(metric=f"loss{index or ''}", better="lower") for index in range(number)),
        seeds=more.pop("seeds", (1000,)),
        **more,
    )


@pytest.fixture
def known() -> SimpleNamespace:
    """Spaces with their functions, and `search` to make a search over one."""
    cases: dict[str, tuple[tuple[Parameter, ...], Callable[[Mapping[str, Any]], float]]] = {
        "branin": (BRANIN, branin),
        "hartmann": (HARTMANN, hartmann),
        "conditional": (CONDITIONAL, conditional),
    }
    return SimpleNamespace(search=search, cases=cases)
