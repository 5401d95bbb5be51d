"""Two sides beside each other: pairs where there are some, Welch's test where there are none."""

from dataclasses import replace

import pytest
from scipy import stats

from ablate.analysis.comparison import compare_arms, compare_results
from ablate.analysis.contrasts import analyse, holm
from ablate.study.model import Adaptive, Metric

OURS = {0: 10.0, 1: 12.0, 2: 11.0, 3: 10.5}
OTHER = {0: 13.1, 1: 14.0, 2: 14.2, 3: 12.9}
LOWER = Metric(name="m", unit="mm", better="lower")


def shifted(values, by):
    return {seed + by: value for seed, value in values.items()}


def test_arms_are_compared_as_a_contrast_is(make_results):
    results = make_results({"ours": {"m": OURS}, "other": {"m": OTHER}})
    row = compare_arms(results, "other", "ours").rows[0]
    contrast = analyse(results).contrast("m", "other")
    assert (row.difference, row.interval, row.p) == (contrast.estimate.mean, contrast.interval, contrast.p)
    assert (row.verdict, row.paired, row.n) == ("worse", True, 4)
    assert (row.a.mean, row.b.mean) == pytest.approx((13.55, 10.875))


def test_the_other_way_round_is_the_other_sign(make_results):
    results = make_results({"ours": {"m": OURS}, "other": {"m": OTHER}})
    row = compare_arms(results, "ours", "other").rows[0]
    assert (row.verdict, row.difference < 0.0) == ("better", True)


def test_the_family_of_two_arms_is_the_metrics(make_results):
    more = {0: 10.4, 1: 12.1, 2: 12.0, 3: 10.6}
    results = make_results({"ours": {"a": OURS, "b": OURS}, "other": {"a": OTHER, "b": more}})
    rows = compare_arms(results, "other", "ours").rows
    assert [row.metric.name for row in rows] == ["a", "b"]
    assert [row.p_holm for row in rows] == holm([row.p for row in rows])


def test_an_unknown_arm_is_a_key_error(make_results):
    with pytest.raises(KeyError, match="theirs"):
        compare_arms(make_results({"ours": {"m": OURS}}), "ours", "theirs")


def test_other_seeds_are_compared_by_welch(make_results):
    a = make_results({"ours": {"m": OURS}})
    b = make_results({"ours": {"m": shifted(OTHER, 100)}})
    row = compare_results(a, b).rows[0]
    expected = stats.ttest_ind(list(OURS.values()), list(OTHER.values()), equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert row.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (row.interval.low, row.interval.high) == pytest.approx((low, high), rel=1e-9)
    assert (row.interval.method, row.paired, row.verdict) == ("welch", False, "better")


def test_one_seed_in_common_is_no_pairing(make_results):
    a = make_results({"ours": {"m": OURS}})
    row = compare_results(a, make_results({"ours": {"m": shifted(OTHER, 3)}})).rows[0]
    assert (row.paired, row.interval.method, row.unpaired) == (False, "welch", (0, 1, 2, 4, 5, 6))


def test_seeds_in_common_are_paired_and_others_named(make_results):
    a = make_results({"ours": {"m": OURS}})
    row = compare_results(a, make_results({"ours": {"m": shifted(OTHER, 2)}})).rows[0]
    assert (row.paired, row.n, row.unpaired) == (True, 2, (0, 1, 4, 5))


def test_arms_of_two_studies_are_matched_by_name(make_results):
    a = make_results({"ours": {"m": OURS}, "old": {"m": OURS}, "x": {"m": OURS}})
    b = make_results({"x": {"m": OTHER}, "ours": {"m": OURS}, "new": {"m": OTHER}})
    found = compare_results(a, b, labels=("toy@1", "toy@2"))
    assert [row.arm for row in found.rows] == ["ours", "x"]
    assert (found.a, found.b, found.only_a, found.only_b) == ("toy@1", "toy@2", ("old",), ("new",))
    assert found.rows[1].p_holm == 2.0 * found.rows[1].p


def test_metrics_that_mean_another_thing_are_not_compared(make_results):
    a = make_results(
        {"ours": {"m": OURS, "mine": OURS, "s": OURS}},
        metrics=(LOWER, replace(LOWER, name="mine"), replace(LOWER, name="s")),
    )
    b = make_results(
        {"ours": {"m": OURS, "yours": OURS, "s": OURS}},
        metrics=(replace(LOWER, unit="cm"), replace(LOWER, name="yours"), replace(LOWER, name="s")),
    )
    found = compare_results(a, b)
    assert [row.metric.name for row in found.rows] == ["s"]
    assert found.only_metrics == {
        "m": "A has it in mm (lower is better), B in cm (lower is better)",
        "mine": "only A has it",
        "yours": "only B has it",
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "note"),
    [
        ({}, {}, "no number in A and B"),
        ({0: 1.0}, {}, "no number in B"),
        ({0: 1.0}, {0: 2.0}, "n = 1 and 1"),
        ({0: 1.0, 1: 2.0}, {2: 2.0}, "n = 2 and 1"),
    ],
)
def test_too_little_is_said(make_results, ours, theirs, note):
    row = compare_results(
        make_results({"ours": {"m": ours}}, metrics=(LOWER,)), make_results({"ours": {"m": theirs}}, metrics=(LOWER,))
    ).rows[0]
    assert (row.note, row.interval, row.p_holm, row.verdict) == (note, None, None, "undecided")


def test_sides_without_any_spread_are_certain(make_results):
    a = make_results({"ours": {"m": {0: 1.0, 1: 1.0}}})
    b = make_results({"ours": {"m": {5: 2.0, 6: 2.0, 7: 2.0}}})
    row = compare_results(a, b).rows[0]
    assert (row.p, row.interval.low, row.interval.high, row.verdict) == (0.0, -1.0, -1.0, "better")


def test_deterministic_sides_are_exact(make_results):
    a, b = (make_results({"ours": {"m": {None: value}}}) for value in (1.0, 3.0))
    row = compare_results(a, b).rows[0]
    assert (row.difference, row.verdict, row.p, row.paired) == (-2.0, "better", None, True)


def test_adaptive_sides_are_tested_anytime_valid(make_results):
    adaptive = Adaptive(min=2, max=9, step=1, metric="m")
    a = make_results({"ours": {"m": OURS}}, adaptive=adaptive)
    paired = compare_results(a, make_results({"ours": {"m": OTHER}})).rows[0]
    unpaired = compare_results(a, make_results({"ours": {"m": shifted(OTHER, 50)}})).rows[0]
    assert (paired.interval.method, unpaired.interval.method) == ("anytime", "welch")
    assert unpaired.note.startswith("the number of seeds was chosen by results")
