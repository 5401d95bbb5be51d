"""Fixed-sample intervals against scipy."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablate.analysis.intervals import NUM_RESAMPLES, RESAMPLING_SEED, bca, estimate, t_test

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30)


@given(VALUES)
def test_an_estimate_equals_scipy(values):
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert found.sd == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-8)
    if found.sd > 1e-6:
        test = stats.ttest_1samp(values, 0.0)
        low, high = test.confidence_interval(0.95)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-7)


def test_a_t_test_equals_scipy():
    values = [0.3, 1.2, -0.4, 0.9, 1.4]
    assert t_test(estimate(values)) == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue, rel=1e-9)


@pytest.mark.parametrize(("values", "p"), [([0.0, 0.0], 1.0), ([2.0, 2.0], 0.0), ([2.0], None)])
def test_a_t_test_without_spread_is_certain(values, p):
    assert t_test(estimate(values)) == p


def test_one_value_has_no_interval():
    found = estimate([3.0])
    assert (found.n, found.mean, found.sd, found.low, found.high) == (1, 3.0, None, None, None)


def test_no_value_is_refused():
    with pytest.raises(ValueError, match="at least one value, got none"):
        estimate([])


def scipys_bca(values):
    """The same resamples, because the generator is the same."""
    generator = np.random.default_rng(RESAMPLING_SEED)
    found = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=NUM_RESAMPLES, rng=generator)
    return found.confidence_interval


@pytest.mark.parametrize("n", [3, 4, 5, 8, 9, 20, 50])
@pytest.mark.parametrize("digits", [1, 12])
def test_the_bootstrap_equals_scipys_on_the_same_resamples(n, digits):
    """Rounded values make means that tie, whose counting is the delicate part."""
    values = np.round(np.random.default_rng(n).gamma(2.0, 3.0, n) - 4.0, digits)
    expected = scipys_bca(values)
    found = bca(list(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@settings(max_examples=20)
@given(st.lists(st.floats(-1e3, 1e3).map(lambda value: round(value, 3)), min_size=3, max_size=12))
def test_the_bootstrap_equals_scipys_on_any_values(values):
    found = bca(values)
    if found is None:
        assert len(set(values)) == 1
    else:
        expected = scipys_bca(values)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [3.0, 3.0, 3.0], [0.0, 1e-250, 0.0]])
def test_the_bootstrap_says_nothing_without_spread_or_values(values):
    assert bca(values) is None


def test_a_thousand_bootstraps_take_seconds():
    values = list(np.random.default_rng(0).normal(size=10))
    bca(values)
    start = time.perf_counter()
    for _ in range(100):
        bca(values)
    assert time.perf_counter() - start < 2.0
