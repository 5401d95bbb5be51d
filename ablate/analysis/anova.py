"""Analysis of variance of a factorial study, with seeds as blocks.

The model is y = mean + seed + main effects + two-factor interactions + error, so the error pools what seeds do to the
effects with all interactions of three and more factors. Sums of squares are of type III: each term is tested given all
others, in sum-to-zero coding (Searle, Linear Models for Unbalanced Data, 1987, chapter 9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ablate.analysis.factor_model import Array, FactorModel

NO_SPREAD = 1e-26
"""A residual below this share of the summed squares is rounding: there is nothing to test against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnovaRow:
    """One line of the table.

    Args:
        term: `seed`, a factor, `a x b`, or `residual` (the last line).
        df: Degrees of freedom.
        sum_sq: Type III sum of squares, in the metric's unit squared.
        f: Mean square over the residual's; `None` for the residual itself, or without residual spread.
        p: Upper tail of the F distribution; `None` where `f` is.
    """

    term: str
    df: int
    sum_sq: float
    f: float | None = None
    p: float | None = None


def anova(model: FactorModel, values: Array) -> tuple[AnovaRow, ...]:
    """Give the table of `values` (arms x seeds, none missing); no line for seeds where there is only one.

    As every seed has every arm, seeds are orthogonal to the terms whatever cells are excluded. A term's sum of squares
    is b' C^-1 b times the number of seeds, with b its coefficients on the means over seeds and C their part of
    (X'X)^-1: equal to the rise of the residual when the term is taken out.

    Raises:
        ValueError: No seed at all.
    """
    num_arms, num_seeds = values.shape
    if not num_seeds:
        raise ValueError("an analysis of variance needs at least one seed that every arm has, got none")
    means = values.mean(axis=1)
    coefficients = model.coefficients(means)
    seed_effects = values.mean(axis=0) - values.mean()
    residuals = values - (model.basis @ (model.basis.T @ means))[:, None] - seed_effects[None, :]
    rows = [("seed", num_seeds - 1, float(num_arms * np.sum(seed_effects**2)))] if num_seeds > 1 else []
    for term in model.terms:
        part = model.inverse[term.columns]
        b = coefficients[term.columns]
        rows.append((term.name, len(b), float(num_seeds * b @ np.linalg.solve(part @ part.T, b))))
    df = values.size - model.basis.shape[1] - (num_seeds - 1)
    return _tested(rows, df, float(np.sum(residuals**2)), NO_SPREAD * float(np.sum(values**2)))


def _tested(rows: list[tuple[str, int, float]], df: int, residual: float, floor: float) -> tuple[AnovaRow, ...]:
    """Test each of (term, df, sum of squares) against the residual, and add the residual's line."""
    from scipy.stats import f as f_distribution

    last = AnovaRow(term="residual", df=df, sum_sq=residual)
    if df < 1 or residual <= floor:
        return (*(AnovaRow(term=term, df=own, sum_sq=found) for term, own, found in rows), last)
    ratios = [found / own / (residual / df) for _, own, found in rows]
    return (
        *(
            AnovaRow(term=term, df=own, sum_sq=found, f=ratio, p=float(f_distribution.sf(ratio, own, df)))
            for (term, own, found), ratio in zip(rows, ratios, strict=True)
        ),
        last,
    )
