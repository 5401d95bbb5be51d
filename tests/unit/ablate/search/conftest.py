"""Searches on functions with known optima, and bare Optuna beside them."""

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from ablate.search.model import Budget, Objective, Parameter, Pruner, Sampler, Search


def branin(given: Mapping[str, float]) -> float:
    x, y = given["x"], given["y"]
    curve = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann(given: Mapping[str, float]) -> float:
    a = [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
    p = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ]
    x = [given[f"x{index}"] for index in range(6)]
    distances = [sum(a[i][j] * (x[j] - p[i][j]) ** 2 for j in range(6)) for i in range(4)]
    return -sum(alpha * math.exp(-one) for alpha, one in zip((1.0, 1.2, 3.0, 3.2), distances, strict=True))


def conditional(given: Mapping[str, Any]) -> float:
    if given["kind"] == "line":
        return abs(given["slope"] - 0.3) + 1.0
    return (math.log10(given["width"]) + 2.0) ** 2 + 0.1 * (given["order"] - 3) ** 2


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
