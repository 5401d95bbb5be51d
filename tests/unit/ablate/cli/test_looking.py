"""`status` and `list` before anything ran; what they say of a run is in tests/e2e."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ablate.errors import ExitCode


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_studies_are_listed_though_some_files_are_none(project: Path, ablate: Callable[..., Result]) -> None:
    (project / "studies" / "a.yaml").write_text("study: a\ntitle: First\n")
    (project / "studies" / "long.yml").write_text('study: "long_name"\n')
    (project / "studies" / "notes.yaml").write_text("- no study\n")
    assert ablate("list").stdout.splitlines() == [
        "a          not run  studies/a.yaml  First",
        "long_name  not run  studies/long.yml",
    ]


def test_an_empty_place_is_said_to_be_empty(project: Path, ablate: Callable[..., Result]) -> None:
    assert ablate("list").stdout == "no studies in studies or runs\n"


@pytest.mark.parametrize("verb", ["status", "report"])
def test_a_study_that_was_never_planned_is_wrong_input(project: Path, ablate: Callable[..., Result], verb: str) -> None:
    result = ablate(verb, "weights")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert "no plan of study 'weights'" in result.stderr


def test_the_page_needs_something_to_show(project: Path, ablate: Callable[..., Result]) -> None:
    result = ablate("ui")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert result.stderr == "command line: the store runs has no mlflow.db; `ablate run` makes it\n"
