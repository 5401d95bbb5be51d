"""The confidence sequence: its closed form against the Bayes factor itself, and what never goes back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import dblquad
from scipy.optimize import brentq

from ablate.analysis.sequence import EFFECT_SCALE, ConfidenceSequence

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=25)


def bayes_factor(values, mean, scale=EFFECT_SCALE):
    """As the literature writes it, by the t statistic."""
    n = len(values)
    t = math.sqrt(n) * (np.mean(values) - mean) / np.std(values, ddof=1)
    g = 1 + n * scale**2
    return g**-0.5 * ((1 + t**2 / ((n - 1) * g)) / (1 + t**2 / (n - 1))) ** (-n / 2)


def follow(values):
    sequence = ConfidenceSequence()
    for value in values:
        sequence.add(value)
    return sequence


def interval_alone(values):
    """The interval at the last `n`, without those before: the same values first, many to few, would narrow it."""
    middle, step = np.mean(values), np.std(values, ddof=1)

    def excess(mean):
        return bayes_factor(values, mean) - 20.0

    return brentq(excess, middle - 1e6 * step, middle), brentq(excess, middle, middle + 1e6 * step)


def test_the_bayes_factor_is_the_integral_over_its_priors():
    """Effect ~ N(0, tau^2), density 1 / sd of the sd, against an effect of zero with the same density."""
    values = np.array([0.4, 1.1, -0.2, 0.9])

    def likelihood(effect, log_sd):
        sd = math.exp(log_sd)
        return math.exp(-0.5 * np.sum((values / sd - effect) ** 2)) / sd ** len(values)

    def prior(effect):
        return math.exp(-0.5 * (effect / EFFECT_SCALE) ** 2) / EFFECT_SCALE / math.sqrt(2 * math.pi)

    with_effect, _ = dblquad(lambda effect, log_sd: prior(effect) * likelihood(effect, log_sd), -6, 9, -16, 16)
    without, _ = dblquad(lambda unused, log_sd: likelihood(0.0, log_sd), -6, 9, 0, 1)
    assert bayes_factor(values, 0.0) == pytest.approx(with_effect / without, rel=1e-5)


@pytest.mark.parametrize("n", [4, 5, 8, 20, 60])
def test_the_interval_is_the_intersection_of_all_that_the_bayes_factor_does_not_rule_out(n):
    values = np.random.default_rng(n).normal(1.0, 2.0, n)
    alone = [interval_alone(values[:m]) for m in range(4, n + 1)]
    found = follow(values).interval
    assert found.low == pytest.approx(max(low for low, _ in alone), rel=1e-8, abs=1e-9)
    assert found.high == pytest.approx(min(high for _, high in alone), rel=1e-8, abs=1e-9)
    assert found.method == "anytime"


@pytest.mark.parametrize("n", [2, 3])
def test_it_is_unbounded_below_four(n):
    values = np.random.default_rng(n).normal(1.0, 2.0, n)
    assert follow(values).interval is None
    assert max(bayes_factor(values, mean) for mean in (1e9, -1e9)) < 20.0


def test_p_is_the_least_inverse_bayes_factor_so_far():
    values = np.random.default_rng(5).normal(0.8, 1.0, 12)
    expected = min(1.0, *(1.0 / bayes_factor(values[:n], 0.0) for n in range(2, 13)))
    assert follow(values).p == pytest.approx(expected, rel=1e-9)


def gaussian_cases():
    """Fixed draws: what they show holds for almost all draws, not for all."""
    for seed in range(200):
        generator = np.random.default_rng(seed)
        yield generator.normal(generator.uniform(-3.0, 3.0), 1.0, generator.integers(4, 26))


def test_nothing_is_taken_back():
    """But where no mean is left at all, which Gaussian differences almost never come to."""
    for values in gaussian_cases():
        sequence = ConfidenceSequence()
        for value in values:
            p, interval = sequence.p, sequence.interval
            sequence.add(value)
            assert 0.0 <= sequence.p <= p
            if interval is not None:
                assert interval.low <= sequence.interval.low <= sequence.interval.high <= interval.high


def test_p_is_below_5_percent_where_the_interval_leaves_zero_out():
    sequences = [follow(values) for values in gaussian_cases()]
    for sequence in sequences:
        assert (sequence.p <= 0.05) == (not sequence.interval.low < 0.0 < sequence.interval.high)
    assert {sequence.p <= 0.05 for sequence in sequences} == {True, False}


@given(VALUES)
def test_p_never_rises_whatever_comes(values):
    sequence = ConfidenceSequence()
    for value in values:
        p = sequence.p
        sequence.add(value)
        assert 0.0 <= sequence.p <= p
        assert sequence.interval is None or sequence.interval.low <= sequence.interval.high


def test_where_no_mean_is_left_the_interval_starts_anew():
    before = [-1.0, 1.0, -1.0, 1.0]
    after = follow([*before, *[1000.0] * 20]).interval
    assert follow(before).interval.high < 10.0
    assert after.low > 500.0


def test_one_difference_says_nothing():
    assert (follow([5.0]).p, follow([5.0]).interval) == (1.0, None)


@pytest.mark.parametrize(("n", "p"), [(2, 9**-0.5), (3, 1 / 13), (4, 17**-1.5), (5, 21**-2.0)])
def test_equal_differences_are_the_limit_of_nearly_equal_ones(n, p):
    nearly = [2.5 + 1e-7 * (-1) ** seed for seed in range(n)]
    assert follow([2.5] * n).p == pytest.approx(p, rel=1e-12)
    assert follow(nearly).p == pytest.approx(p, rel=1e-6)


def test_differences_of_zero_are_no_evidence():
    sequence = follow([0.0] * 6)
    assert (sequence.p, sequence.interval.low, sequence.interval.high) == (1.0, 0.0, 0.0)


def test_the_scale_of_the_metric_does_not_matter():
    values = np.random.default_rng(2).normal(1.0, 1.0, 9)
    metres, millimetres = follow(values), follow(values * 1000.0)
    assert metres.p == pytest.approx(millimetres.p, rel=1e-9)
    assert metres.interval.low * 1000.0 == pytest.approx(millimetres.interval.low, rel=1e-9)
