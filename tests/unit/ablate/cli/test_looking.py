"""`status`, `report` and `ui` before anything ran; what they say of a run is in tests/e2e."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ablate.errors import ExitCode


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("arguments", [["status", "w"], ["report", "w"], ["sync", "w"], ["compare", "w", "w"]])
def test_a_study_that_was_never_planned_is_wrong_input(ablate: Callable[..., Result], arguments: list[str]) -> None:
    result = ablate(*arguments)
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert "no plan of study 'w'" in result.stderr


def test_the_page_needs_something_to_show(ablate: Callable[..., Result]) -> None:
    result = ablate("ui")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert result.stderr.startswith("command line: the store runs has no mlflow.db; `ablate run` makes it")


def test_an_empty_store_cannot_be_mirrored(ablate: Callable[..., Result]) -> None:
    result = ablate("sync")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert "the store runs has no studies yet" in result.stderr


def test_a_report_of_an_unknown_kind_is_refused(ablate: Callable[..., Result]) -> None:
    result = ablate("report", "w", "-o", "w.docx")
    assert (result.exit_code, result.stderr) == (
        ExitCode.WRONG_INPUT,
        "w.docx: expected a file that ends in .md, .html, .tex, .csv or .json\n",
    )
