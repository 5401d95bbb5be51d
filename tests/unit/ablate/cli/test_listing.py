"""`list`: from files, plans and what the last report noted."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import Result

from ablate.errors import ExitCode
from ablate.plan.head import PlanHead


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_head(
    project: Path, study: str, name: str = "plan", *, ids: str = "ab", at: int = 100, **more: object
) -> Path:
    """Write the head of a plan, beside the plan that it is of, with a time of its own."""
    path = project / "runs" / "studies" / study / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    head = PlanHead(
        version="aaaa1111",
        first_used="2026-01-01T10:00:00+00:00",
        study=study,
        title="Kept",
        paper=None,
        scale="quick",
        is_adaptive=False,
        code=("c0de",),
        trial_ids=tuple(ids),
    )
    beside = path.with_suffix(".head.json")
    beside.write_text(json.dumps(asdict(replace(head, **more))))
    os.utime(beside, (at, at))
    return path


def rows(result: Result) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("  ") if cell] for line in result.stdout.splitlines()]


def test_studies_are_listed_though_some_files_are_none(project: Path, ablate: Callable[..., Result]) -> None:
    (project / "studies" / "a.yaml").write_text("study: a\ntitle: First\npaper: roy2022/table3\n")
    (project / "studies" / "long.yml").write_text('study: "long_name"\n')
    (project / "studies" / "notes.yaml").write_text("- no study\n")
    assert ablate("list").stdout.splitlines() == [
        "study      done     last verdict  scale  paper           file              title",
        "a          not run  -             -      roy2022/table3  studies/a.yaml    First",
        "long_name  not run  -             -      -               studies/long.yml",
    ]


def test_an_empty_place_is_said_to_be_empty(project: Path, ablate: Callable[..., Result]) -> None:
    assert ablate("list").stdout == "no studies in studies or runs\n"


def test_the_last_report_says_the_verdict_and_that_all_is_done(project: Path, ablate: Callable[..., Result]) -> None:
    path = write_head(project, "kept").with_name("summary.json")
    path.write_text(json.dumps({"num_finished": 2, "num_trials": 2, "verdict": "1 worse (error)"}))
    assert rows(ablate("list"))[1] == ["kept", "2/2", "1 worse (error)", "quick", "-", "only in runs", "Kept"]
    os.utime(path, (50, 50))  # planned again since: the trials are counted, the verdict is still the last
    assert rows(ablate("list"))[1][:3] == ["kept", "0/2", "1 worse (error)"]


def test_where_results_decide_the_number_of_trials_it_is_a_limit(project: Path, ablate: Callable[..., Result]) -> None:
    write_head(project, "kept", is_adaptive=True)
    assert rows(ablate("list"))[1][1] == "0/2 at most"


def test_a_damaged_plan_hides_no_other_study(project: Path, ablate: Callable[..., Result]) -> None:
    write_head(project, "kept")
    broken = write_head(project, "broken")
    broken.with_suffix(".head.json").unlink()
    broken.write_text("{")
    found = ablate("list")
    assert found.exit_code == ExitCode.DONE
    assert [row[:2] for row in rows(found)[1:]] == [["broken", "not run"], ["kept", "0/2"]]


def test_a_program_gets_a_list(project: Path, ablate: Callable[..., Result]) -> None:
    write_head(project, "kept")
    (found,) = json.loads(ablate("list", "--json").stdout)["studies"]
    assert (found["study"], found["num_finished"], found["num_trials"]) == ("kept", 0, 2)


def test_versions_are_listed_the_newest_first(project: Path, ablate: Callable[..., Result]) -> None:
    newer = {"version": "bbbb2222", "first_used": "2026-02-01T10:00:00+00:00"}
    write_head(project, "kept", **newer)
    write_head(project, "kept", "plans/aaaa1111")
    write_head(project, "kept", "plans/bbbb2222", ids="abc", **newer)
    result = ablate("list", "--versions", "kept")
    assert rows(result)[1:3] == [
        ["bbbb2222", "quick", "3", "2026-02-01T10:00", "the last"],
        ["aaaa1111", "quick", "2", "2026-01-01T10:00"],
    ]
    assert "ablate compare kept kept@previous" in result.stdout
    refused = ablate("list", "--versions", "kepd")
    assert refused.exit_code == ExitCode.WRONG_INPUT
    assert "has no plan of study 'kepd'" in refused.stderr
