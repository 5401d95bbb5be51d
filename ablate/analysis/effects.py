"""Main effects and two-factor interactions of a factorial study, with intervals over seeds.

Definitions (Box, Hunter & Hunter, Statistics for Experimenters, 2nd ed., chapter 5), per seed, of a metric y:

- main effect of a two-level factor: mean of y at its second level minus mean of y at its first, the reference's;
- interaction of two two-level factors a and b: half the difference of a's effect at b's second level and a's effect at
  b's first level: 1/2 [(y22 - y12) - (y21 - y11)] with the levels of a, b as indices, averaged over the other factors;
- level of a factor with more levels: its mean minus that of the first level, over the levels of the other factors.
  Interactions of such factors have no single number; they are terms of the analysis of variance.

They are taken from least squares on the sum-to-zero coded design, which gives these very numbers in full factorials
and regular fractions, and differences of the model's marginal means where cells are excluded. An effect is one number
per seed; its interval and p are Student's over seeds, so no variance is pooled between effects. A positive effect
raises the metric; whether that is better is the metric's to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ablate.analysis.anova import AnovaRow, anova
from ablate.analysis.contrasts import holm
from ablate.analysis.factor_model import (
    Array,
    FactorModel,
    Responses,
    build_model,
    factorial_arms,
    responses,
    without_rounding,
)
from ablate.analysis.intervals import Estimate, estimate, t_test
from ablate.analysis.results import Results

MAX_NAMED = 5
"""Arms that a note names before it only counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One effect on one metric, in the metric's unit; the module says its definition.

    Args:
        metric: Name of the metric.
        factors: One for a main effect, two for an interaction.
        label: `factor: level against first level`, or `a x b`.
        estimate: Over seeds, with the t interval.
        p: Two-sided, of the t test over seeds; `None` with one seed.
        p_holm: Adjusted over the effects on this metric.
    """

    metric: str
    factors: tuple[str, ...]
    label: str
    estimate: Estimate
    p: float | None = None
    p_holm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorEffects:
    """What the factors do to one metric.

    Args:
        metric: Name of the metric.
        effects: Main effects in the order of the factors, then interactions; empty where no seed has every arm.
        anova: The analysis of variance over the same seeds; empty with `effects`.
        notes: Sentences on what is aliased, left out or missing.
        left_out: Seeds that some arm lacks; they take no part.
    """

    metric: str
    effects: tuple[Effect, ...]
    anova: tuple[AnovaRow, ...]
    notes: tuple[str, ...]
    left_out: tuple[int | None, ...]


def factor_effects(results: Results) -> dict[str, FactorEffects]:
    """Estimate the effects of a factorial study's factors, by metric; empty for a study without a factorial design."""
    arms = factorial_arms(results)
    if not arms or results.study.design is None:
        return {}
    model = build_model(results.study.design.factors, [arm.levels for arm in arms])
    return {
        metric.name: _of_metric(metric.name, model, responses(results, arms, metric.name))
        for metric in results.study.metrics
    }


def _of_metric(metric: str, model: FactorModel, found: Responses) -> FactorEffects:
    if not found.seeds:
        shown, rest = found.lacking[:MAX_NAMED], len(found.lacking) - MAX_NAMED
        lacking = "; ".join(shown) + (f"; and {rest} more" if rest > 0 else "") if shown else "all of them"
        note = f"no seed has a number in every arm (missing in {lacking}), so there are no effects"
        return FactorEffects(metric=metric, effects=(), anova=(), notes=(*model.notes, note), left_out=found.left_out)
    return FactorEffects(
        metric=metric,
        effects=_effects(metric, model, found.values),
        anova=anova(model, found.values),
        notes=model.notes,
        left_out=found.left_out,
    )


def _effects(metric: str, model: FactorModel, values: Array) -> tuple[Effect, ...]:
    coefficients = model.coefficients(values)
    drafts = []
    for factors, label, weights in _contrasts(model):
        found = estimate(without_rounding(weights @ coefficients, values).tolist())
        drafts.append(Effect(metric=metric, factors=factors, label=label, estimate=found, p=t_test(found)))
    adjusted = iter(holm([draft.p for draft in drafts if draft.p is not None]))
    return tuple(draft if draft.p is None else replace(draft, p_holm=next(adjusted)) for draft in drafts)


def _contrasts(model: FactorModel) -> Iterator[tuple[tuple[str, ...], str, Array]]:
    """Give each effect's factors, label and weights over the model's coefficients.

    With codes b_j for the levels after the first, the first level's deviation is minus their sum, so a level's effect
    against the first is b_j plus the sum: twice b for two levels.
    """
    for term in model.terms:
        levels = [model.levels[factor] for factor in term.factors]
        width = len(model.inverse)
        if len(term.factors) == 1:
            for place, level in enumerate(levels[0][1:]):
                weights = np.zeros(width)
                weights[term.columns] = 1.0
                weights[term.columns.start + place] += 1.0
                yield term.factors, f"{term.name}: {level} against {levels[0][0]}", weights
        elif all(len(found) == 2 for found in levels):
            weights = np.zeros(width)
            weights[term.columns] = 2.0
            yield term.factors, term.name, weights
