"""Estimates per arm and paired contrasts to the reference arm, with t intervals and Holm-adjusted p.

One seed fixes the data, the initial weights and the order of the batches in every arm, so arms are compared by the
differences of equal seeds. The family of Holm's adjustment is one metric: all contrasts of the study on it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

from ablate.analysis.results import Results

CONFIDENCE = 0.95
"""Coverage of every interval in analyses and reports."""


class Verdict(StrEnum):
    """What the interval of a contrast says about the arm, seen from the reference."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over seeds with its t interval. `sd`, `low` and `high` are `None` where `n` is 1: no spread."""

    n: int
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One arm minus the reference on one metric, over the seeds both have.

    Args:
        arm: The arm compared.
        reference: What it is compared to.
        metric: Name of the metric.
        differences: Arm minus reference, by seed.
        unpaired: Seeds that only one of the two has; they take no part.
        estimate: Of the differences; `None` without a single pair.
        p: Two-sided, of the paired t test; `None` below two pairs.
        p_holm: Adjusted over the study's contrasts on this metric.
        verdict: Decided where the interval excludes zero.
        note: Why there is no interval, else empty.
    """

    arm: str
    reference: str
    metric: str
    differences: Mapping[int | None, float]
    unpaired: tuple[int | None, ...]
    estimate: Estimate | None
    p: float | None
    p_holm: float | None
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """A study's answer: `estimates[metric][arm]` (arms without a number are left out) and `contrasts[metric]`."""

    results: Results
    estimates: Mapping[str, Mapping[str, Estimate]]
    contrasts: Mapping[str, tuple[Contrast, ...]]

    def contrast(self, metric: str, arm: str) -> Contrast | None:
        """Give the contrast of `arm` to the reference, or nothing for the reference itself."""
        return next((contrast for contrast in self.contrasts[metric] if contrast.arm == arm), None)


def analyse(results: Results) -> Analysis:
    """Estimate every arm and contrast every arm with the reference, metric by metric."""
    estimates: dict[str, dict[str, Estimate]] = {}
    contrasts: dict[str, tuple[Contrast, ...]] = {}
    for metric in results.study.metrics:
        by_arm = {arm.name: arm.values[metric.name] for arm in results.arms}
        estimates[metric.name] = {name: estimate(list(values.values())) for name, values in by_arm.items() if values}
        contrasts[metric.name] = _contrasts(results, metric.name, by_arm)
    return Analysis(results=results, estimates=estimates, contrasts=contrasts)


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
    half = _t_quantile(n - 1) * sd / math.sqrt(n)
    return Estimate(n=n, mean=mean, sd=sd, low=mean - half, high=mean + half)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for being looked at together (Holm 1979, step-down), in the order given."""
    count = len(p_values)
    adjusted = [0.0] * count
    running = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _contrasts(results: Results, metric: str, by_arm: Mapping[str, Mapping[int | None, float]]) -> tuple[Contrast, ...]:
    reference = results.study.reference
    drafts = [_paired(results, metric, name, by_arm) for name in by_arm if name != reference]
    adjusted = iter(holm([draft.p for draft in drafts if draft.p is not None]))
    return tuple(draft if draft.p is None else replace(draft, p_holm=next(adjusted)) for draft in drafts)


def _paired(results: Results, metric: str, arm: str, by_arm: Mapping[str, Mapping[int | None, float]]) -> Contrast:
    reference = results.study.reference
    ours, theirs = by_arm[arm], by_arm[reference]
    differences = {seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs}
    found = estimate(list(differences.values())) if differences else None
    return Contrast(
        arm=arm,
        reference=reference,
        metric=metric,
        differences=differences,
        unpaired=tuple(seed for seed in {**ours, **theirs} if seed not in differences),
        estimate=found,
        p=_p_value(found),
        p_holm=None,
        verdict=_verdict(found, results.metric(metric).better),
        note="no pair of seeds" if found is None else "n = 1" if found.n == 1 else "",
    )


def _verdict(found: Estimate | None, better: str) -> Verdict:
    if found is None or found.low is None or found.high is None or found.low <= 0.0 <= found.high:
        return Verdict.UNDECIDED
    return Verdict.BETTER if (found.mean < 0.0) == (better == "lower") else Verdict.WORSE


def _p_value(found: Estimate | None) -> float | None:
    """Test the mean against zero by Student's t; without any spread the answer is certain."""
    if found is None or found.sd is None:
        return None
    if found.sd == 0.0:
        return 1.0 if found.mean == 0.0 else 0.0
    from scipy.stats import t

    return float(2.0 * t.sf(abs(found.mean) / (found.sd / math.sqrt(found.n)), found.n - 1))


@cache
def _t_quantile(degrees: int) -> float:
    """Give the two-sided 95 % quantile of Student's t; scipy.stats is loaded on first use."""
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2.0, degrees))
