"""The smallest difference that a number of seeds can resolve, from the spread seen so far."""

import math
from dataclasses import dataclass

from ablate.analysis.contrasts import Analysis
from ablate.analysis.intervals import SIGNIFICANCE, Estimate, t_quantile

POWER = 0.8
"""Chance to find a difference of the size that is called resolvable."""

ROUNDING = 1e-12
"""Spread relative to the mean below which differences are equal but for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolvable:
    """What a number of seeds resolves on one metric.

    Args:
        difference: The smallest true difference, in the metric's unit, that a paired t test at two-sided 5 % finds
            with 80 % power. One test by itself: Holm's adjustment over several contrasts asks for more.
        sd: The largest sd of paired differences among the contrasts seen, in the metric's unit.
        basis_seeds: How many differences that sd is of: with few, it is itself uncertain.
        num_contrasts: How many contrasts had an sd to choose from.
    """

    difference: float
    sd: float
    basis_seeds: int
    num_contrasts: int


def resolvable(analysis: Analysis, num_seeds: int) -> dict[str, Resolvable]:
    """Say what `num_seeds` seeds resolve, by metric, if differences spread as they did so far.

    The largest sd over the contrasts is taken, so that every contrast resolves at least this much.

    Returns:
        Nothing for a metric without a contrast that spreads over two pairs; nothing at all below two seeds.
    """
    if num_seeds < 2:
        return {}
    found = {}
    for metric, contrasts in analysis.contrasts.items():
        spreads = [(sd, one.estimate.n) for one in contrasts if one.estimate and (sd := _spread(one.estimate))]
        if spreads:
            sd, basis = max(spreads)
            effect = smallest_effect(num_seeds)
            found[metric] = Resolvable(difference=sd * effect, sd=sd, basis_seeds=basis, num_contrasts=len(spreads))
    return found


def _spread(differences: Estimate) -> float:
    """Give the sd, 0 where it is none or comes from rounding alone: that says nothing about further seeds."""
    sd = differences.sd or 0.0
    return sd if sd > ROUNDING * abs(differences.mean) else 0.0


def smallest_effect(num_seeds: int) -> float:
    """Give the mean over the sd of paired differences that a two-sided 5 % t test finds with 80 % power.

    Exact, from the noncentral t distribution, whose tails on both sides count. Needs two seeds.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, norm

    degrees = num_seeds - 1
    limit = t_quantile(degrees)

    def missing_power(effect: float) -> float:
        shift = effect * math.sqrt(num_seeds)
        wrong_side = float(nct.cdf(-limit, degrees, shift))  # scipy may say nan where it is below 1e-8
        return float(nct.sf(limit, degrees, shift)) + (0.0 if math.isnan(wrong_side) else wrong_side) - POWER

    # With a known sd the effect would be smaller: from there upwards in steps.
    low = float(norm.ppf(1.0 - SIGNIFICANCE / 2.0) + norm.ppf(POWER)) / math.sqrt(num_seeds)
    low, high = 0.9 * low, low
    while missing_power(high) < 0.0:
        low, high = high, 1.2 * high
    return float(brentq(missing_power, low, high, xtol=1e-12, rtol=1e-12))
