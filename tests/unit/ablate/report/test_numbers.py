"""How numbers are written."""

import json

import pytest

from ablate.analysis.intervals import Estimate, estimate
from ablate.report.curves import CurveData, Line, Panel
from ablate.report.numbers import decimals_for, duration, fixed, interval, p_value, printed_decimals, seeds_text
from ablate.report.plots import plots_json
from ablate.study.model import Curve


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(66.94, 1, "66.9"), (0.0, 1, "0.0"), (0.0123, 1, "0.012"), (-0.3, 1, "-0.3"), (3e-7, 4, "3e-07")],
)
def test_a_value_keeps_digits_that_its_column_would_hide(value, decimals, text):
    assert fixed(value, decimals) == text


def test_a_difference_shows_its_sign():
    assert (fixed(3.0, 1, sign=True), fixed(-3.0, 1, sign=True), fixed(0.0, 1, sign=True)) == ("+3.0", "-3.0", "0.0")


@pytest.mark.parametrize(("half", "decimals"), [(28.0, 1), (2.8, 1), (0.28, 2), (0.028, 3), (2.8e-6, 4)])
def test_decimals_follow_the_interval(half, decimals):
    assert decimals_for([Estimate(n=3, mean=50.0, sd=1.0, low=50.0 - half, high=50.0 + half)]) == decimals


def test_without_intervals_decimals_follow_the_value():
    assert decimals_for([estimate([96.17])]) == 2
    assert decimals_for([]) == 1


def test_no_interval_is_no_text():
    assert interval(estimate([1.0]), 1) == ""


@pytest.mark.parametrize(("p", "text"), [(None, ""), (0.04321, "0.043"), (1.0, "1"), (3e-9, "< 0.0001")])
def test_p_values(p, text):
    assert p_value(p) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.26, "1.3 s"), (42.4, "42 s"), (59.99, "60 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_printed_numbers_share_their_decimals():
    assert printed_decimals([83.0, 80.5, 99]) == 1
    assert printed_decimals([]) == 0


@pytest.mark.parametrize(
    ("seeds", "text"), [((0, 1, 2), "0 to 2"), ((3, 1), "1, 3"), ((4,), "4"), ((None,), "none"), ((), "none")]
)
def test_seeds(seeds, text):
    assert seeds_text(seeds) == text


def test_a_band_that_reaches_zero_ends_at_the_foot_of_a_logarithmic_axis():
    line = Line(label="a", steps=(0, 1), mean=(2.0, 0.5), low=(1.0, -3.0), high=(3.0, 4.0), num_seeds=2)
    data = CurveData(curve=Curve(title="t", metrics=("m",), log=True), panels=(Panel(title="", lines=(line,)),))
    (figure,) = json.loads(plots_json([data]))["figures"]
    assert figure["panels"][0]["lines"][0]["low"] == [1.0, 0.5]
