"""Where real data lie: the folder with one sub-folder for each data set, and reading an archive of arrays from it."""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import core

ENVIRONMENT = "ABLATE_DATA"
_ADVICE = (
    f"set data.root=/path/to/data or the environment variable {ENVIRONMENT} to the folder that holds the data sets"
)


def default_root() -> Path:
    """Folder that is taken where neither the configuration nor the environment names one: beside the project."""
    return Path(core.__file__).resolve().parents[2] / "shared" / "data"


def data_file(root: str | None, relative: str) -> Path:
    """Find a file of a data set.

    Args:
        root: The data folder; `None`: the environment variable `ABLATE_DATA`, and without it `default_root()`.
        relative: Path of the file inside it.

    Raises:
        ValueError: The folder is not given as an absolute path. Trials run in folders of their own, where a relative
            one would mean something else.
        FileNotFoundError: There is no such file.
    """
    named = root if root is not None else os.environ.get(ENVIRONMENT) or None
    source = "root" if root is not None else ENVIRONMENT
    if named is not None and not Path(named).is_absolute():
        raise ValueError(f"the data folder must be an absolute path, got {named!r} from {source}; {_ADVICE}")
    path = (Path(named) if named is not None else default_root()) / relative
    if not path.is_file():
        origin = f"from {source}" if named is not None else f"the default; neither root nor {ENVIRONMENT} is set"
        raise FileNotFoundError(f"{path}: no such data file ({origin}); {_ADVICE}")
    return path


def checksum(path: Path) -> str:
    """Identify a file by its content (these archives are a few megabytes)."""
    return blake2b(path.read_bytes(), digest_size=10).hexdigest()


def read_arrays(path: Path, dimensions: Mapping[str, int]) -> dict[str, npt.NDArray[Any]]:
    """Read named arrays of an `.npz` archive.

    Args:
        path: The archive.
        dimensions: Number of dimensions of each array that is wanted.

    Raises:
        ValueError: An array is missing or has another number of dimensions.
    """
    with np.load(path, allow_pickle=False) as archive:
        missing = [name for name in dimensions if name not in archive.files]
        if missing:
            raise ValueError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(archive.files)}")
        arrays = {name: np.asarray(archive[name]) for name in dimensions}
    for name, expected in dimensions.items():
        if arrays[name].ndim != expected:
            raise ValueError(f"{path}: {name} must have {expected} dimensions, got shape {arrays[name].shape}")
    return arrays
