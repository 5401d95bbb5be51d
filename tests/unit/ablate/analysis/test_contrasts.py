"""Estimates and contrasts against scipy, and what they say where the data do not suffice."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.contrasts import Verdict, analyse, holm, verdict_of
from ablate.analysis.intervals import Interval
from ablate.analysis.results import ArmResults
from ablate.analysis.sequence import ConfidenceSequence
from ablate.study.model import Adaptive, Arm, Metric


def test_a_contrast_equals_scipys_paired_t_test(make_results):
    ours = {0: 66.1, 1: 70.4, 2: 64.9, 3: 68.0}
    other = {3: 81.5, 1: 80.9, 0: 79.2, 2: 83.3}
    contrast = analyse(make_results({"ours": {"m": ours}, "other": {"m": other}})).contrast("m", "other")
    expected = stats.ttest_rel([other[seed] for seed in range(4)], [ours[seed] for seed in range(4)])
    interval = expected.confidence_interval(0.95)
    assert contrast.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (contrast.estimate.low, contrast.estimate.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert (contrast.interval.low, contrast.interval.high) == (contrast.estimate.low, contrast.estimate.high)
    assert contrast.interval.method == "t"
    assert contrast.p_holm == contrast.p
    assert contrast.verdict is Verdict.WORSE


P_VALUES = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12)


@given(P_VALUES)
def test_holm_equals_statsmodels(p_values):
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    expected = multitest.multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected, rel=1e-12, abs=1e-300)


@given(P_VALUES)
def test_holm_is_its_definition(p_values):
    """Written the slow way: the adjusted p is the largest of the scaled p up to its rank."""
    order = sorted(p_values)
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        scaled = [min(1.0, (len(order) - rank) * smaller) for rank, smaller in enumerate(order) if smaller <= p]
        assert adjusted == pytest.approx(max(scaled), rel=1e-12)


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=12))
def test_no_adjusted_p_rises_when_any_p_falls(pairs):
    """So an arm that was decided stays decided while others get more seeds."""
    before = holm([max(pair) for pair in pairs])
    after = holm([min(pair) for pair in pairs])
    assert all(new <= old for new, old in zip(after, before, strict=True))


def test_the_family_of_holm_is_one_metric(make_results):
    arms = {
        name: {"a": {0: shift, 1: shift + 0.5, 2: shift - 0.2 * index}, "b": {0: 1.0, 1: 2.0 + index, 2: 3.0}}
        for index, (name, shift) in enumerate([("ours", 0.0), ("x", 1.0), ("y", 2.0)])
    }
    found = analyse(make_results(arms))
    for metric in ("a", "b"):
        contrasts = found.contrasts[metric]
        assert [one.p_holm for one in contrasts] == holm([one.p for one in contrasts])


LOWER = Metric(name="m", unit="mm", better="lower")
HIGHER = replace(LOWER, better="higher")
WITHIN_1 = replace(LOWER, equivalent_within=1.0)


@pytest.mark.parametrize(
    ("metric", "bounds", "p_holm", "verdict"),
    [
        (LOWER, (0.5, 2.0), 0.049, "worse"),
        (LOWER, (-2.0, -0.5), 0.049, "better"),
        (HIGHER, (0.5, 2.0), 0.049, "better"),
        (HIGHER, (-2.0, -0.5), 0.049, "worse"),
        (LOWER, (0.5, 2.0), 0.05, "undecided"),
        (LOWER, (0.5, 2.0), None, "undecided"),
        (LOWER, None, 0.001, "undecided"),
        (LOWER, (-0.1, 2.0), 0.001, "undecided"),
        (LOWER, (0.0, 0.0), 1.0, "undecided"),
        (WITHIN_1, (-0.9, 1.0), 1.0, "equivalent"),
        (WITHIN_1, (0.1, 0.9), 0.001, "equivalent"),
        (WITHIN_1, (-0.9, 1.1), 1.0, "undecided"),
        (WITHIN_1, (-1.1, 0.9), 1.0, "undecided"),
        (WITHIN_1, (0.1, 1.1), 0.001, "worse"),
        (WITHIN_1, (0.1, 1.1), 0.2, "undecided"),
        (WITHIN_1, (0.0, 0.0), 1.0, "equivalent"),
        (WITHIN_1, None, None, "undecided"),
    ],
)
def test_the_table_of_verdicts(metric, bounds, p_holm, verdict):
    interval = None if bounds is None else Interval(low=bounds[0], high=bounds[1], method="t")
    assert verdict_of(interval, p_holm, metric) == verdict


@pytest.mark.parametrize(
    ("better", "shift", "verdict"),
    [("lower", 1.0, "worse"), ("lower", -1.0, "better"), ("higher", 1.0, "better"), ("higher", -1.0, "worse")],
)
def test_the_verdict_follows_the_metrics_direction(make_results, better, shift, verdict):
    ours = {0: 1.0, 1: 2.0, 2: 3.0}
    other = {seed: value + shift + 0.01 * seed for seed, value in ours.items()}
    found = analyse(make_results({"ours": {"m": ours}, "other": {"m": other}}, better=better))
    assert found.contrast("m", "other").verdict == verdict


def test_an_interval_that_holds_zero_is_undecided(make_results):
    values = {"ours": {"m": {0: 1.0, 1: 2.0, 2: 3.0}}, "other": {"m": {0: 2.0, 1: 1.5, 2: 3.4}}}
    assert analyse(make_results(values)).contrast("m", "other").verdict is Verdict.UNDECIDED


def test_an_interval_without_zero_is_undecided_where_holm_says_so(make_results):
    noise = {0: 0.0, 1: 1.0, 2: -1.0, 3: 0.4}
    arms = {"ours": {"m": dict.fromkeys(noise, 5.0)}}
    arms |= {f"arm {k}": {"m": {seed: 6.5 + value + k / 100 for seed, value in noise.items()}} for k in range(4)}
    for contrast in analyse(make_results(arms)).contrasts["m"]:
        assert contrast.interval.low > 0.0
        assert contrast.p < 0.05 < contrast.p_holm
        assert contrast.verdict is Verdict.UNDECIDED


def test_a_study_with_a_margin_finds_arms_equivalent(make_results):
    values = {"ours": {"m": {0: 1.0, 1: 2.0, 2: 3.0}}, "other": {"m": {0: 1.1, 1: 2.2, 2: 3.15}}}
    found = analyse(make_results(values, metrics=(WITHIN_1,))).contrast("m", "other")
    assert (found.verdict, found.p_holm < 0.05) == (Verdict.EQUIVALENT, True)


def test_an_arm_is_compared_to_the_one_it_names(make_results):
    values = {name: {"m": {0: level, 1: level + 0.1}} for name, level in (("ours", 1.0), ("noisy", 3.0), ("x", 4.0))}
    arms = (
        Arm(name="ours", overrides={}),
        Arm(name="noisy", overrides={}, against="noisy"),
        Arm(name="x", overrides={}, against="noisy"),
    )
    found = analyse(make_results(values, arms=arms))
    assert [(one.arm, one.reference) for one in found.contrasts["m"]] == [("x", "noisy")]
    assert found.contrast("m", "x").estimate.mean == pytest.approx(1.0)
    assert found.contrast("m", "noisy") is None


def test_the_bootstrap_stands_beside_the_interval(make_results):
    values = {"ours": {"m": dict.fromkeys(range(5), 0.0)}, "other": {"m": {0: 1.0, 1: 2.0, 2: 4.0, 3: 1.5, 4: 2.5}}}
    found = analyse(make_results(values)).contrast("m", "other")
    assert found.bca.method == "bca"
    assert found.interval.low < found.bca.low < found.bca.high < found.interval.high


def test_one_pair_gives_a_difference_without_interval_and_says_so(make_results):
    contrast = analyse(make_results({"ours": {"m": {0: 1.0}}, "other": {"m": {0: 4.0}}})).contrast("m", "other")
    assert (contrast.estimate.mean, contrast.estimate.low, contrast.p, contrast.p_holm) == (3.0, None, None, None)
    assert (contrast.verdict, contrast.note) == (Verdict.UNDECIDED, "n = 1")


@pytest.mark.parametrize(
    ("metric", "difference", "verdict"),
    [(LOWER, 3.0, "worse"), (HIGHER, 3.0, "better"), (WITHIN_1, 0.5, "equivalent"), (LOWER, 0.0, "equivalent")],
)
@pytest.mark.parametrize("adaptive", [None, Adaptive(min=3, max=9, step=1, metric="m")])
def test_a_difference_without_randomness_is_what_it_is(make_results, metric, difference, verdict, adaptive):
    values = {"ours": {"m": {None: 1.0}}, "other": {"m": {None: 1.0 + difference}}}
    found = analyse(make_results(values, metrics=(metric,), adaptive=adaptive)).contrast("m", "other")
    assert (found.estimate.n, found.note, found.verdict) == (1, "deterministic: no seed", verdict)
    assert (found.p, found.p_holm, found.interval, found.bca) == (None, None, None, None)


def test_seeds_without_a_partner_are_named_and_take_no_part(make_results):
    values = {"ours": {"m": {0: 1.0, 1: 2.0}}, "other": {"m": {1: 2.5, 2: 9.0, 0: 1.6}}}
    contrast = analyse(make_results(values)).contrast("m", "other")
    assert contrast.differences == pytest.approx({1: 0.5, 0: 0.6})
    assert contrast.unpaired == (2,)


def test_no_pair_at_all_is_said(make_results):
    contrast = analyse(make_results({"ours": {"m": {0: 1.0}}, "other": {"m": {1: 4.0}}})).contrast("m", "other")
    assert (contrast.estimate, contrast.note) == (None, "no pair of seeds")


def test_identical_arms_are_undecided_with_p_1(make_results):
    values = {0: 1.0, 1: 2.0}
    contrast = analyse(make_results({"ours": {"m": values}, "other": {"m": dict(values)}})).contrast("m", "other")
    assert (contrast.p, contrast.verdict) == (1.0, Verdict.UNDECIDED)


def test_the_same_difference_at_every_seed_is_decided(make_results):
    values = {"ours": {"m": {0: 1.0, 1: 2.0}}, "other": {"m": {0: 1.5, 1: 2.5}}}
    contrast = analyse(make_results(values)).contrast("m", "other")
    assert (contrast.p, contrast.verdict) == (0.0, Verdict.WORSE)


def test_an_arm_without_numbers_has_no_estimate(make_results):
    found = analyse(make_results({"ours": {"m": {0: 1.0}}, "other": {"m": {}}}))
    assert set(found.estimates["m"]) == {"ours"}


def test_a_seed_that_was_not_planned_for_both_lacks_no_partner(make_results):
    results = make_results({"ours": {"m": {0: 1.0, 1: 2.0, 2: 3.0}}, "other": {"m": {0: 2.5, 2: 1.0}}})
    ours, other = results.arms
    arms = (replace(ours, planned=(0, 1, 2, 3)), replace(other, planned=(0, 2)))
    assert analyse(replace(results, arms=arms)).contrast("m", "other").unpaired == ()
    arms = (arms[0], replace(other, planned=(0, 1)))
    assert analyse(replace(results, arms=arms)).contrast("m", "other").unpaired == (1,)


ADAPTIVE = Adaptive(min=3, max=20, step=1, metric="m")
SHIFTS = (3.0, 3.5, 2.8, 3.1, 2.2, 3.3)


def adaptive_results(make_results, pending=()):
    ours = ArmResults(name="ours", values={"m": dict.fromkeys(range(6), 0.0)})
    other = ArmResults(name="other", values={"m": dict(enumerate(SHIFTS))}, pending=frozenset(pending))
    results = make_results({"ours": {"m": {}}, "other": {"m": {}}}, adaptive=ADAPTIVE, metrics=(LOWER,))
    return replace(results, arms=(ours, other))


def test_adaptive_studies_are_tested_anytime_valid(make_results):
    found = analyse(adaptive_results(make_results)).contrast("m", "other")
    sequence = ConfidenceSequence()
    for shift in SHIFTS:
        sequence.add(shift)
    assert (found.p, found.interval) == (sequence.p, sequence.interval)
    assert found.interval.low < found.estimate.low
    assert (found.verdict, found.note) == (Verdict.WORSE, "")


def test_a_seed_that_is_still_to_come_holds_back_those_after_it(make_results):
    found = analyse(adaptive_results(make_results, pending=[4])).contrast("m", "other")
    sequence = ConfidenceSequence()
    for shift in SHIFTS[:4]:
        sequence.add(shift)
    assert (found.p, found.estimate.n) == (sequence.p, 6)
    assert found.note == "tested on 4 of 6 pairs: seed 4 has not ended"


def test_arms_without_a_pair_stay_in_the_family_of_an_adaptive_study(make_results):
    results = adaptive_results(make_results)
    empty = ArmResults(name="late", values={"m": {}})
    study = replace(results.study, arms=(*results.study.arms, Arm(name="late", overrides={})))
    found = analyse(replace(results, study=study, arms=(*results.arms, empty)))
    assert found.contrast("m", "other").p_holm == 2.0 * found.contrast("m", "other").p
    assert (found.contrast("m", "late").p, found.contrast("m", "late").verdict) == (1.0, Verdict.UNDECIDED)


def test_importing_the_analysis_loads_no_scipy():
    modules = ", ".join(f"ablate.analysis.{name}" for name in ("contrasts", "published", "replication", "comparison"))
    code = f"import sys, {modules}; print('scipy' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
