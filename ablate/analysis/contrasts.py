"""Estimates per arm and paired contrasts to the arm each is compared to, with intervals, Holm-adjusted p and verdicts.

One seed fixes the data, the initial weights and the order of the batches in every arm, so arms are compared by the
differences of equal seeds. The family of Holm's adjustment is one metric: all contrasts of the study on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from ablate.analysis.intervals import (
    SIGNIFICANCE,
    Estimate,
    Interval,
    bca,
    estimate,
    t_interval,
    t_test,
)
from ablate.analysis.results import ArmResults, Results
from ablate.analysis.sequence import ConfidenceSequence
from ablate.study.model import Metric, Study

__all__ = ["Analysis", "Contrast", "Estimate", "Interval", "Verdict", "analyse", "estimate", "holm", "verdict_of"]

Seed = int | None
"""The replicate, or `None` of a task that takes no seed."""

DETERMINISTIC = "deterministic: no seed"
"""The note of a contrast of two trials that have no randomness."""


class Verdict(StrEnum):
    """What a contrast says about the arm, seen from the reference."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One arm minus the arm it is compared to, on one metric, over the seeds both have.

    Args:
        arm: The arm compared.
        reference: What it is compared to.
        metric: Name of the metric.
        differences: Arm minus reference, by seed in ascending order.
        unpaired: Seeds planned for both that only one of the two has; they take no part.
        estimate: Of the differences; `None` without a single pair. Its interval is the t interval.
        p: Two-sided: of the paired t test, `None` below two pairs; where replication is adaptive the anytime-valid
            one, which is 1 until there is evidence. `None` where the differences have no randomness.
        p_holm: Adjusted over the study's contrasts on this metric.
        verdict: See `verdict_of`.
        note: What a reader must know about the interval, or why there is none; else empty.
        interval: The one that the verdict goes with: `t`, or `anytime` where replication is adaptive.
        bca: The bootstrap's, beside it; `None` below three pairs or without spread.
    """

    arm: str
    reference: str
    metric: str
    differences: Mapping[Seed, float]
    unpaired: tuple[Seed, ...]
    estimate: Estimate | None
    p: float | None
    p_holm: float | None
    verdict: Verdict
    note: str = ""
    interval: Interval | None = None
    bca: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A study's answer: `estimates[metric][arm]` (arms without a number are left out) and `contrasts[metric]`."""

    results: Results
    estimates: Mapping[str, Mapping[str, Estimate]]
    contrasts: Mapping[str, tuple[Contrast, ...]]

    def contrast(self, metric: str, arm: str) -> Contrast | None:
        """Give the contrast of `arm` to what it is compared to, or nothing for an arm that is not compared."""
        return self._by_arm[metric].get(arm)

    @cached_property
    def _by_arm(self) -> dict[str, dict[str, Contrast]]:
        return {metric: {one.arm: one for one in contrasts} for metric, contrasts in self.contrasts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """What the differences of two arms say by themselves, before they are seen beside others.

    `interval` and `p` belong together (`t`, or `anytime`). `is_exact` says that the differences have no randomness:
    there is then one difference, which is the truth, and neither interval nor p.
    """

    estimate: Estimate | None
    interval: Interval | None
    p: float | None
    note: str = ""
    is_exact: bool = False

    def verdict(self, p_holm: float | None, metric: Metric) -> Verdict:
        """Give the verdict, once p is adjusted."""
        if self.is_exact and self.estimate is not None:
            return _exact_verdict(self.estimate.mean, metric)
        return verdict_of(self.interval, p_holm, metric)


def analyse(results: Results) -> Analysis:
    """Estimate every arm and contrast every arm with what it is compared to, metric by metric."""
    estimates: dict[str, dict[str, Estimate]] = {}
    contrasts: dict[str, tuple[Contrast, ...]] = {}
    for metric in results.study.metrics:
        by_arm = {arm.name: arm.values[metric.name] for arm in results.arms}
        estimates[metric.name] = {name: estimate(list(values.values())) for name, values in by_arm.items() if values}
        contrasts[metric.name] = _contrasts(results, metric)
    return Analysis(results=results, estimates=estimates, contrasts=contrasts)


def verdict_of(interval: Interval | None, p_holm: float | None, metric: Metric) -> Verdict:
    """Decide a contrast.

    `equivalent` if the whole interval lies within the metric's region of practical equivalence, even where it excludes
    zero: such a difference is real and does not matter. Else `better` or `worse` if the adjusted p is below 0.05 (the
    interval, which is not adjusted, then leaves zero out), so that a study without any effect gives such a verdict on a
    metric with 5 % at most. Else `undecided`. The claim of equivalence is not adjusted: it is wrong with 5 % at most
    for each contrast.
    """
    if interval is None:
        return Verdict.UNDECIDED
    margin = metric.equivalent_within
    if margin is not None and -margin <= interval.low and interval.high <= margin:
        return Verdict.EQUIVALENT
    if p_holm is None or p_holm >= SIGNIFICANCE or interval.low <= 0.0 <= interval.high:
        return Verdict.UNDECIDED
    return _towards(interval.low + interval.high, metric)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for being looked at together (Holm 1979, step-down), in the order given.

    It is the closure of Bonferroni's test: the adjusted p of one is the largest `min(1, |S| min(p in S))` over the sets
    `S` that hold it. Each of these falls or stays when any p falls, hence so does every adjusted p.
    """
    count = len(p_values)
    adjusted = [0.0] * count
    running = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def adjusted(tests: Sequence[PairedTest]) -> list[float | None]:
    """Adjust the p of tests that are one family; those without p take no part."""
    found = iter(holm([test.p for test in tests if test.p is not None]))
    return [None if test.p is None else next(found) for test in tests]


def references_of(study: Study) -> dict[str, str]:
    """Give what each arm is compared to, without the arms that are compared to nothing; see `Study.reference_of`."""
    found = {arm.name: arm.against or study.reference for arm in study.arms}
    return {arm: reference for arm, reference in found.items() if arm != reference}


def paired_differences(ours: Mapping[Seed, float], theirs: Mapping[Seed, float]) -> dict[Seed, float]:
    """Give ours minus theirs by seed, in ascending order, where both have it."""
    both = sorted((seed for seed in ours if seed in theirs), key=_place)
    return {seed: ours[seed] - theirs[seed] for seed in both}


def paired_test(
    differences: Mapping[Seed, float], *, is_adaptive: bool = False, pending: frozenset[Seed] = frozenset()
) -> PairedTest:
    """Test the differences of equal seeds against zero.

    Args:
        differences: By seed, in ascending order.
        is_adaptive: Whether the number of seeds depends on results, so that only an anytime-valid test is one.
        pending: Seeds that are still to come. An anytime-valid test takes seeds in their order and stops before the
            first of these: which trials end first may depend on what they give.
    """
    found = estimate(list(differences.values())) if differences else None
    if found is not None and None in differences:
        return PairedTest(estimate=found, interval=None, p=None, note=DETERMINISTIC, is_exact=True)
    note = "no pair of seeds" if found is None else "n = 1" if found.n == 1 else ""
    if not is_adaptive:
        return PairedTest(estimate=found, interval=t_interval(found), p=t_test(found), note=note)
    first = min(map(_place, pending), default=None)
    used = [value for seed, value in differences.items() if first is None or _place(seed) < first]
    if len(used) < len(differences):
        note = f"tested on {len(used)} of {len(differences)} pairs: seed {first} has not ended"
    sequence = ConfidenceSequence()
    for value in used:
        sequence.add(value)
    if not note and sequence.interval is None:
        note = f"n = {sequence.n}: too few for an anytime-valid interval"
    return PairedTest(estimate=found, interval=sequence.interval, p=sequence.p, note=note)


def _contrasts(results: Results, metric: Metric) -> tuple[Contrast, ...]:
    arms = {arm.name: arm for arm in results.arms}
    pairs = [(arms[arm], arms[reference]) for arm, reference in references_of(results.study).items()]
    differences = [paired_differences(arm.values[metric.name], base.values[metric.name]) for arm, base in pairs]
    is_adaptive = results.study.adaptive is not None
    tests = [
        paired_test(found, is_adaptive=is_adaptive, pending=arm.pending | base.pending)
        for (arm, base), found in zip(pairs, differences, strict=True)
    ]
    return tuple(
        Contrast(
            arm=arm.name,
            reference=base.name,
            metric=metric.name,
            differences=found,
            unpaired=_unpaired(arm, base, metric.name),
            estimate=test.estimate,
            p=test.p,
            p_holm=p_holm,
            verdict=test.verdict(p_holm, metric),
            note=test.note,
            interval=test.interval,
            bca=bca(list(found.values())),
        )
        for (arm, base), found, test, p_holm in zip(pairs, differences, tests, adjusted(tests), strict=True)
    )


def _unpaired(arm: ArmResults, base: ArmResults, metric: str) -> tuple[Seed, ...]:
    """Name the seeds that only one has although both were to have them."""
    ours, theirs = arm.values[metric], base.values[metric]
    lonely = [seed for seed in {**ours, **theirs} if (seed in ours) != (seed in theirs)]
    return tuple(seed for seed in lonely if all(one.planned is None or seed in one.planned for one in (arm, base)))


def _exact_verdict(difference: float, metric: Metric) -> Verdict:
    """Decide a difference that has no randomness; no difference at all is within any region of equivalence."""
    if abs(difference) <= (metric.equivalent_within or 0.0):
        return Verdict.EQUIVALENT
    return _towards(difference, metric)


def _towards(difference: float, metric: Metric) -> Verdict:
    return Verdict.BETTER if (difference < 0.0) == (metric.better == "lower") else Verdict.WORSE


def _place(seed: Seed) -> int:
    """Order seeds; the one of a task without any stands alone."""
    return -1 if seed is None else seed
