"""Two sides beside each other: two arms of a study, two studies, or two versions of one study."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.analysis.contrasts import PairedTest, Seed, Verdict, adjusted, paired_differences, paired_test
from ablate.analysis.intervals import Estimate, Interval, estimate, t_quantile, two_sided_p
from ablate.analysis.results import ArmResults, Results
from ablate.study.model import Metric

MIN_PAIRS = 2
"""Seeds in common from which two sides are compared by pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One arm on one metric, on two sides. All that is signed is A minus B, and the verdict is of A seen from B.

    Args:
        arm: The arm on both sides; A's where two arms are compared.
        metric: The metric.
        a: A's mean over all its seeds, with its t interval; `None` without a number.
        b: B's.
        n: Number of pairs, or of the smaller side where it is not `paired`.
        difference: Mean of the differences of equal seeds, or the difference of the means where it is not `paired`.
        interval: Of the difference: `t`, `anytime` or `welch`; nothing where `note` says why.
        p: Two-sided, before it is adjusted.
        p_holm: Adjusted over the rows of the family: see `compare_arms` and `compare_results`.
        verdict: As of a contrast, see `contrasts.verdict_of`.
        paired: Whether the seeds that both sides have are paired.
        unpaired: Seeds that only one side has; they take no part where it is `paired`.
        note: What a reader must know about the interval, or why there is none.
    """

    arm: str
    metric: Metric
    a: Estimate | None
    b: Estimate | None
    n: int
    difference: float | None
    interval: Interval | None
    p: float | None
    p_holm: float | None
    verdict: Verdict
    paired: bool
    unpaired: tuple[Seed, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyComparison:
    """Two sides and what they share.

    Args:
        a: What the first side is called.
        b: What the second is called.
        rows: By metric, then by arm, in A's order.
        only_a: Arms that only A has.
        only_b: Arms that only B has.
        only_metrics: Metrics that are not compared, each with the reason in words.
    """

    a: str
    b: str
    rows: tuple[ComparisonRow, ...]
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    only_metrics: Mapping[str, str]


def compare_arms(results: Results, a: str, b: str) -> StudyComparison:
    """Compare two arms of one study on every metric. Holm's family is the rows: one question, several metrics.

    Raises:
        KeyError: The study has no such arm.
    """
    ours, theirs = results.arm(a), results.arm(b)
    is_adaptive = results.study.adaptive is not None
    sides = [_Sides(arm=a, metric=metric, a=ours, b=theirs) for metric in results.study.metrics]
    return StudyComparison(a=a, b=b, rows=tuple(_rows(sides, is_adaptive)), only_metrics={})


def compare_results(a: Results, b: Results, *, labels: tuple[str, str] = ("A", "B")) -> StudyComparison:
    """Compare two studies, or two versions of one, arm by arm. Holm's family is one metric: all shared arms on it.

    Seeds that both have are paired: an equal seed fixes the data and the initial weights on both sides, as far as the
    two agree on what is made of it. Where they do not agree, pairs are as good as unpaired, and no test is wrong.
    """
    metrics, only_metrics = _shared_metrics(a.study.metrics, b.study.metrics)
    theirs = {arm.name: arm for arm in b.arms}
    ours = {arm.name: arm for arm in a.arms}
    is_adaptive = a.study.adaptive is not None or b.study.adaptive is not None
    rows: list[ComparisonRow] = []
    for metric in metrics:
        sides = [_Sides(arm=name, metric=metric, a=ours[name], b=theirs[name]) for name in ours if name in theirs]
        rows += _rows(sides, is_adaptive)
    return StudyComparison(
        a=labels[0],
        b=labels[1],
        rows=tuple(rows),
        only_a=tuple(name for name in ours if name not in theirs),
        only_b=tuple(name for name in theirs if name not in ours),
        only_metrics=only_metrics,
    )


def welch_test(ours: Sequence[float], theirs: Sequence[float], *, note: str = "") -> PairedTest:
    """Compare the means of two independent samples with unequal variances (Welch 1947), ours minus theirs.

    Returns:
        The interval and p, neither of them where a side has one value only; `estimate` has the difference alone.
    """
    a, b = estimate(ours), estimate(theirs)
    difference = a.mean - b.mean
    found = Estimate(n=min(a.n, b.n), mean=difference)
    if a.sd is None or b.sd is None:
        return PairedTest(estimate=found, interval=None, p=None, note=f"n = {a.n} and {b.n}")
    parts = (a.sd**2 / a.n, b.sd**2 / b.n)
    error = math.sqrt(sum(parts))
    spread = parts[0] ** 2 / (a.n - 1) + parts[1] ** 2 / (b.n - 1)
    degrees = sum(parts) ** 2 / spread if spread > 0.0 else float(a.n + b.n - 2)
    half = t_quantile(degrees) * error
    interval = Interval(low=difference - half, high=difference + half, method="welch")
    return PairedTest(estimate=found, interval=interval, p=two_sided_p(difference, error, degrees), note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """What one row compares."""

    arm: str
    metric: Metric
    a: ArmResults
    b: ArmResults

    @property
    def values(self) -> tuple[Mapping[Seed, float], Mapping[Seed, float]]:
        """The numbers of both, by seed."""
        return self.a.values[self.metric.name], self.b.values[self.metric.name]

    @property
    def differences(self) -> dict[Seed, float]:
        """A minus B by seed, empty where the two are not compared by pairs."""
        found = paired_differences(*self.values)
        return found if len(found) >= MIN_PAIRS or None in found else {}

    def test(self, *, is_adaptive: bool) -> PairedTest:
        ours, theirs = self.values
        differences = self.differences
        if differences:
            return paired_test(differences, is_adaptive=is_adaptive, pending=self.a.pending | self.b.pending)
        if not ours or not theirs:
            sides = " and ".join(name for name, values in (("A", ours), ("B", theirs)) if not values)
            return PairedTest(estimate=None, interval=None, p=None, note=f"no number in {sides}")
        note = (
            "the number of seeds was chosen by results, and unpaired seeds have no test for that" if is_adaptive else ""
        )
        return welch_test(list(ours.values()), list(theirs.values()), note=note)


def _rows(sides: Sequence[_Sides], is_adaptive: bool) -> list[ComparisonRow]:
    """Test the rows of one family."""
    tests = [one.test(is_adaptive=is_adaptive) for one in sides]
    return [_row(one, test, p_holm) for one, test, p_holm in zip(sides, tests, adjusted(tests), strict=True)]


def _row(sides: _Sides, test: PairedTest, p_holm: float | None) -> ComparisonRow:
    ours, theirs = sides.values
    return ComparisonRow(
        arm=sides.arm,
        metric=sides.metric,
        a=estimate(list(ours.values())) if ours else None,
        b=estimate(list(theirs.values())) if theirs else None,
        n=test.estimate.n if test.estimate else 0,
        difference=test.estimate.mean if test.estimate else None,
        interval=test.interval,
        p=test.p,
        p_holm=p_holm,
        verdict=test.verdict(p_holm, sides.metric),
        paired=bool(sides.differences),
        unpaired=tuple(seed for seed in {**ours, **theirs} if (seed in ours) != (seed in theirs)),
        note=test.note,
    )


def _shared_metrics(ours: Sequence[Metric], theirs: Sequence[Metric]) -> tuple[list[Metric], dict[str, str]]:
    """Give the metrics that mean the same on both sides, and why others are left out."""
    others = {metric.name: metric for metric in theirs}
    shared: list[Metric] = []
    left_out = {metric.name: "only B has it" for metric in theirs}
    for metric in ours:
        other = others.get(metric.name)
        if other is None:
            left_out[metric.name] = "only A has it"
        elif (metric.unit, metric.better) != (other.unit, other.better):
            left_out[metric.name] = (
                f"A has it in {metric.unit} ({metric.better} is better), B in {other.unit} ({other.better} is better)"
            )
        else:
            del left_out[metric.name]
            shared.append(metric)
    return shared, left_out
