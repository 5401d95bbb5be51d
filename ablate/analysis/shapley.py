"""Shapley attribution of the components of a full two-level factorial (Shapley 1953).

The value v(S) of a set of components is the metric with the components in S at their first level (the reference's: on)
and the others at their second (off). A component's contribution is the change of the metric by having it on, averaged
over all orders in which the components could be switched on:

    phi_i = sum over S without i of |S|! (k - |S| - 1)! / k! * (v(S + i) - v(S))

The contributions add up to v(all) - v(none): the reference arm minus the arm with everything off. A positive one
raises the metric; whether that is better is the metric's to say: where lower is better, a useful component contributes
less than zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from ablate.analysis.factor_model import Array, factorial_arms, responses, without_rounding
from ablate.analysis.intervals import Estimate, Interval, bca, estimate
from ablate.analysis.results import Results
from ablate.study.model import Arm, Factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What one component contributes to one metric, in the metric's unit.

    Args:
        metric: Name of the metric.
        component: Name of the factor.
        on: Its first level.
        off: Its second level.
        estimate: Shapley value over seeds, with the t interval.
        bca: Bootstrap interval over seeds; `None` where the seeds do not allow one.
        left_out: Seeds that some arm lacks; they take no part.
    """

    metric: str
    component: str
    on: str
    off: str
    estimate: Estimate
    bca: Interval | None
    left_out: tuple[int | None, ...]


def shapley_values(results: Results) -> dict[str, tuple[Attribution, ...]]:
    """Attribute each metric to the factors of a full two-level factorial, in their order; empty for other designs.

    A metric that no seed has in every arm gets no attributions.
    """
    ordered = _by_mask(results)
    if not ordered or results.study.design is None:
        return {}
    factors = results.study.design.factors
    return {metric.name: _of_metric(results, metric.name, factors, ordered) for metric in results.study.metrics}


def shapley(values: Array) -> Array:
    """Give the Shapley value of each component, components x columns.

    Args:
        values: v(S) as 2^k rows; bit i of the row's number says that component i is in S. Columns are independent.

    Raises:
        ValueError: The number of rows is no power of two.
    """
    num_sets = len(values)
    count = max(num_sets.bit_length() - 1, 0)
    if num_sets != 1 << count:
        raise ValueError(f"one row per set of components is needed: a power of two, got {num_sets} rows")
    masks = np.arange(num_sets)
    sizes = sum(((masks >> bit) & 1 for bit in range(count)), np.zeros_like(masks))
    weights = np.array([1.0 / (count * comb(count - 1, size)) for size in range(count)])
    rows = []
    for bit in range(count):
        without = masks[(masks >> bit) & 1 == 0]
        rows.append(weights[sizes[without]] @ (values[without | (1 << bit)] - values[without]))
    return np.array(rows, dtype=float).reshape(count, *values.shape[1:])


def _by_mask(results: Results) -> tuple[Arm, ...]:
    """Order the arms by the bit mask of what is on; empty unless each set of two-level factors is exactly one arm."""
    design = results.study.design
    arms = factorial_arms(results)
    if design is None or any(len(factor.levels) != 2 for factor in design.factors):
        return ()
    if len(arms) != 1 << len(design.factors):
        return ()
    by_mask = {
        sum(1 << bit for bit, factor in enumerate(design.factors) if arm.levels[factor.name] == factor.levels[0]): arm
        for arm in arms
    }
    return tuple(by_mask[mask] for mask in range(len(arms))) if len(by_mask) == len(arms) else ()


def _of_metric(
    results: Results, metric: str, factors: Sequence[Factor], ordered: Sequence[Arm]
) -> tuple[Attribution, ...]:
    found = responses(results, ordered, metric)
    if not found.seeds:
        return ()
    shares = without_rounding(shapley(found.values), found.values)
    return tuple(
        Attribution(
            metric=metric,
            component=factor.name,
            on=factor.levels[0],
            off=factor.levels[1],
            estimate=estimate(share.tolist()),
            bca=bca(share.tolist()),
            left_out=found.left_out,
        )
        for factor, share in zip(factors, shares, strict=True)
    )
