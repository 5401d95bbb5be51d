"""Reports of designs: sweeps as curves, means by level, effects and shares, and arms with references of their own."""

import io
from itertools import product

import pytest

from ablate.analysis.contrasts import analyse
from ablate.analysis.effects import factor_effects
from ablate.analysis.results import ArmResults, Results
from ablate.report.build import write_report
from ablate.report.sweeps import gather_cells, gather_sweeps
from ablate.report.tables import build_groups
from ablate.report.terminal import summary_table
from ablate.study.model import Arm, Design, Factor, Metric

NOISE = Factor(name="noise", levels=("5", "1", "100"), numbers=(5.0, 1.0, 100.0))
VIEWS = Factor(name="views", levels=("two", "six"))
WEIGHTS = Factor(name="weights", levels=("geometric", "none"))
METRIC = Metric(name="error", unit="mm", better="lower")
UNPUBLISHED = (Metric(name="multiview/mpjpe", unit="mm", better="lower"),)


def point(levels):
    return ", ".join(f"{factor}={level}" for factor, level in levels.items())


def arms_of(factors, bases=("",)):
    found = []
    for base in bases:
        for levels in product(*(factor.levels for factor in factors)):
            named = dict(zip((factor.name for factor in factors), levels, strict=True))
            against = f"{bases[0]}, {point(named)}" if base else None
            name = f"{base}, {point(named)}" if base else point(named)
            found.append(Arm(name=name, overrides={}, levels=named, against=against))
    return tuple(found)


@pytest.fixture
def analysis_of(make_study):
    def analysis_of(kind, factors, value, bases=("",)):
        arms = arms_of(factors, bases)
        design = Design(kind=kind, factors=tuple(factors), bases=tuple(base for base in bases if base))
        study = make_study(arms=arms, reference=arms[0].name, design=design, paper=None, metrics=(METRIC,), curves=())
        results = Results(
            study=study,
            scale="quick",
            seeds=(0, 1, 2),
            arms=tuple(
                ArmResults(name=arm.name, values={"error": {seed: value(arm) + 0.1 * seed for seed in range(3)}})
                for arm in arms
            ),
            gaps=(),
        )
        return analyse(results)

    return analysis_of


def test_a_sweep_is_a_curve_over_the_factors_numbers_in_their_order(analysis_of):
    (data,) = gather_sweeps(analysis_of("sweep", [NOISE], lambda arm: float(arm.levels["noise"])))
    (panel,) = data.panels
    assert (panel.x, panel.log_x, panel.ticks) == ("noise", True, ())
    assert panel.lines[0].steps == (1.0, 5.0, 100.0)
    assert panel.lines[0].mean == pytest.approx((1.1, 5.1, 100.1))


def test_bases_and_the_second_factor_are_lines(analysis_of):
    analysis = analysis_of("sweep", [NOISE, VIEWS], lambda arm: 1.0, bases=("plain", "weighted"))
    (data,) = gather_sweeps(analysis)
    labels = [line.label for line in data.panels[0].lines]
    assert labels == ["plain, views=two", "plain, views=six", "weighted, views=two", "weighted, views=six"]


def test_levels_without_numbers_are_named_places(analysis_of):
    (data,) = gather_sweeps(analysis_of("sweep", [VIEWS], lambda arm: 1.0))
    assert (data.panels[0].ticks, data.panels[0].lines[0].steps) == (("two", "six"), (0.0, 1.0))


def test_arms_with_references_of_their_own_name_them(analysis_of):
    analysis = analysis_of("sweep", [NOISE], lambda arm: len(arm.name) + 0.0, bases=("plain", "weighted"))
    (group,) = build_groups(analysis, {})
    (metric,) = group.metrics
    assert metric.reference is None
    assert [(row.arm, row.reference) for row in metric.contrasts] == [
        (f"weighted, noise={level}", f"plain, noise={level}") for level in ("5", "1", "100")
    ]
    assert [row.is_reference for row in group.rows] == [True] * 3 + [False] * 3


def test_the_terminal_names_the_reference_of_each_row(analysis_of):
    from rich.console import Console

    analysis = analysis_of("sweep", [VIEWS], lambda arm: 1.0, bases=("plain", "weighted"))
    console = Console(width=100, file=io.StringIO())
    console.print(summary_table(analysis))
    text = " ".join(console.file.getvalue().split())
    assert "to plain," in text
    assert "each arm's own reference" in text


def test_cells_are_means_over_all_arms_of_two_levels(analysis_of):
    other = Factor(name="gradient", levels=("through", "cut"))

    def value(arm):
        return 10.0 * (arm.levels["weights"] == "none") + 4.0 * (arm.levels["gradient"] == "cut")

    analysis = analysis_of("factorial", [WEIGHTS, VIEWS, other], value)
    (data,) = gather_cells(analysis, factor_effects(analysis.results))
    assert [panel.title for panel in data.panels] == ["weights and views", "weights and gradient", "views and gradient"]
    line = data.panels[0].lines[1]
    assert (line.label, line.num_seeds) == ("views=six", 3)
    assert line.mean == pytest.approx((2.1, 12.1))


def test_a_factorial_study_shows_effects_analysis_of_variance_and_shares(make_plan, finish_trial, store):
    factors = (WEIGHTS, VIEWS)
    arms = arms_of(factors)
    plan = make_plan(
        arms=arms,
        reference=arms[0].name,
        design=Design(kind="factorial", factors=factors),
        paper=None,
        curves=(),
        metrics=UNPUBLISHED,
    )
    for place, trial in enumerate(plan.trials):
        none = "weights=none" in trial.name
        level = 60.0 + (9.0 if none else 0.0) + 0.1 * ((place * 7) % 5)
        metrics = {"multiview/mpjpe": level, "multiview/kept": 1.0, "singleview/mpjpe": level}
        finish_trial(trial, **({"metrics": metrics} if trial.role == "arm" else {}))
    files = write_report(plan, store)
    page, text = files.html.read_text(), files.markdown.read_text()
    for said in ("weights: none against geometric", "weights x views", "Analysis of variance", "weights: geometric"):
        assert said in page
        assert said in text
    assert "Plotly.react" in page
    assert [path.name for path in files.figures] == ["multiview_mpjpe_by_pairs_of_factors.svg"]
    table = files.content.factors[0]
    assert (table.effects[0].direction, table.shares[0].direction) == ("worse", "better")
    assert table.shares[0].size.startswith("-9")


def test_very_many_arms_are_told_in_few_sentences_and_folded(make_plan, finish_trial, store):
    arms = tuple(Arm(name=f"arm {index}", overrides={}) for index in range(230))
    plan = make_plan(num_seeds=2, arms=arms, reference="arm 0", paper=None, curves=(), metrics=UNPUBLISHED)
    for trial in plan.trials:
        finish_trial(trial)
    files = write_report(plan, store)
    assert "see the table for the others." in files.markdown.read_text()
    page = files.html.read_text()
    assert "<details><summary>229 contrasts</summary>" in page
    assert "<details><summary>230 arms</summary>" in page
