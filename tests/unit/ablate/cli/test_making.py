"""`new` and `schema`; that a new study runs is in tests/e2e."""

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ablate.errors import ExitCode


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_empty_folder_becomes_a_project(empty_folder: Path, ablate: Callable[..., Result]) -> None:
    result = ablate("new", "linefit")
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert files_in(empty_folder) == [
        "conf/config.yaml",
        "conf/scale/quick.yaml",
        "conf/scale/standard.yaml",
        "linefit/__init__.py",
        "linefit/tasks.py",
        "studies/linefit.yaml",
    ]
    assert "ablate run studies/linefit.yaml" in result.stdout
    ast.parse((empty_folder / "linefit" / "tasks.py").read_text())


def test_a_project_keeps_its_configuration(empty_folder: Path, ablate: Callable[..., Result]) -> None:
    (empty_folder / "conf").mkdir()
    (empty_folder / "conf" / "config.yaml").write_text("scale: own\n")
    assert ablate("new", "linefit").exit_code == ExitCode.DONE
    assert files_in(empty_folder / "conf") == ["config.yaml"]
    assert (empty_folder / "conf" / "config.yaml").read_text() == "scale: own\n"
    assert "\nreplicates: 8" in (empty_folder / "studies" / "linefit.yaml").read_text()


def test_nothing_is_overwritten(empty_folder: Path, ablate: Callable[..., Result]) -> None:
    (empty_folder / "studies").mkdir()
    (empty_folder / "studies" / "linefit.yaml").write_text("mine")
    result = ablate("new", "linefit")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert result.stderr.startswith("studies/linefit.yaml: is there already and is not overwritten")
    assert files_in(empty_folder) == ["studies/linefit.yaml"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My-Study", "expected lower-case letters, digits and _, beginning with a letter"),
        ("../up", "expected lower-case letters"),
        ("lambda", "a word of Python's"),
        ("random", "a module of Python's own"),
        ("runs", "a folder of the project"),
        ("numpy", "a package of that name is installed"),
    ],
)
def test_a_name_that_no_package_can_have(
    empty_folder: Path, ablate: Callable[..., Result], name: str, reason: str
) -> None:
    result = ablate("new", name)
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert f"'{name}' cannot be the name of a study and its package: " in result.stderr
    assert reason in result.stderr
    assert files_in(empty_folder) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(empty_folder: Path, ablate: Callable[..., Result]) -> None:
    (empty_folder / "file").touch()
    result = ablate("new", "linefit", "--folder", "file")
    assert (result.exit_code, result.stderr) == (
        ExitCode.WRONG_INPUT,
        "file/linefit/__init__.py: cannot be written: Not a directory\n",
    )


def test_the_schema_is_printed_and_written(empty_folder: Path, ablate: Callable[..., Result]) -> None:
    printed = ablate("schema")
    assert printed.exit_code == ExitCode.DONE
    assert "study" in json.loads(printed.stdout)["properties"]
    assert ablate("schema", "-o", "studies/study.schema.json").exit_code == ExitCode.DONE
    assert (empty_folder / "studies" / "study.schema.json").read_text() == printed.stdout
