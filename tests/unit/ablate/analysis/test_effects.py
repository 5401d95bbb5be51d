"""Factor effects against the textbook, statsmodels and scipy, and what is said where the arms do not suffice."""

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablate.analysis.effects import factor_effects
from ablate.analysis.results import Gap
from ablate.study.model import Arm, Design, Factor

A, B, C, D = (Factor(name=name, levels=("off", "on")) for name in "abcd")
SIGMA = Factor(name="sigma", levels=("20", "10", "40"))


def cells_of(*factors, keep=lambda cell: True):
    names = [factor.name for factor in factors]
    cells = (dict(zip(names, cell, strict=True)) for cell in itertools.product(*(one.levels for one in factors)))
    return [cell for cell in cells if keep(cell)]


def fraction(cell):
    """Whether the cell is in the half fraction abcd = +1, with codes -1 and +1 (all off is in it)."""
    return np.prod([1 if cell[name] == "on" else -1 for name in "abcd"]) == 1


@pytest.fixture
def make_factorial(make_results):
    """Results of a factorial whose arms have these cells, from `values[arm][seed]`; `None` is missing."""

    def make(factors, cells, values, kind="factorial", **study):
        names = [", ".join(f"{key}={level}" for key, level in cell.items()) for cell in cells]
        arms = tuple(Arm(name=name, overrides={}, levels=cell) for name, cell in zip(names, cells, strict=True))
        numbers = {
            name: {"m": {seed: float(value) for seed, value in enumerate(line) if value is not None}}
            for name, line in zip(names, values, strict=True)
        }
        return make_results(numbers, arms=arms, design=Design(kind=kind, factors=factors), **study)

    return make


def noisy(count, num_seeds, seed=0):
    rng = np.random.default_rng(seed)
    return 70.0 + 4.0 * rng.standard_normal((count, 1)) + rng.standard_normal((count, num_seeds))


def by_label(found):
    return {effect.label: effect for effect in found.effects}


def test_two_by_two_by_hand(make_factorial):
    """Box, Hunter & Hunter: main effects are differences of means, the interaction is half a difference of effects."""
    values = [[60.0], [54.0], [72.0], [68.0]]  # off off, off on, on off, on on
    found = by_label(factor_effects(make_factorial((A, B), cells_of(A, B), values))["m"])
    assert {label: effect.estimate.mean for label, effect in found.items()} == pytest.approx(
        {"a: on against off": 13.0, "b: on against off": -5.0, "a x b": 0.5 * ((68.0 - 54.0) - (72.0 - 60.0))}
    )
    assert all((effect.p, effect.p_holm, effect.estimate.low) == (None, None, None) for effect in found.values())


def test_the_pilot_plant_of_box_hunter_hunter(make_factorial):
    """The 2^3 of table 5.1 there: temperature, concentration, catalyst; printed effects 23, -5, 1.5, 1.5, 10, 0."""
    yields = [60.0, 72.0, 54.0, 68.0, 52.0, 83.0, 45.0, 80.0]  # standard order: temperature changes fastest
    cells = [dict(zip("abc", reversed(cell), strict=True)) for cell in itertools.product(("off", "on"), repeat=3)]
    found = factor_effects(make_factorial((A, B, C), cells, [[one] for one in yields]))["m"]
    assert [effect.estimate.mean for effect in found.effects] == pytest.approx([23.0, -5.0, 1.5, 1.5, 10.0, 0.0])
    assert [effect.factors for effect in found.effects] == [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c")]
    assert found.notes == ()


def test_effects_are_least_squares_per_seed_with_a_t_test_over_seeds(make_factorial):
    cells = cells_of(A, B, C, keep=lambda cell: cell != {"a": "on", "b": "on", "c": "off"})
    values = noisy(len(cells), 6)
    found = factor_effects(make_factorial((A, B, C), cells, values))["m"]
    codes = np.array([[1.0 if cell[name] == "on" else -1.0 for name in "abc"] for cell in cells])
    design = np.column_stack(
        [np.ones(len(cells)), codes, *(codes[:, i] * codes[:, j] for i, j in ((0, 1), (0, 2), (1, 2)))]
    )
    per_seed = np.array([2.0 * sm.OLS(column, design).fit().params[1:] for column in values.T])
    tests = [stats.ttest_1samp(column, 0.0) for column in per_seed.T]
    adjusted = multipletests([test.pvalue for test in tests], method="holm")[1]
    assert len(found.effects) == 6
    for effect, test, column, p_holm in zip(found.effects, tests, per_seed.T, adjusted, strict=True):
        low, high = test.confidence_interval(0.95)
        assert effect.estimate.n == 6
        assert (effect.estimate.mean, effect.estimate.sd) == pytest.approx(
            (column.mean(), column.std(ddof=1)), rel=1e-9
        )
        assert (effect.estimate.low, effect.estimate.high) == pytest.approx((low, high), rel=1e-9)
        assert (effect.p, effect.p_holm) == pytest.approx((test.pvalue, p_holm), rel=1e-9)


def test_levels_of_a_longer_factor_are_set_against_the_first(make_factorial):
    cells = cells_of(SIGMA, A)
    values = noisy(len(cells), 3)
    found = factor_effects(make_factorial((SIGMA, A), cells, values))["m"]
    means = {level: values[[cell["sigma"] == level for cell in cells]].mean() for level in SIGMA.levels}
    effects = by_label(found)
    assert effects["sigma: 10 against 20"].estimate.mean == pytest.approx(means["10"] - means["20"])
    assert effects["sigma: 40 against 20"].estimate.mean == pytest.approx(means["40"] - means["20"])
    assert list(effects) == ["sigma: 10 against 20", "sigma: 40 against 20", "a: on against off"]
    assert [row.term for row in found.anova] == ["seed", "sigma", "a", "sigma x a", "residual"]


def test_a_known_effect_is_found_again_where_cells_are_excluded(make_factorial):
    cells = cells_of(SIGMA, A, B, keep=lambda cell: not (cell["sigma"] == "40" and cell["a"] == cell["b"] == "on"))
    truth = {"20": 0.0, "10": 3.0, "40": -7.0}
    values = [
        [
            50.0 + seed + truth[cell["sigma"]] + 2.0 * (cell["a"] == "on") + 8.0 * (cell["a"] == cell["b"])
            for seed in (0, 1)
        ]
        for cell in cells
    ]
    effects = by_label(factor_effects(make_factorial((SIGMA, A, B), cells, values))["m"])
    means = {label: effect.estimate.mean for label, effect in effects.items()}
    expected = {"sigma: 10 against 20": 3.0, "sigma: 40 against 20": -7.0, "a: on against off": 2.0}
    assert means == pytest.approx({**expected, "b: on against off": 0.0, "a x b": 8.0}, abs=1e-9)


def test_a_fraction_says_which_sums_its_effects_are(make_factorial):
    cells = cells_of(A, B, C, D, keep=fraction)
    found = factor_effects(make_factorial((A, B, C, D), cells, noisy(8, 3)))["m"]
    assert [effect.label for effect in found.effects][4:] == ["a x b", "a x c", "a x d"]
    assert found.notes == (
        "a x b is aliased: its effect is that of a x b + c x d",
        "a x c is aliased: its effect is that of a x c + b x d",
        "a x d is aliased: its effect is that of a x d + b x c",
        "not every combination is an arm: interactions of three and more factors are taken to be zero",
    )


def test_the_sign_of_an_alias_is_the_design_s(make_factorial):
    cells = [cell for cell in cells_of(A, B, C) if sum(level == "off" for level in cell.values()) in (1, 3)]
    truth = [{"off": 0.0, "on": 10.0}[cell["c"]] + (1.5 if cell["a"] == cell["b"] else -1.5) for cell in cells]
    found = factor_effects(make_factorial((A, B, C), cells, [[value] for value in truth]))["m"]
    assert "c is aliased: its effect is that of c - a x b" in found.notes
    assert by_label(found)["c: on against off"].estimate.mean == pytest.approx(10.0 - 3.0)


def test_an_excluded_cell_of_two_by_two_leaves_no_interaction(make_factorial):
    cells = cells_of(A, B)[:3]
    found = factor_effects(make_factorial((A, B), cells, [[60.0, 61.0], [54.0, 56.0], [72.0, 70.0]]))["m"]
    assert found.notes == ("a x b cannot be told from a, b: it is left out, and their effects take it to be zero",)
    means = {label: effect.estimate.mean for label, effect in by_label(found).items()}
    assert means == pytest.approx({"a: on against off": 10.5, "b: on against off": -5.5})


def test_a_factor_without_a_second_level_is_named(make_factorial):
    cells = [cell for cell in cells_of(A, B) if cell["b"] == "off"]
    found = factor_effects(make_factorial((A, B), cells, [[1.0, 2.0], [3.0, 5.0]]))["m"]
    assert found.notes == ("b has one level in these arms: it has no effect to estimate",)
    assert [effect.label for effect in found.effects] == ["a: on against off"]


def test_seeds_that_an_arm_lacks_are_named_and_take_no_part(make_factorial):
    values = [[1.0, 9.0, 2.0], [3.0, None, 5.0], [4.0, 7.0, 4.5], [8.0, 1.0, 9.0]]
    results = make_factorial((A, B), cells_of(A, B), values)
    found = factor_effects(results)["m"]
    assert found.left_out == (1,)
    complete = make_factorial((A, B), cells_of(A, B), [[line[0], line[2]] for line in values])
    assert found.effects == factor_effects(complete)["m"].effects


def test_a_seed_that_ran_in_no_arm_is_named_too(make_factorial):
    results = make_factorial((A, B), cells_of(A, B), noisy(4, 2))
    gaps = tuple(Gap(arm=arm.name, seed=7, trial_id="t", reason="not run") for arm in results.arms)
    assert factor_effects(replace(results, gaps=gaps))["m"].left_out == (7,)


def test_without_one_complete_seed_there_are_no_effects_and_the_arm_is_named(make_factorial):
    values = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [None, None]]
    found = factor_effects(make_factorial((A, B), cells_of(A, B), values))["m"]
    assert (found.effects, found.anova, found.left_out) == ((), (), (0, 1))
    assert found.notes == ("no seed has a number in every arm (missing in a=on, b=on), so there are no effects",)


def test_a_long_list_of_arms_without_a_number_is_cut(make_factorial):
    cells = cells_of(A, B, C)
    found = factor_effects(make_factorial((A, B, C), cells, [[1.0], *[[None]] * 7]))["m"]
    (note,) = found.notes
    assert note.count("a=") == 5
    assert "; and 2 more), so" in note


def test_an_exact_zero_is_not_significant(make_factorial):
    values = [[0.1 * seed + 0.7 * (cell["a"] == "on") for seed in range(5)] for cell in cells_of(A, B)]
    effects = by_label(factor_effects(make_factorial((A, B), cells_of(A, B), values))["m"])
    assert effects["b: on against off"].estimate.mean == 0.0
    assert effects["b: on against off"].p == 1.0
    assert effects["a: on against off"].p < 1e-9


def test_a_task_without_seeds_has_effects_without_intervals(make_results):
    cells = cells_of(A, B)
    arms = tuple(Arm(name=f"arm {index}", overrides={}, levels=cell) for index, cell in enumerate(cells))
    values = {arm.name: {"m": {None: float(index)}} for index, arm in enumerate(arms)}
    results = make_results(values, arms=arms, design=Design(kind="factorial", factors=(A, B)))
    found = factor_effects(results)["m"]
    assert [effect.estimate.n for effect in found.effects] == [1, 1, 1]
    assert found.left_out == ()


def test_explicit_arms_beside_the_design_take_no_part(make_factorial):
    results = make_factorial((A, B), cells_of(A, B), noisy(4, 3))
    extra = Arm(name="extra", overrides={})
    study = replace(results.study, arms=(*results.study.arms, extra))
    assert factor_effects(replace(results, study=study)) == factor_effects(results)


@pytest.mark.parametrize("kind", ["one_at_a_time", "leave_one_out", "sweep"])
def test_other_designs_have_no_factor_effects(make_factorial, kind):
    assert factor_effects(make_factorial((A, B), cells_of(A, B), noisy(4, 3), kind=kind)) == {}


def test_a_study_without_a_design_has_no_factor_effects(make_results):
    assert factor_effects(make_results({"ours": {"m": {0: 1.0}}})) == {}


def test_a_thousand_arms_take_seconds_at_most(make_factorial):
    factors = tuple(Factor(name=f"f{index}", levels=tuple("0123456789")) for index in range(3))
    results = make_factorial(factors, cells_of(*factors), noisy(1000, 10))
    start = time.perf_counter()
    found = factor_effects(results)["m"]
    assert time.perf_counter() - start < 10.0
    assert len(found.effects) == 27
    assert [row.df for row in found.anova] == [9, 9, 9, 9, 81, 81, 81, 10_000 - 10 - 270]
