"""Functions whose smallest value is known, for searches: smooth, in six dimensions, with conditional parameters."""

import math
from collections.abc import Mapping
from typing import Any

LEAST = {"branin": 0.397887, "hartmann": -3.32237, "conditional": 0.0}
"""The smallest value of each."""


def branin(given: Mapping[str, float]) -> float:
    """Give the Branin-Hoo function for x in [-5, 10] and y in [0, 15]."""
    x, y = given["x"], given["y"]
    curve = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return curve**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann(given: Mapping[str, float]) -> float:
    """Give the six-dimensional Hartmann function in the unit cube."""
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
    """Give a function of which a line has one parameter and a curve two others; the curve's valley is deeper."""
    if given["kind"] == "line":
        return abs(given["slope"] - 0.3) + 1.0
    return (math.log10(given["width"]) + 2.0) ** 2 + 0.1 * (given["order"] - 3) ** 2
