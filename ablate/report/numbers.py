"""How numbers are written in reports: as many decimals as their intervals bear, short durations."""

import math
from collections.abc import Iterable
from statistics import median

from ablate.analysis.intervals import Estimate


def decimals_for(estimates: Iterable[Estimate]) -> int:
    """Choose one number of decimals for a column: two digits of the median interval, between 1 and 4 decimals.

    Without any interval, four digits of the largest mean.
    """
    found = list(estimates)
    halves = [(one.high - one.low) / 2.0 for one in found if one.low is not None and one.high is not None]
    halves = [half for half in halves if half > 0.0]
    if halves:
        return min(4, max(1, 1 - _exponent(median(halves))))
    largest = max((abs(one.mean) for one in found), default=0.0)
    return min(4, max(1, 3 - _exponent(largest))) if largest > 0.0 else 1


def fixed(value: float, decimals: int, *, sign: bool = False) -> str:
    """Write a value with fixed decimals; one too small for them keeps two digits of its own."""
    plus = "+" if sign and value > 0.0 else ""
    if value != 0.0 and abs(value) < 0.5 * 10.0**-decimals:
        return f"{plus}{value:.2g}"
    return f"{plus}{value:.{decimals}f}"


def printed_decimals(values: Iterable[float]) -> int:
    """Give the most decimals among printed numbers, which their column then has throughout."""
    return max((len(f"{value:.6f}".rstrip("0").partition(".")[2]) for value in values), default=0)


def interval(found: Estimate, decimals: int, *, sign: bool = False) -> str:
    """Write `[low, high]`, or nothing where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"[{fixed(found.low, decimals, sign=sign)}, {fixed(found.high, decimals, sign=sign)}]"


def p_value(p: float | None) -> str:
    """Write a p value with two digits, and `< 0.0001` below that."""
    if p is None:
        return ""
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def duration(seconds: float) -> str:
    """Write a duration in its two largest units: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60.0:
        return f"{seconds:.0f} s" if seconds >= 10.0 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def seeds_text(seeds: Iterable[int | None]) -> str:
    """Write seeds as `0 to 4` where they follow each other, else one by one."""
    found = sorted(seed for seed in seeds if seed is not None)
    if not found:
        return "none"
    if len(found) > 2 and found == list(range(found[0], found[-1] + 1)):
        return f"{found[0]} to {found[-1]}"
    return ", ".join(str(seed) for seed in found)


def seed_text(seed: int | None) -> str:
    """Write one seed as `seed 3`."""
    return "no seed" if seed is None else f"seed {seed}"


def _exponent(value: float) -> int:
    return math.floor(math.log10(value))
