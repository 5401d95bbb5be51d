"""Importance and the figures of a search in the report: choices, logarithms, conditions, failures, prunings, fronts."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.analysis import importance
from ablate.analysis.importance import measure_importance
from ablate.analysis.searches import SearchAnalysis
from ablate.plan.grown import grown
from ablate.report.content import ReportContent, gather_content
from ablate.report.map_figures import draw_map
from ablate.report.markdown import render_markdown
from ablate.report.search_maps import MOST_AXES, SearchMap, gather_search_maps
from ablate.report.search_text import short_names
from ablate.search.history import Entry, State, best, pareto
from ablate.search.model import Objective, Parameter
from ablate.store import Store

RANGE = "    method.sigma_mm: {type: float, low: 1, high: 100, log: true}\n"
CHOICE = "    method.sizes: {choices: [[8, 8], [4, 4]]}\n"
SPACE = (
    Parameter(key="fine.rate", kind="float", low=1e-4, high=1.0, log=True),
    Parameter(key="lift.rate", kind="float", low=0.0, high=1.0),
    Parameter(key="fine.kind", kind="choices", choices=("plain", "weighted", None, True)),
    Parameter(key="fine.order", kind="int", low=1, high=9, when={"fine.kind": ("weighted", None)}),
)


def entries(number: int, num_objectives: int = 1) -> list[Entry]:
    """Try settings at random: each seventh fails, each ninth is pruned, the first parameter matters most."""
    draws, found = random.Random(0), []
    for place in range(number):
        own: dict[str, Any] = {"fine.rate": 10 ** draws.uniform(-4, 0), "lift.rate": draws.random()}
        own["fine.kind"] = draws.choice(SPACE[2].choices)
        loss = (math.log10(own["fine.rate"]) + 2.0) ** 2 + 0.1 * own["lift.rate"] + 0.5
        if SPACE[3].is_active(own):
            own["fine.order"] = draws.randint(1, 9)
        state = State.FAILED if place % 7 == 6 else State.PRUNED if place % 9 == 8 else State.TOLD
        values = (loss, 1.0 - own["lift.rate"])[:num_objectives] if state is State.TOLD else None
        found.append(Entry(number=place, parameters=own, state=state, values=values))
    return found


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few resamples, for time."""
    monkeypatch.setattr(importance, "FEWEST_RESAMPLES", 10)
    monkeypatch.setattr(importance, "MOST_RESAMPLES", 10)


@pytest.fixture
def content(make_search: Any, drive: Any, tmp_path: Path) -> ReportContent:
    changes = ((RANGE, RANGE + CHOICE), ("  budget: 6\n", "  budget: 16\n"))
    driver = drive(make_search(*changes), Store(tmp_path / "s"))
    driver.fails = lambda spec: spec.parameters.get("method", {}).get("num_steps") == 4 and spec.seed == 1000
    assert driver.run()
    return gather_content(grown(driver.plan, driver.store), driver.store)


@pytest.fixture
def make_map(make_search: Any, drive: Any, tmp_path: Path) -> Any:
    """Draw up configurations as those of the first arm."""
    driver = drive(make_search(("  budget: 6\n", "  budget: 2\n")), Store(tmp_path / "s"))
    assert driver.run()
    content = gather_content(grown(driver.plan, driver.store), driver.store)

    def make(own: list[Entry], *, space: tuple[Parameter, ...] = SPACE, objectives: int = 1) -> SearchMap:
        assert content.searches is not None
        names = [metric.name for metric in content.study.metrics][:objectives]
        search = replace(
            content.searches.search,
            space=space,
            objectives=tuple(Objective(metric=one, better="lower") for one in names),
        )
        result = replace(
            content.searches.results[0],
            entries=tuple(own),
            best=best(search, own),
            front=tuple(entry.number for entry in pareto(search, own)),
        )
        found: SearchAnalysis = replace(
            content.searches,
            search=search,
            results=(result,),
            importance=measure_importance(search, {result.arm: own}),
        )
        [only] = gather_search_maps(content.study, found)
        return only

    return make


def test_the_tables_carry_intervals_and_numbers(content: ReportContent) -> None:
    assert content.search is not None
    [table] = content.search.importance
    assert {row[1] for row in table.rows} == {"sigma_mm", "num_steps", "sizes"}
    assert [row[0] for row in table.rows if row[0]] == ["ours", "by weight"]
    assert all(row[4].startswith("[") and row[6].startswith("[") for row in table.rows)
    assert "resamples" in table.caption
    assert table.rows[0][1] == "sigma_mm"


def test_markdown_links_the_figure_of_each_search(content: ReportContent) -> None:
    links = {one.title: f"{place}.svg" for place, one in enumerate(content.search_maps)}
    text = render_markdown(content, links)
    assert "![Settings of ours and error](0.svg)" in text
    assert "![Settings of by weight and error](1.svg)" in text
    assert "### How much each parameter matters for error" in text


def test_a_figure_is_the_same_each_time_and_holds_no_image(content: ReportContent) -> None:
    svg = draw_map(content.search_maps[0])
    assert svg == draw_map(content.search_maps[0])
    assert "<image" not in svg
    assert "sigma_mm" in svg


def test_failed_and_pruned_configurations_are_told_apart(make_map: Any) -> None:
    found = make_map(entries(30))
    assert {dot.state for dot in found.dots} == {State.TOLD, State.FAILED, State.PRUNED}
    assert all(not dot.values for dot in found.dots if dot.state is not State.TOLD)
    assert "pruned and 4 failed" in found.caption
    svg = draw_map(found)
    assert ">pruned<" in svg
    assert ">failed<" in svg


def test_parameters_come_by_importance_and_the_map_is_of_ranges(make_map: Any) -> None:
    found = make_map(entries(40))
    assert found.axes[0].name == "fine.rate"
    assert found.axes[0].is_log
    assert {found.axes[place].name for place in found.contour} == {"fine.rate", "lift.rate"}


def test_choices_and_conditions_have_places(make_map: Any) -> None:
    found = make_map(entries(40))
    axes = {axis.name: place for place, axis in enumerate(found.axes)}
    assert found.axes[axes["kind"]].choices == ("plain", "weighted", "null", "true")
    off = [dot for dot in found.dots if dot.places[axes["order"]] is None]
    assert 0 < len(off) < len(found.dots)
    assert "searched in" in draw_map(found)


def test_several_objectives_have_a_front(make_map: Any) -> None:
    found = make_map(entries(30, num_objectives=2), objectives=2)
    front = [dot.values for dot in found.told if dot.is_front]
    assert len(front) > 1
    assert not any(a[0] < b[0] and a[1] < b[1] for a in front for b in front)
    assert "Pareto front" in draw_map(found)


@pytest.mark.parametrize("number", [2, 3, 5])
def test_few_configurations_are_drawn_and_not_ranked(make_map: Any, number: int) -> None:
    found = make_map(entries(number))
    assert not found.is_ranked
    assert [axis.name for axis in found.axes] == ["fine.rate", "lift.rate", "kind", "order"]
    assert "<svg" in draw_map(found)


def test_dots_on_a_line_have_no_ground(make_map: Any) -> None:
    space = tuple(Parameter(key=key, kind="float", low=0.0, high=1.0) for key in "ab")
    own = [
        Entry(number=place, parameters={"a": place / 9, "b": place / 9}, state=State.TOLD, values=(1.0 + place,))
        for place in range(9)
    ]
    found = make_map(own, space=space)
    assert found.contour is None
    assert "interpolated" not in found.caption
    assert "blue is better" not in draw_map(found)


def test_values_of_many_sizes_have_a_logarithmic_axis_and_many_parameters_are_left_out(make_map: Any) -> None:
    space = tuple(Parameter(key=f"x{place}", kind="float", low=0.0, high=1.0) for place in range(11))
    own = [
        Entry(number=place, parameters={one.key: 0.5 for one in space}, state=State.TOLD, values=(10.0**place,))
        for place in range(6)
    ]
    found = make_map(own, space=space)
    assert found.values[0].is_log
    assert len(found.axes) == MOST_AXES
    assert "3 more parameters have no room" in found.caption


def test_names_are_as_short_as_they_may_be() -> None:
    assert short_names(["a.rate", "b.rate", "b.size"]) == {"a.rate": "a.rate", "b.rate": "b.rate", "b.size": "size"}
    assert short_names(["rate", "a.rate"]) == {"rate": "rate", "a.rate": "a.rate"}
