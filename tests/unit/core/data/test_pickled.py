"""Reading object arrays: what numpy writes, in old and new forms, and nothing that could run code."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.pickled import contents_checksum, read_object

CONTENT = {
    "S1": {
        "Directions 1": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        "views": [np.zeros((0, 2)), np.ones((1, 2), dtype=">f8")],
    },
    "num": 17,
    "scalar": np.float64(2.5),
    "name": "h36m",
    "pair": (True, None),
    "objects": np.array([{"a": 1}, "b"], dtype=object),
}


def write(path: Path, key: str, pickled: bytes) -> Path:
    """Write an archive by hand, with a pickle of one's own."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{key}.npy", header.getvalue() + pickled)
    return path


def assert_is_content(found: Any) -> None:
    np.testing.assert_array_equal(found["S1"]["Directions 1"], CONTENT["S1"]["Directions 1"])
    assert found["S1"]["Directions 1"].dtype == np.float32
    assert found["S1"]["views"][0].shape == (0, 2)
    assert found["S1"]["views"][1].tolist() == [[1.0, 1.0]]
    assert found["objects"].tolist() == [{"a": 1}, "b"]
    assert {name: found[name] for name in ("num", "scalar", "name", "pair")} == {
        "num": 17,
        "scalar": 2.5,
        "name": "h36m",
        "pair": (True, None),
    }


def test_what_numpy_writes_is_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", content=CONTENT)
    assert_is_content(read_object(tmp_path / "a.npz", "content"))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_old_protocols_and_numpys_old_name_are_read(tmp_path, protocol):
    pickled = pickle.dumps(np.array(CONTENT, dtype=object), protocol=protocol)
    if protocol < 4:  # names stand there as lines
        assert b"numpy._core" in pickled
        pickled = pickled.replace(b"numpy._core.", b"numpy.core.")
    assert_is_content(read_object(write(tmp_path / "a.npz", "content", pickled), "content"))


class Evil:
    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("evil", "named"),
    [
        (Evil(os.system, "touch {path}"), "posix.system"),
        (Evil(eval, "open('{path}', 'w')"), "(__builtin__|builtins).eval"),
        (Evil(getattr, np, "load"), "(__builtin__|builtins).getattr"),
        (Evil(np.load, "{path}"), "numpy.load"),
        (Evil(np.memmap, "{path}"), "numpy.memmap"),
    ],
)
def test_a_pickle_that_would_run_code_is_refused_by_name(tmp_path, evil, named, protocol):
    mark = tmp_path / "mark"
    evil.call = (evil.call[0], tuple(str(one).replace("{path}", str(mark)) for one in evil.call[1]))
    if evil.call[0] is getattr:
        evil.call = (getattr, (1, "real"))
    pickled = pickle.dumps(np.array({"poses": [evil]}, dtype=object), protocol=protocol)
    path = write(tmp_path / "a.npz", "content", pickled)
    with pytest.raises(ValueError, match=rf"a\.npz: content: the pickle names {named}, which could run code"):
        read_object(path, "content")
    assert not mark.exists()


def test_stand_ins_take_plain_types_alone(tmp_path):
    array = np.array({"a": np.zeros(2, dtype=[("x", "f4")])}, dtype=object)
    path = write(tmp_path / "a.npz", "content", pickle.dumps(array, protocol=4))
    with pytest.raises(ValueError, match=r"only arrays of numbers, text and objects are read, found type 'V4'"):
        read_object(path, "content")
    array = np.array({"a": np.ma.masked_array([1.0])}, dtype=object)
    path = write(tmp_path / "b.npz", "content", pickle.dumps(array, protocol=4))
    with pytest.raises(ValueError, match=r"the pickle names numpy\.ma\.core\._mareconstruct"):
        read_object(path, "content")


def test_types_of_numpy_itself_stay_as_they_are(tmp_path):
    read_object(write(tmp_path / "a.npz", "content", pickle.dumps(np.array(CONTENT, dtype=object), 2)), "content")
    assert np.dtype("f8").isnative
    assert np.dtype("f8").newbyteorder(">") != np.dtype("f8")


@pytest.mark.parametrize("length", [0, 5, 60, 200])
def test_a_pickle_cut_short_is_told(tmp_path, length):
    pickled = pickle.dumps(np.array(CONTENT, dtype=object), protocol=4)[:length]
    with pytest.raises(ValueError, match=r"a\.npz: content: not a readable pickle"):
        read_object(write(tmp_path / "a.npz", "content", pickled), "content")


def test_a_missing_key_is_told_with_those_there_are(tmp_path):
    np.savez(tmp_path / "a.npz", poses={}, metadata={})
    with pytest.raises(ValueError, match=r"a\.npz: has no key positions_3d; found poses, metadata"):
        read_object(tmp_path / "a.npz", "positions_3d")


def test_an_array_of_numbers_is_no_object(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"poses: expected an object array without dimensions, found float64 of shape"):
        read_object(tmp_path / "a.npz", "poses")


def test_another_file_and_a_damaged_one_are_told(tmp_path):
    (tmp_path / "a.npz").write_text("not found")
    with pytest.raises(ValueError, match=r"a\.npz: not an \.npz archive, or a damaged one"):
        read_object(tmp_path / "a.npz", "poses")
    with pytest.raises(ValueError, match=r"a\.npz: not an \.npz archive, or a damaged one"):
        contents_checksum(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", poses={"a": np.zeros(1000)})
    content = bytearray((tmp_path / "b.npz").read_bytes())
    content[4000] ^= 255
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"b\.npz: not an \.npz archive, or a damaged one \(Bad CRC-32"):
        read_object(tmp_path / "b.npz", "poses")


def test_the_checksum_follows_content_alone(tmp_path):
    np.savez(tmp_path / "a.npz", poses={"a": np.zeros(100)})
    np.savez_compressed(tmp_path / "b.npz", poses={"a": np.zeros(100)})
    np.savez(tmp_path / "c.npz", poses={"a": np.ones(100)})
    first, packed, other = (contents_checksum(tmp_path / name) for name in ("a.npz", "b.npz", "c.npz"))
    assert first == packed != other
