"""Published folders: whole or absent, whoever else publishes, whatever goes wrong."""

import pytest
import torch

from core.simulator import arrays


def filler(value):
    def fill(draft):
        arrays.save(draft / "numbers.npy", torch.full((3,), value))
        return {"value": float(value)}

    return fill


def test_a_failure_leaves_nothing_behind(tmp_path):
    def fail(draft):
        filler(1)(draft)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        arrays.publish(tmp_path / "x", {"a": 1}, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_older_content(tmp_path):
    arrays.publish(tmp_path / "x", {"a": 1}, filler(1))
    with pytest.raises(ZeroDivisionError):
        arrays.publish(tmp_path / "x", {"a": 2}, lambda draft: {"value": 1 / 0})
    assert arrays.load(tmp_path / "x" / "numbers.npy").tolist() == [1, 1, 1]


def test_other_content_replaces_the_folder(tmp_path):
    arrays.publish(tmp_path / "x", {"a": 1}, filler(1))
    assert arrays.publish(tmp_path / "x", {"a": 2}, filler(2)) == {"value": 2.0}
    assert arrays.load(tmp_path / "x" / "numbers.npy").tolist() == [2, 2, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_the_same_content_is_not_filled_again(tmp_path):
    arrays.publish(tmp_path / "x", {"a": 1}, filler(1))
    assert arrays.publish(tmp_path / "x", {"a": 1}, filler(5)) == {"value": 1.0}


def test_whoever_publishes_the_same_content_first_wins(tmp_path):
    def fill_late(draft):
        arrays.publish(tmp_path / "x", {"a": 1}, filler(1))
        return filler(1)(draft)

    arrays.publish(tmp_path / "x", {"a": 1}, fill_late)
    assert arrays.load(tmp_path / "x" / "numbers.npy").tolist() == [1, 1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_without_a_manifest_is_replaced(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "torn").write_text("half a file")
    arrays.publish(tmp_path / "x", {"a": 1}, filler(1))
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [arrays.MANIFEST, "numbers.npy"]


def test_the_key_does_not_depend_on_the_order_of_the_content():
    assert arrays.content_key({"a": 1, "b": (2, 3)}) == arrays.content_key({"b": (2, 3), "a": 1})
    assert arrays.content_key({"a": 1}) != arrays.content_key({"a": 2})


def test_a_created_array_is_written_in_place(tmp_path):
    array = arrays.create_bytes(tmp_path / "deep" / "bytes.npy", (2, 3))
    array[1] = 7
    assert arrays.load(tmp_path / "deep" / "bytes.npy").tolist() == [[0, 0, 0], [7, 7, 7]]
