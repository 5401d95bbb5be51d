import errno
import json
import os

import pytest

from ablate.errors import StoreError
from ablate.store.files import append_line, create_file, read_json, replacing, write_file, write_json


class _CrashError(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_content(tmp_path, monkeypatch, step):
    path = tmp_path / "record.json"
    write_json(path, {"x": 1})

    def crash(*_):
        raise _CrashError

    monkeypatch.setattr(os, step, crash)
    with pytest.raises(_CrashError):
        write_json(path, {"x": 2})
    assert read_json(path) == {"x": 1}
    assert os.listdir(tmp_path) == ["record.json"]


def test_the_content_is_flushed_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("flush") or fsync(descriptor))
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("rename") or replace(*names))
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


def test_a_short_write_goes_on_with_the_rest(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    append_line(tmp_path / "lines", "a longer text")
    write_file(tmp_path / "whole", b"a longer text")
    assert (tmp_path / "lines").read_text() == "a longer text\n"
    assert (tmp_path / "whole").read_text() == "a longer text"


def test_what_a_full_disk_took_of_a_line_is_taken_back(tmp_path, monkeypatch):
    append_line(tmp_path / "lines", "first")
    write, answers = os.write, iter([3])

    def full(descriptor, data):
        if (size := next(answers, None)) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, bytes(data)[:size])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="No space left on device; make room and run the same command again"):
        append_line(tmp_path / "lines", "second")
    assert (tmp_path / "lines").read_text() == "first\n"


def test_a_file_is_created_once(tmp_path):
    assert create_file(tmp_path / "new" / "x", b"1")
    assert not create_file(tmp_path / "new" / "x", b"2")
    assert (tmp_path / "new" / "x").read_bytes() == b"1"
    assert os.listdir(tmp_path / "new") == ["x"]


def test_where_there_are_no_links_a_file_is_still_created_once(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    assert create_file(tmp_path / "x", b"1")
    assert not create_file(tmp_path / "x", b"2")
    assert (tmp_path / "x").read_bytes() == b"1"
    assert os.listdir(tmp_path) == ["x"]


def test_a_link_that_was_made_although_it_failed_is_ours(tmp_path, monkeypatch):
    link = os.link

    def repeated(source, target):
        link(source, target)
        link(source, target)  # what a network file system does when the first answer is lost

    monkeypatch.setattr(os, "link", repeated)
    assert create_file(tmp_path / "x", b"1")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "let this user write there, or choose another --store"),
        (errno.EROFS, "let this user write there"),
        (errno.EIO, "the disk or its connection is faulty"),
    ],
)
def test_an_error_says_what_to_do(tmp_path, monkeypatch, number, advice):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreError, match=rf"x: cannot be written: {os.strerror(number)}; {advice}"):
        write_file(tmp_path / "x", b"1")
    assert os.listdir(tmp_path) == []
