"""Fixed-sample intervals for a mean: Student's t, and the BCa bootstrap beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
"""Coverage of every interval in analyses and reports."""
SIGNIFICANCE = 0.05
"""What an adjusted p must be below for a verdict: one minus `CONFIDENCE`, written out to be exact."""
NUM_RESAMPLES = 9_999
"""Of the bootstrap."""
RESAMPLING_SEED = 0
"""Of the bootstrap: fixed, so that a report written twice has the same digits."""
MIN_RESAMPLED = 3
"""Values from which the bootstrap can say something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % interval; `method` is `t`, `welch`, `bca`, or `anytime` (a confidence sequence)."""

    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over seeds with its t interval. `sd`, `low` and `high` are `None` where `n` is 1: no spread."""

    n: int
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None


def estimate(values: Sequence[float]) -> Estimate:
    """Give mean, sd and the 95 % t interval of independent values.

    Raises:
        ValueError: No value at all.
    """
    if not values:
        raise ValueError("an estimate needs at least one value, got none")
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(n=1, mean=mean)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    half = t_quantile(n - 1) * sd / math.sqrt(n)
    return Estimate(n=n, mean=mean, sd=sd, low=mean - half, high=mean + half)


def t_interval(found: Estimate | None) -> Interval | None:
    """Give the t interval of an estimate, nothing where it has none."""
    if found is None or found.low is None or found.high is None:
        return None
    return Interval(low=found.low, high=found.high, method="t")


def t_test(found: Estimate | None) -> float | None:
    """Test a mean against zero, two-sided; without any spread the answer is certain, below two values there is none."""
    if found is None or found.sd is None:
        return None
    return two_sided_p(found.mean, found.sd / math.sqrt(found.n), found.n - 1)


def two_sided_p(difference: float, standard_error: float, degrees: float) -> float:
    """Give Student's two-sided p of a difference; an error of zero makes it 0, or 1 where there is no difference."""
    if standard_error == 0.0:
        return 1.0 if difference == 0.0 else 0.0
    from scipy.stats import t

    return float(2.0 * t.sf(abs(difference) / standard_error, degrees))


@cache
def t_quantile(degrees: float) -> float:
    """Give the two-sided 95 % quantile of Student's t; scipy.stats is loaded on first use."""
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2.0, degrees))


def bca(values: Sequence[float]) -> Interval | None:
    """Give the bias-corrected and accelerated bootstrap interval of the mean (Efron 1987, J. Am. Stat. Assoc. 82).

    The resamples are those that `scipy.stats.bootstrap` draws from `default_rng(RESAMPLING_SEED)`, and the arithmetic
    is in its order, because means that tie with the sample's are counted by their last bit. With few seeds it is too
    narrow (at n = 5 it covers about 85 %), so that no verdict rests on it.

    Returns:
        The 95 % interval; nothing below three values or without spread.
    """
    if len(values) < MIN_RESAMPLED or min(values) == max(values):
        return None
    import numpy as np
    from scipy.special import ndtr, ndtri

    data = np.asarray(values, dtype=np.float64)
    n = len(data)
    mean = data.mean()
    means = np.mean(data[_resamples(n)], axis=-1)
    below = np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)
    bias = ndtri(below / (2 * NUM_RESAMPLES))
    left_out = (data.sum() - data) / (n - 1)
    pull = (n - 1) * (left_out.mean() - left_out)
    with np.errstate(divide="ignore", invalid="ignore"):  # a spread too small to square
        acceleration = np.sum(pull**3) / n**3 / (6.0 * (np.sum(pull**2) / n**2) ** 1.5)
    shifted = bias + ndtri((1.0 - CONFIDENCE) / 2.0) * np.array([1.0, -1.0])
    levels = ndtr(bias + shifted / (1.0 - acceleration * shifted))
    if not np.isfinite(levels).all():
        return None
    low, high = np.quantile(means, levels)
    return Interval(low=float(low), high=float(high), method="bca")


@lru_cache(maxsize=32)
def _resamples(n: int) -> NDArray[np.unsignedinteger]:
    """Draw the indices of all resamples, `(NUM_RESAMPLES, n)`; kept small, because most contrasts share a few `n`."""
    import numpy as np

    drawn = np.random.default_rng(RESAMPLING_SEED).integers(0, n, (NUM_RESAMPLES, n))
    return drawn.astype(np.min_scalar_type(n - 1))
