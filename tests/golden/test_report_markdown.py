"""The Markdown report of a small study, word for word: gaps, a paper, a contradicted print, one seed only."""

import io
from dataclasses import replace
from pathlib import Path

import pytest

from ablate.analysis.contrasts import analyse
from ablate.analysis.published import compare, published_table
from ablate.analysis.results import ArmResults, Gap, Results
from ablate.report.content import ReportContent
from ablate.report.curves import CurveData, Line, Panel
from ablate.report.facts import Cost, Facts, Unfinished
from ablate.report.latex import render_document, render_table
from ablate.report.markdown import render_markdown, render_result_table
from ablate.report.paper import build_paper
from ablate.report.tables import build_groups
from ablate.report.terminal import summary_table
from ablate.study.model import Arm, Curve, Metric, Study
from tests.studies import bare_study

PAPER = """\
tables:
- id: table3
  title: Weights
  dataset: court
  columns: [{name: mv}, {name: sv}]
  rows:
  - {name: Ours, values: {mv: 66.9, sv: 104.4}}
  - {name: Ours w/o weights, values: {mv: 80.5, sv: 118}}
  - {name: Learned, values: {mv: 88.3, sv: null}}
  - {name: Ours with all data, values: {mv: 60.1, sv: 99.0}}
  - {name: "Others [13]", own: false, values: {mv: 101, sv: null}}
  contrasts:
  - {arm: Learned, reference: Ours, sign: {mv: '-'}, contradicted_by_print: [mv]}
  - {arm: Ours w/o weights, reference: Ours, sign: {mv: +, sv: '0'}, contradicted_by_print: []}
"""
SOURCE = "study: weights\ntitle: Does a weight | matter?\n"
CURVE = Curve(title="Error in training", metrics=("multiview/mpjpe",), unit="mm")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "roy.yaml").write_text(PAPER)
    return bare_study(
        path=tmp_path / "weights.yaml",
        source=SOURCE,
        name="weights",
        title="Does a weight | matter?",
        paper="roy/table3",
        base=("method=toy", "data=court_sim"),
        overrides=("method.sigma_mm=20",),
        arms=(
            Arm(name="ours", overrides={}, paper="Ours"),
            Arm(name="without weights", overrides={}, paper="Ours w/o weights"),
            Arm(name="learned | fixed", overrides={}, paper="Learned"),
            Arm(name="broken", overrides={}),
        ),
        metrics=(
            Metric(name="multiview/mpjpe", unit="mm", better="lower", paper="mv"),
            Metric(name="multiview/kept", unit="1", better="higher"),
            Metric(name="singleview/mpjpe", unit="mm", better="lower", paper="sv"),
        ),
        curves=(CURVE,),
        notes="Weights *prevent damage*.",
    )


@pytest.fixture
def content(study: Study) -> ReportContent:
    level = {0: 66.1, 1: 70.4, 2: 64.9}
    kept = {0: 0.81, 1: 0.79, 2: 0.80}
    arms = {
        "ours": (0.0, 0.0, (0, 1, 2)),
        "without weights": (14.0, -0.1, (0, 1, 2)),
        "learned | fixed": (-0.3, 0.001, (1,)),
        "broken": (0.0, 0.0, ()),
    }
    jitter = {0: 0.0, 1: 0.6, 2: -0.4}
    results = Results(
        study=study,
        scale="quick",
        seeds=(0, 1, 2),
        arms=tuple(
            ArmResults(
                name=name,
                values={
                    "multiview/mpjpe": {seed: level[seed] + up * (1 + jitter[seed] / 10) for seed in seeds},
                    "multiview/kept": {seed: kept[seed] + more * (1 + jitter[seed]) for seed in seeds},
                    "singleview/mpjpe": {seed: level[seed] + 40.0 + up * jitter[seed] for seed in seeds if seed != 2},
                },
            )
            for name, (up, more, seeds) in arms.items()
        ),
        gaps=(Gap(arm="ours", seed=2, trial_id="0" * 20, reason="it is nan", metric="singleview/mpjpe"),),
    )
    analysis = analyse(results)
    comparisons = compare(analysis)
    groups = build_groups(analysis, comparisons)
    line = Line(label="ours", steps=(0, 1), mean=(2.0, 1.0), low=(1.5, 0.5), high=(2.5, 1.5), num_seeds=3)
    return ReportContent(
        analysis=analysis,
        published=published_table(study),
        comparisons=comparisons,
        groups=groups,
        curves=(CurveData(curve=CURVE, panels=(Panel(title="", lines=(line,)),)),),
        facts=Facts(
            costs=(
                Cost(role="stage", name="detector", num_trials=1, seconds=85.4),
                Cost(role="arm", name="ours", num_trials=3, seconds=4012.0),
            ),
            num_trials=13,
            num_finished=8,
            versions={"python": ("3.11.4",), "torch": ("2.12.0", "2.13.0")},
            code={"toy:run": ("c0de",)},
            hosts=("node-1",),
            first="2026-08-01T10:00:00+00:00",
            last="2026-08-01T11:00:00+00:00",
            unfinished=(
                Unfinished(
                    name="broken", seed=0, trial_id="b" * 20, reason="failed: ValueError: NaN loss", has_run=True
                ),
                Unfinished(name="broken", seed=1, trial_id="c" * 20, reason="not run", has_run=False),
                Unfinished(name="broken", seed=2, trial_id="d" * 20, reason="not run", has_run=False),
            ),
        ),
        configuration={"method": {"sigma_mm": 20.0}},
        paper=build_paper(analysis, published_table(study), comparisons, groups),
    )


def test_the_report_reads_as_it_was_looked_at(golden, content):
    golden("report.md", render_markdown(content, {CURVE.title: "figures/error_in_training.svg"}))


def test_the_table_in_latex_reads_as_it_was_looked_at(golden, content):
    golden("table.tex", render_table(content))


def test_the_document_in_latex_reads_as_it_was_looked_at(golden, content):
    golden("report.tex", render_document(content))


def test_the_result_table_for_mlflow_reads_as_it_was_looked_at(golden, content):
    golden("result_table.md", render_result_table(content))


def test_the_table_on_the_terminal_reads_as_it_was_looked_at_and_is_100_columns_wide(golden, content):
    from rich.console import Console

    console = Console(width=100, record=True, file=io.StringIO())
    console.print(summary_table(content.analysis, content.comparisons))
    text = "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"
    assert max(len(line) for line in text.splitlines()) <= 100
    golden("summary_table.txt", text)


def test_a_study_of_one_arm_has_no_contrasts_and_no_reference_mark(study):
    alone = replace(study, arms=study.arms[:1], paper=None, metrics=study.metrics[1:2], curves=(), notes="")
    alone = replace(alone, arms=(Arm(name="ours", overrides={}),))
    arm = ArmResults(name="ours", values={"multiview/kept": {None: 0.8}})
    analysis = analyse(Results(study=alone, scale="quick", seeds=(0,), arms=(arm,), gaps=()))
    text = render_markdown(
        ReportContent(
            analysis=analysis,
            published=None,
            comparisons={},
            groups=build_groups(analysis, {}),
            curves=(),
            facts=Facts(
                costs=(),
                num_trials=1,
                num_finished=1,
                versions={},
                code={},
                hosts=(),
                first="",
                last="",
                unfinished=(),
            ),
            configuration={},
        ),
        {},
    )
    assert "paired differences" not in text
    assert "(reference)" not in text
    assert "n = 1, the task takes no seed" in text
    assert "## Missing" not in text
