from pathlib import Path

import numpy as np
import pytest

import core
from core.data.root import checksum, data_file, default_root, read_arrays


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    np.savez(tmp_path / "set" / "file.npz", a=np.zeros((2, 3)), b=np.ones(4))
    return tmp_path


def test_the_root_of_the_configuration_wins_over_the_environment(folder, monkeypatch):
    monkeypatch.setenv("ABLATE_DATA", "/nowhere")
    assert data_file(str(folder), "set/file.npz") == folder / "set" / "file.npz"


def test_the_environment_names_the_folder(folder, monkeypatch):
    monkeypatch.setenv("ABLATE_DATA", str(folder))
    assert data_file(None, "set/file.npz") == folder / "set" / "file.npz"


def test_without_either_the_folder_lies_beside_the_project(monkeypatch):
    monkeypatch.delenv("ABLATE_DATA", raising=False)
    project = Path(core.__file__).parents[1]
    assert default_root() == project.parent / "shared" / "data"
    with pytest.raises(FileNotFoundError, match=r"shared/data/set/none.npz: no such data file \(the default"):
        data_file(None, "set/none.npz")


def test_a_missing_file_is_told_with_its_path_and_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"set/file.npz: no such data file \(from root\); set data.root="):
        data_file(str(tmp_path), "set/file.npz")


def test_a_missing_folder_of_the_environment_is_told_with_its_origin(monkeypatch):
    monkeypatch.setenv("ABLATE_DATA", "/nowhere/at/all")
    with pytest.raises(FileNotFoundError, match=r"^/nowhere/at/all/set/file.npz: .*from ABLATE_DATA"):
        data_file(None, "set/file.npz")


def test_a_relative_folder_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match=r"must be an absolute path, got '\.' from root"):
        data_file(".", "set/file.npz")


def test_the_checksum_follows_the_content(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    first, same, other = (checksum(tmp_path / name) for name in "abc")
    assert first == same != other


def test_arrays_are_read_by_name(folder):
    arrays = read_arrays(folder / "set" / "file.npz", {"b": 1})
    assert list(arrays) == ["b"]
    assert arrays["b"].tolist() == [1.0] * 4


def test_a_missing_array_is_named(folder):
    with pytest.raises(ValueError, match=r"file.npz: lacks gt; it has a, b"):
        read_arrays(folder / "set" / "file.npz", {"a": 2, "gt": 4})


def test_an_array_of_other_dimensions_is_refused(folder):
    with pytest.raises(ValueError, match=r"a must have 3 dimensions, got shape \(2, 3\)"):
        read_arrays(folder / "set" / "file.npz", {"a": 3})
