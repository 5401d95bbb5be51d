"""The analysis of variance against statsmodels' type III table, balanced and not."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from ablate.analysis.anova import anova
from ablate.analysis.factor_model import build_model
from ablate.study.model import Factor

ONE, TWO, THREE = (Factor(name=name, levels=("x", "y")) for name in "abc")
SIGMA = Factor(name="s", levels=("20", "10", "40"))
INTERACTIONS = {
    "ab": "C(a, Sum)*C(b, Sum)",
    "sa": "C(s, Sum)*C(a, Sum)",
    "sab": "C(s, Sum)*C(a, Sum) + C(s, Sum)*C(b, Sum) + C(a, Sum)*C(b, Sum)",
}


def cells_of(*factors, without=()):
    names = [factor.name for factor in factors]
    cells = itertools.product(*(factor.levels for factor in factors))
    return [dict(zip(names, cell, strict=True)) for cell in cells if cell not in without]


def noisy(cells, num_seeds, seed=0):
    rng = np.random.default_rng(seed)
    arms = 70.0 + 5.0 * rng.standard_normal((len(cells), 1))
    return arms + 3.0 * rng.standard_normal(num_seeds) + rng.standard_normal((len(cells), num_seeds))


def of_statsmodels(cells, values, right_side):
    rows = [
        {**cell, "seed": str(seed), "y": value}
        for cell, line in zip(cells, values, strict=True)
        for seed, value in enumerate(line)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        table = anova_lm(ols(f"y ~ C(seed, Sum) + {right_side}", pd.DataFrame(rows)).fit(), typ=3)
    table = table.drop(index="Intercept")
    table.index = [
        " x ".join(part.removeprefix("C(").removesuffix(", Sum)") for part in name.split(":")).replace("Res", "res")
        for name in table.index
    ]
    return table


@pytest.mark.parametrize(
    ("factors", "without", "num_seeds"),
    [
        ((ONE, TWO), (), 5),
        ((SIGMA, ONE), (), 4),
        ((SIGMA, ONE, TWO), (), 2),
        ((SIGMA, ONE, TWO), (("10", "y", "x"), ("40", "x", "y")), 3),
    ],
    ids=["two levels", "three by two", "three factors", "excluded cells"],
)
def test_the_table_equals_statsmodels_type_three(factors, without, num_seeds):
    cells = cells_of(*factors, without=without)
    values = noisy(cells, num_seeds)
    model = build_model(factors, cells)
    expected = of_statsmodels(cells, values, INTERACTIONS["".join(factor.name for factor in factors)])
    found = {row.term: row for row in anova(model, values)}
    assert set(found) == set(expected.index)
    for term, line in expected.iterrows():
        assert found[term].df == line["df"]
        assert found[term].sum_sq == pytest.approx(line["sum_sq"], rel=1e-9)
        if term != "residual":
            assert (found[term].f, found[term].p) == pytest.approx((line["F"], line["PR(>F)"]), rel=1e-9)


def test_the_sums_of_squares_of_a_full_factorial_add_up():
    cells = cells_of(ONE, TWO)
    values = noisy(cells, 6)
    table = anova(build_model((ONE, TWO), cells), values)
    assert sum(row.sum_sq for row in table) == pytest.approx(np.sum((values - values.mean()) ** 2))
    assert [row.term for row in table] == ["seed", "a", "b", "a x b", "residual"]
    assert sum(row.df for row in table) == values.size - 1


def test_one_seed_tests_against_the_three_factor_interaction():
    cells = cells_of(ONE, TWO, THREE)
    table = anova(build_model((ONE, TWO, THREE), cells), noisy(cells, 1))
    assert "seed" not in [row.term for row in table]
    assert table[-1].df == 1
    assert all(row.p is not None for row in table[:-1])


@pytest.mark.parametrize("values", [[[1.3], [2.1], [4.7], [3.9]], [[1.3] * 3, [2.1] * 3, [4.7] * 3, [3.9] * 3]])
def test_nothing_is_tested_without_residual_spread(values):
    table = anova(build_model((ONE, TWO), cells_of(ONE, TWO)), np.array(values))
    assert [(row.f, row.p) for row in table] == [(None, None)] * len(table)


def test_no_seed_is_refused():
    with pytest.raises(ValueError, match="at least one seed that every arm has, got none"):
        anova(build_model((ONE, TWO), cells_of(ONE, TWO)), np.empty((4, 0)))
