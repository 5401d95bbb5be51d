import errno
import json
import os
from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.store.files import append_line, read_json, replacing, write_json


class _CrashError(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_content(tmp_path, monkeypatch, step):
    path = tmp_path / "record.json"
    write_json(path, {"x": 1})

    def crash(*_):
        raise _CrashError

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", crash)
    else:
        monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(_CrashError):
        write_json(path, {"x": 2})
    assert read_json(path) == {"x": 1}
    assert os.listdir(tmp_path) == ["record.json"]


def test_the_content_is_flushed_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("flush") or fsync(descriptor))
    monkeypatch.setattr(Path, "replace", lambda self, target: calls.append("rename") or replace(self, target))
    write_json(tmp_path / "x.json", {})
    assert calls == ["flush", "rename", "flush"]


def test_a_full_disk_is_told_with_the_path_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"x\.json: cannot be written: No space left on device"):
        write_json(tmp_path / "x.json", {})
    assert os.listdir(tmp_path) == []


def test_a_failing_writer_leaves_the_old_content(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), replacing(path) as file:
        file.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old"


def test_an_infinite_number_is_refused_rather_than_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"x": float("inf")})
    assert os.listdir(tmp_path) == []


def test_a_missing_file_is_nothing(tmp_path):
    assert read_json(tmp_path / "absent.json") is None


def test_lines_are_added_at_the_end(tmp_path):
    for number in range(3):
        append_line(tmp_path / "lines", json.dumps(number))
    assert (tmp_path / "lines").read_text() == "0\n1\n2\n"


def test_a_short_write_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(StoreError, match="only a part of a line"):
        append_line(tmp_path / "lines", "text")
