"""What a report says of a search, from a store that a search filled."""

import json
from pathlib import Path
from typing import Any

import pytest

from ablate.analysis.contrasts import Verdict
from ablate.plan.grown import grown
from ablate.report.build import write_report
from ablate.report.content import ReportContent, gather_content
from ablate.report.markdown import render_markdown
from ablate.store import Store


@pytest.fixture
def content(make_search: Any, drive: Any, tmp_path: Path) -> ReportContent:
    store = Store(tmp_path / "s")
    driver = drive(make_search(("replicates: 2", "replicates: 3")), store)
    driver.fails = lambda spec: spec.parameters.get("method", {}).get("num_steps") == 4 and spec.seed == 1000
    assert driver.run()
    return gather_content(grown(driver.plan, store), store)


def test_the_table_is_of_the_winners_alone(content: ReportContent) -> None:
    results = content.analysis.results
    assert [len(arm.values["error"]) for arm in results.arms] == [3, 3]
    assert not results.gaps
    winners = {trial.trial_id for trial in content.facts.arm_trials}
    assert len(winners) == 6


def test_what_tuning_changed_is_told_arm_by_arm(content: ReportContent) -> None:
    found = content.searches
    assert found is not None
    for result in found.results:
        assert result.best is not None
        assert result.best.values == min(entry.values for entry in result.entries if entry.values)
    gains = {(row.metric.name, row.arm): row for row in found.gains.rows}
    untuned, tuned = found.untuned.estimates["error"]["ours"], content.analysis.estimates["error"]["ours"]
    assert gains["error", "ours"].difference == pytest.approx(tuned.mean - untuned.mean)
    assert gains["error", "ours"].verdict is Verdict.BETTER  # far from its optimum before


def test_the_section_is_as_reviewed(content: ReportContent, golden: Any) -> None:
    titles = [*(data.curve.title for data in content.drawn), *(found.title for found in content.search_maps)]
    text = render_markdown(content, dict.fromkeys(titles, "figure.svg"))
    golden("search_section.md", text[text.index("## Search") : text.index("## How to read")])


def test_every_format_has_it(make_search: Any, drive: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    driver = drive(make_search(), store)
    assert driver.run()
    written = write_report(grown(driver.plan, store), store)
    page = written.html.read_text()
    assert "Best error on validation data so far" in page
    assert "Tuned against untuned" in page
    assert "Settings of by weight and error" in page
    assert {path.name for path in written.figures} >= {"settings_of_ours_and_error.svg"}
    data = json.loads(written.data.read_text())["search"]
    assert [len(one["configurations"]) for one in data["searches"]] == [6, 6]
    assert [row["note"] for row in data["importance"][0]["parameters"]] == ["too few configurations"] * 2
    assert {row["arm"] for row in data["gains"]} == {"ours", "by weight"}


def test_before_the_search_is_over_nothing_is_claimed(make_search: Any, drive: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    driver = drive(make_search(), store)
    assert not driver.run(most=9)
    found = gather_content(grown(driver.plan, store), store)
    assert all(not arm.values["error"] for arm in found.analysis.results.arms)
    assert found.search is not None
    assert "Best error" not in found.caption
    assert not found.is_deterministic


def test_a_study_without_a_search_says_nothing_of_one(toy_project: Any, tmp_path: Path) -> None:
    from ablate.plan.expand import expand
    from ablate.study.load import load_study

    found = gather_content(expand(load_study(toy_project.study)), Store(tmp_path / "s"))
    assert found.search is None
    assert "## Search" not in render_markdown(found, {})
