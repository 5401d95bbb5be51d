"""The resolvable difference against statsmodels."""

import pytest

from ablate.analysis.contrasts import analyse
from ablate.analysis.resolvable import resolvable, smallest_effect


@pytest.mark.parametrize("num_seeds", [2, 3, 4, 5, 8, 20, 100])
def test_the_smallest_effect_has_the_power_that_statsmodels_gives_it(num_seeds):
    power = pytest.importorskip("statsmodels.stats.power", reason="statsmodels is not installed")
    found = power.TTestPower().power(smallest_effect(num_seeds), num_seeds, 0.05)
    assert found == pytest.approx(0.8, abs=1e-9)


def test_the_largest_spread_is_taken(make_results):
    ours = dict.fromkeys(range(4), 0.0)
    values = {
        "ours": {"m": ours},
        "calm": {"m": {0: 1.0, 1: 1.1, 2: 0.9}},
        "wild": {"m": {0: 1.0, 1: 3.0, 2: -1.0, 3: 5.0}},
    }
    found = resolvable(analyse(make_results(values)), 10)["m"]
    assert (found.basis_seeds, found.num_contrasts) == (4, 2)
    assert found.sd == pytest.approx(2.581988897)
    assert found.difference == pytest.approx(found.sd * smallest_effect(10), rel=1e-12)


def test_more_seeds_resolve_less():
    effects = [smallest_effect(num_seeds) for num_seeds in range(2, 30)]
    assert effects == sorted(effects, reverse=True)


def test_without_a_spread_or_a_second_seed_nothing_is_said(make_results):
    one_seed = analyse(make_results({"ours": {"m": {0: 1.0}}, "other": {"m": {0: 2.0}}}))
    assert resolvable(one_seed, 5) == {}
    two_seeds = analyse(make_results({"ours": {"m": {0: 1.0, 1: 2.0}}, "other": {"m": {0: 2.0, 1: 2.5}}}))
    assert resolvable(two_seeds, 1) == {}
    assert set(resolvable(two_seeds, 2)) == {"m"}
