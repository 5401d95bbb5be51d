"""Where the files of a nested configuration lie, and what to say where they do not."""

import os
from pathlib import Path

from core.data.root import ENVIRONMENT, default_root


def data_folder(root: str | None, key: str) -> Path:
    """Give the folder with one sub-folder for each data set.

    Args:
        root: What the configuration says; `None`: the environment variable `ABLATE_DATA`, and without it
            `core.data.root.default_root()`.
        key: The configuration's key, for messages: `data.human36m.root`.

    Raises:
        ValueError: It is not an absolute path. Trials run in folders of their own, where a relative one would mean
            something else.
    """
    named = root if root is not None else os.environ.get(ENVIRONMENT) or None
    if named is not None and not Path(named).is_absolute():
        source = key if root is not None else ENVIRONMENT
        raise ValueError(f"{source} must be an absolute path, got {named!r}")
    return Path(named) if named is not None else default_root()


def existing(path: Path, key: str) -> Path:
    """Give a path that is there.

    Raises:
        FileNotFoundError: It is not; the text says what to set.
    """
    if not path.exists():
        kind = "file" if path.suffix else "folder"
        raise FileNotFoundError(
            f"{path}: no such {kind}; set {key} or the environment variable {ENVIRONMENT} "
            "to the folder that holds the data sets"
        )
    return path
