"""Object arrays in `.npz` archives, read without running what is in them.

numpy stores an array of Python objects as a pickle, and a pickle may call anything. Here it may name what plain data
of numpy need and nothing else: arrays, their types, their scalars, and the bytes of older pickles (protocol 2 writes
bytes as text with an encoding). Dictionaries, lists, tuples, strings and numbers need no name at all.
"""

import io
import pickle
import re
import zipfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

ARRAY_KIND = "numpy.ndarray"
"""Stands for numpy's class, which a pickle names only as the kind of array to make."""

_TYPE_CODE = re.compile(r"[<>=|]?[biufcSUO]\d*")
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")


def _empty_array(kind: object, shape: object, code: object) -> npt.NDArray[Any]:
    """Give the array that the pickle fills in the next step; its first shape and type mean nothing."""
    if kind != ARRAY_KIND:
        raise ValueError(f"only arrays of the class {ARRAY_KIND} are read, found {kind!r}")
    return np.ndarray((0,), np.int8)


def _type(code: object, *copy: object) -> np.dtype[Any]:
    """Give a type of plain numbers, text or objects; a copy, as the pickle sets its byte order in the next step."""
    if not isinstance(code, str) or not _TYPE_CODE.fullmatch(code):
        raise ValueError(f"only arrays of numbers, text and objects are read, found type {code!r}")
    return np.dtype(code, False, True)


def _bytes(text: str = "", encoding: str = "latin1") -> bytes:
    """Give the bytes that protocol 2 wrote as text."""
    if encoding != "latin1":
        raise ValueError(f"bytes are written as latin1, found {encoding!r}")
    return text.encode("latin1")


_SCALAR = np.float64(0.0).__reduce__()[0]
_KNOWN: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): ARRAY_KIND,
    ("numpy", "dtype"): _type,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    ("builtins", "bytes"): _bytes,
    **{(module, "_reconstruct"): _empty_array for module in _MODULES},
    **{(module, "scalar"): _SCALAR for module in _MODULES},
}


class _Unpickler(pickle.Unpickler):
    """Knows the names of `_KNOWN` and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise ValueError(
                f"the pickle names {module}.{name}, which could run code; expected only arrays, numbers, text, "
                "dictionaries and lists: do not load this file with anything else either"
            )
        return _KNOWN[module, name]


def read_object(path: Path, key: str) -> Any:
    """Read one Python object that `numpy.savez` wrote.

    Args:
        path: The archive.
        key: Name of an object array without dimensions, as a dictionary becomes.

    Returns:
        The object; whoever reads it checks its form.

    Raises:
        ValueError: The file is no such archive or is damaged, has no such key, the key is of another kind, or its
            pickle names anything but plain data; the text says which.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if key not in names:
                raise ValueError(f"{path}: has no key {key}; found {', '.join(names) or 'nothing'}")
            with archive.open(f"{key}.npy") as member:
                return _read_member(io.BufferedReader(cast(Any, member), 2**20), f"{path}: {key}")
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: not an .npz archive, or a damaged one ({error}); expected one of numpy") from error


def _read_member(stream: io.BufferedReader, where: str) -> Any:
    headers: dict[tuple[int, int], Callable[..., Any]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        shape, _, dtype = headers[np.lib.format.read_magic(stream)](stream)
        if dtype != np.dtype(object) or shape != ():
            raise ValueError(f"expected an object array without dimensions, found {dtype} of shape {shape}")
        found = _Unpickler(stream).load()
        if not isinstance(found, np.ndarray) or found.shape != () or found.dtype != np.dtype(object):
            raise ValueError(f"expected an object array without dimensions, found a {type(found).__name__}")
    except zipfile.BadZipFile:
        raise
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    except Exception as error:  # a pickle that is cut short or made up fails in any way
        raise ValueError(f"{where}: not a readable pickle ({type(error).__name__}: {error})") from error
    return found.item()


def contents_checksum(path: Path) -> str:
    """Identify an archive by the names, sizes and CRC-32 of what it holds, without reading all of it.

    Raises:
        ValueError: It is not an archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            lines = sorted(f"{one.filename} {one.file_size} {one.CRC:08x}" for one in archive.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: not an .npz archive, or a damaged one ({error}); expected one of numpy") from error
    return blake2b("\n".join(lines).encode(), digest_size=10).hexdigest()
