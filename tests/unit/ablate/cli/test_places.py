"""Where names, files and stores on the command line are looked for."""

from pathlib import Path

import pytest

from ablate.cli.places import complete_files, complete_studies, heading, named, project_folder, store_location
from ablate.errors import StudyError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "conf").mkdir()
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "weights.yaml").write_text(
        "study: sportcenter  # a name\ntitle: 'Weights: do they help?'\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_project_is_the_nearest_folder_with_a_configuration(project: Path) -> None:
    assert project_folder(project / "studies") == project
    (project / "studies" / "pyproject.toml").touch()
    assert project_folder(project / "studies") == project / "studies"


def test_results_lie_in_the_project_of_the_study_unless_asked_otherwise(project: Path) -> None:
    assert store_location(None, project / "studies") == str(project / "runs")
    assert store_location("elsewhere", project / "studies") == str(project / "elsewhere")
    assert store_location("s3://bucket/runs/", project / "studies") == "s3://bucket/runs"


def test_a_file_stands_for_the_study_it_names(project: Path) -> None:
    found = named("studies/weights.yaml", None)
    assert (found.name, found.store) == ("sportcenter", str(project / "runs"))


def test_a_name_is_looked_for_in_the_store_of_the_working_directory(project: Path) -> None:
    assert named("other", None).store == str(project / "runs")


@pytest.mark.parametrize(("name", "message"), [("no.yaml", "no such file"), ("empty.yaml", "names no study")])
def test_a_file_without_a_study_is_refused(project: Path, name: str, message: str) -> None:
    (project / "empty.yaml").touch()
    with pytest.raises(StudyError, match=message):
        named(name, None)


def test_a_heading_is_read_whatever_its_quotes(project: Path) -> None:
    found = heading(project / "studies" / "weights.yaml")
    assert found is not None
    assert (found.name, found.title) == ("sportcenter", "Weights: do they help?")


def test_a_file_that_is_no_text_has_no_heading(tmp_path: Path) -> None:
    path = tmp_path / "picture.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert heading(path) is None


def test_the_shell_completes_files_from_the_project_and_from_the_path_typed(project: Path) -> None:
    (project / "other").mkdir()
    (project / "other.yaml").touch()
    assert complete_files("") == ["studies/weights.yaml"]
    assert complete_files("st") == ["studies/", "studies/weights.yaml"]
    assert complete_files("oth") == ["other.yaml", "other/"]
    assert complete_files("no[") == []


def test_the_shell_completes_names_from_the_store(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for root in ("runs", "elsewhere"):
        (project / root / "studies" / f"seen_in_{root}").mkdir(parents=True)
        (project / root / "studies" / f"seen_in_{root}" / "plan.json").touch()
    monkeypatch.delenv("ABLATE_STORE", raising=False)
    assert complete_studies("s") == ["seen_in_runs", "studies/", "studies/weights.yaml"]
    monkeypatch.setenv("ABLATE_STORE", str(project / "elsewhere"))
    assert complete_studies("seen") == ["seen_in_elsewhere"]


def test_a_heading_names_the_published_table(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("study: a\npaper: roy2022/table3   # theirs\n")
    found = heading(path)
    assert found is not None
    assert found.paper == "roy2022/table3"
