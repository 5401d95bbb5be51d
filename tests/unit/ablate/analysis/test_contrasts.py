"""Estimates and contrasts against scipy, and what they say where the data do not suffice."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.contrasts import Verdict, analyse, estimate, holm

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


@given(VALUES)
def test_an_estimate_equals_scipy(values):
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert found.sd == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-8)
    if found.sd > 1e-6:
        low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-7)


def test_one_value_has_no_interval():
    found = estimate([3.0])
    assert (found.n, found.mean, found.sd, found.low, found.high) == (1, 3.0, None, None, None)


def test_no_value_is_refused():
    with pytest.raises(ValueError, match="at least one value, got none"):
        estimate([])


def test_a_contrast_equals_scipys_paired_t_test(make_results):
    ours = {0: 66.1, 1: 70.4, 2: 64.9, 3: 68.0}
    other = {3: 81.5, 1: 80.9, 0: 79.2, 2: 83.3}
    contrast = analyse(make_results({"ours": {"m": ours}, "other": {"m": other}})).contrast("m", "other")
    expected = stats.ttest_rel([other[seed] for seed in range(4)], [ours[seed] for seed in range(4)])
    interval = expected.confidence_interval(0.95)
    assert contrast.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (contrast.estimate.low, contrast.estimate.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert contrast.p_holm == contrast.p
    assert contrast.verdict is Verdict.WORSE


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_holm_is_its_definition(p_values):
    """Written the slow way: the adjusted p is the largest of the scaled p up to its rank."""
    order = sorted(p_values)
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        scaled = [min(1.0, (len(order) - rank) * smaller) for rank, smaller in enumerate(order) if smaller <= p]
        assert adjusted == pytest.approx(max(scaled), rel=1e-12)


def test_holm_equals_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    p_values = [0.01, 0.04, 0.03, 0.005, 0.8]
    assert holm(p_values) == pytest.approx(multitest.multipletests(p_values, method="holm")[1], rel=1e-9)


def test_the_family_of_holm_is_one_metric(make_results):
    arms = {
        name: {"a": {0: shift, 1: shift + 0.5, 2: shift - 0.2 * index}, "b": {0: 1.0, 1: 2.0 + index, 2: 3.0}}
        for index, (name, shift) in enumerate([("ours", 0.0), ("x", 1.0), ("y", 2.0)])
    }
    found = analyse(make_results(arms))
    for metric in ("a", "b"):
        contrasts = found.contrasts[metric]
        assert [one.p_holm for one in contrasts] == holm([one.p for one in contrasts])


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


def test_one_pair_gives_a_difference_without_interval_and_says_so(make_results):
    contrast = analyse(make_results({"ours": {"m": {0: 1.0}}, "other": {"m": {0: 4.0}}})).contrast("m", "other")
    assert (contrast.estimate.mean, contrast.estimate.low, contrast.p, contrast.p_holm) == (3.0, None, None, None)
    assert (contrast.verdict, contrast.note) == (Verdict.UNDECIDED, "n = 1")


def test_a_task_without_seed_pairs_by_itself(make_results):
    contrast = analyse(make_results({"ours": {"m": {None: 1.0}}, "other": {"m": {None: 4.0}}})).contrast("m", "other")
    assert (contrast.estimate.n, contrast.note) == (1, "n = 1")


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


def test_importing_the_analysis_loads_no_scipy():
    code = "import sys, ablate.analysis.contrasts, ablate.analysis.published; print('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
