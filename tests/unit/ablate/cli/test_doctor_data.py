"""What `doctor STUDY` says of the data that a study points at."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ablate.cli.doctor_data import data_checks, table_lines
from ablate.errors import ExitCode, StudyError

COUNTED = """
    def statistics(self) -> dict[str, dict[str, float]]:
        return {"near": {"dots": 1234567.0, "rings": 2.5}, "far": {"dots": float(self.num_samples)}}

    def fingerprint(self) -> str:"""


@pytest.fixture
def counted(toy_project):
    toy_project.edit("\n    def fingerprint(self) -> str:", COUNTED, "toy/tasks.py")
    return toy_project


def test_data_that_are_there_are_described(counted, ablate: Callable[..., Result]) -> None:
    result = ablate("doctor", counted.study)
    assert result.exit_code == ExitCode.DONE, result.output
    lines = result.stdout.splitlines()
    start = lines.index("ok    data           found, fingerprint none")
    assert lines[start + 1 :] == [
        "                 dots  rings",
        "      near  1,234,567    2.5",
        "      far           4       ",
    ]
    assert lines.count(lines[start]) == 1


def test_programs_get_the_numbers(counted, ablate: Callable[..., Result]) -> None:
    (found,) = json.loads(ablate("doctor", counted.study, "data.num_samples=9", "--json").stdout)["data"]
    assert found["parameter"] == "data"
    assert found["arms"] == ["ours", "rough", "by weight"]
    assert found["fingerprint"] == "none"
    assert found["statistics"]["far"] == {"dots": 9.0}


def test_missing_data_fail_with_what_to_do(toy_project, ablate: Callable[..., Result], tmp_path: Path) -> None:
    result = ablate("doctor", toy_project.study, f"data.folder={tmp_path / 'nowhere'}")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert f"fail  data           there is no folder {tmp_path / 'nowhere'}; run the download first" in result.stdout


def test_arms_with_data_of_their_own_are_named(toy_project) -> None:
    toy_project.edit("rough: {", "rough: {data.num_samples: 7, ")
    first, second = data_checks(toy_project.study, [])
    assert (first.arms, second.arms) == (["ours", "by weight"], ["rough"])
    assert second.check.found == "found, fingerprint none (arms: rough)"


def test_whatever_statistics_raise_is_told(counted) -> None:
    counted.edit("1234567.0", "1 / 0", "toy/tasks.py")
    (found,) = data_checks(counted.study, [])
    assert found.check.state == "fail"
    assert found.check.found == "statistics() failed: ZeroDivisionError: division by zero"


def test_a_study_without_data_says_so(toy_project) -> None:
    toy_project.write(
        "studies/plain.yaml",
        "study: plain\ntitle: No data\nplugins: [toy]\ntask: toy.tasks:quick\n"
        "arms: {a: {method.sigma_mm: 1}}\nreference: a\n"
        "metrics: [{name: error, unit: mm, better: lower}]\n",
    )
    (found,) = data_checks(toy_project.root / "studies" / "plain.yaml", [])
    assert found.check.found == "no task of plain points at any"


def test_a_wrong_key_is_told_with_its_place(toy_project, ablate: Callable[..., Result]) -> None:
    with pytest.raises(StudyError, match=r"data\.num_samples"):
        list(data_checks(toy_project.study, ["data.num_samples=many"]))
    assert ablate("doctor", toy_project.study, "data.num_samples=many").exit_code == ExitCode.WRONG_INPUT


def test_nothing_to_lay_out_is_no_line() -> None:
    assert list(table_lines({})) == []
