"""Shapley attribution against all orders of the components, and its axioms."""

import itertools

import numpy as np
import pytest

from ablate.analysis.intervals import estimate
from ablate.analysis.shapley import shapley, shapley_values
from ablate.study.model import Arm, Design, Factor


def over_all_orders(values):
    """Average each component's marginal contribution over every order of switching on."""
    count = len(values).bit_length() - 1
    totals = np.zeros((count, *values.shape[1:]))
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        mask = 0
        for component in order:
            totals[component] += values[mask | 1 << component] - values[mask]
            mask |= 1 << component
    return totals / len(orders)


@pytest.fixture
def make_components(make_results):
    """Results of a full factorial of components, from `value(set of components on, seed)`."""

    def make(count, value, num_seeds=5, *, kind="factorial", skip=(), levels=("on", "off")):
        factors = tuple(Factor(name=f"c{index}", levels=levels) for index in range(count))
        arms, numbers = [], {}
        for cell in itertools.product(levels, repeat=count):
            if cell in skip:
                continue
            on = {f"c{index}" for index, level in enumerate(cell) if level == levels[0]}
            name = "+".join(sorted(on)) or "nothing"
            arms.append(Arm(name=name, overrides={}, levels={f"c{i}": level for i, level in enumerate(cell)}))
            found = ((seed, value(on, seed)) for seed in range(num_seeds))
            numbers[name] = {"m": {seed: number for seed, number in found if number is not None}}
        return make_results(numbers, arms=tuple(arms), design=Design(kind=kind, factors=factors))

    return make


def test_five_components_equal_all_120_orders():
    values = np.random.default_rng(0).normal(70.0, 9.0, size=(32, 4))
    assert shapley(values) == pytest.approx(over_all_orders(values), rel=1e-9, abs=1e-9)


def test_contributions_add_up_to_all_minus_none():
    values = np.random.default_rng(1).normal(size=(4096, 3))
    assert shapley(values).sum(axis=0) == pytest.approx(values[-1] - values[0], rel=1e-9)


def test_a_component_that_changes_nothing_gets_zero_and_equals_share_equally():
    values = np.array([{0: 0.0, 1: 4.0, 2: 4.0, 3: 10.0}[mask & 3] for mask in range(8)])
    assert shapley(values) == pytest.approx([5.0, 5.0, 0.0])


@pytest.mark.parametrize("rows", [0, 3, 6])
def test_a_number_of_rows_that_is_no_power_of_two_is_refused(rows):
    with pytest.raises(ValueError, match=f"a power of two, got {rows} rows"):
        shapley(np.zeros((rows, 1)))


def test_an_error_that_a_component_lowers_is_attributed_to_it_per_seed(make_components):
    def value(on, seed):
        return 80.0 + seed - (10.0 + seed % 2) * ("c0" in on) - 6.0 * ({"c1", "c2"} <= on)

    first, second, third = shapley_values(make_components(3, value))["m"]
    assert (first.component, first.on, first.off) == ("c0", "on", "off")
    assert first.estimate.mean == pytest.approx(estimate([-10.0, -11.0, -10.0, -11.0, -10.0]).mean)
    assert (first.estimate.low, first.estimate.high) == pytest.approx((-11.08009, -9.71991), abs=1e-4)
    assert (second.estimate.mean, third.estimate.mean) == pytest.approx((-3.0, -3.0))


def test_the_bootstrap_interval_lies_about_the_mean(make_components):
    noise = np.random.default_rng(2).normal(size=12)
    (found, _) = shapley_values(make_components(2, lambda on, seed: (3.0 + noise[seed]) * ("c0" in on), 12))["m"]
    assert found.bca is not None
    assert found.bca.method == "bca"
    assert found.bca.low < found.estimate.mean < found.bca.high
    assert found.bca.high - found.bca.low < 2.0 * (found.estimate.high - found.estimate.low)


def test_one_seed_has_no_interval(make_components):
    found = shapley_values(make_components(2, lambda on, seed: float(len(on)), 1))["m"]
    assert [(one.estimate.mean, one.estimate.low, one.bca) for one in found] == [(1.0, None, None)] * 2


def test_seeds_that_an_arm_lacks_are_named_and_take_no_part(make_components):
    def value(on, seed):
        return None if seed == 3 and not on else 2.0 * ("c1" in on)

    found = shapley_values(make_components(2, value))["m"]
    assert [one.left_out for one in found] == [(3,), (3,)]
    assert [(one.estimate.n, one.estimate.mean) for one in found] == [(4, 0.0), (4, 2.0)]


def test_without_a_complete_seed_nothing_is_attributed(make_components):
    assert shapley_values(make_components(2, lambda on, seed: None if not on else 1.0)) == {"m": ()}


@pytest.mark.parametrize(
    "changes",
    [{"kind": "leave_one_out"}, {"skip": (("off", "off"),)}, {"levels": ("on", "off", "half")}],
    ids=["another design", "an excluded cell", "three levels"],
)
def test_only_a_full_two_level_factorial_is_attributed(make_components, changes):
    assert shapley_values(make_components(2, lambda on, seed: 1.0, **changes)) == {}
