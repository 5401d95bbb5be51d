"""What a store stands on: named files that are whole or absent, in a folder or behind any URL that fsspec reaches.

Names are relative, with `/` between their parts: `trials/<id>/record.json`.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ablate.store.lines import Lines

Location = str | Path
"""A folder, or a URL such as `s3://bucket/prefix`."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::.*)?://")


class Medium(Protocol):
    """Keeps the files of a store. Every method raises `StoreError` where the medium cannot be read or written."""

    @property
    def location(self) -> str:
        """What reaches the same store from another machine, or another folder of this one."""
        ...

    @property
    def root(self) -> Path:
        """A local folder: the store itself, or a cache of a remote one that may be wiped at any moment."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether `root` is only a cache."""
        ...

    def where(self, name: str) -> str:
        """Write a name as people find it: a path or a URL."""
        ...

    def read(self, name: str) -> bytes | None:
        """Give a file's content, or `None` where there is none."""
        ...

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Read several files, at once where that is quicker."""
        ...

    def write(self, name: str, content: bytes | memoryview, *, flushed: bool = True) -> None:
        """Put a file there, in the place of what was there: whole or not at all, and durable if `flushed`."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Put a file there unless one is there; `False` if one is. Whole or not at all, and durable."""
        ...

    def note(self, names: Sequence[str]) -> None:
        """Make empty files of these names where there are none; what a crash loses is made again."""
        ...

    def flush(self, name: str) -> None:
        """Make durable what was written unflushed."""
        ...

    def names(self, folder: str) -> list[str]:
        """List the names right below a folder, those of files and of folders, sorted."""
        ...

    def exists(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        ...

    def modified(self, name: str) -> float | None:
        """Give the time of a file's last change in seconds since 1970, or `None` where there is no file."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is left so."""
        ...

    def rename(self, name: str, to: str) -> bool:
        """Give a file another name; `False` where there is none."""
        ...

    def upload(self, path: Path, name: str) -> None:
        """Put a copy of a local file there."""
        ...

    def download(self, name: str, path: Path) -> bool:
        """Put a copy of a file at a local path, whole or not at all; `False` where there is none."""
        ...

    def lines(self, name: str, check: Callable[[int], None]) -> Lines:
        """Give access to a file of lines; `check(attempt)` refuses an attempt that was overtaken."""
        ...


def is_url(location: Location) -> bool:
    """Say whether a location is a URL rather than a folder."""
    return isinstance(location, str) and _URL.match(location) is not None


def open_medium(location: Location) -> Medium:
    """Open what a location names; nothing is made or read yet.

    Raises:
        StoreError: No library here reaches the URL.
    """
    if isinstance(location, str) and is_url(location):
        from ablate.store.remote import RemoteMedium

        return RemoteMedium(location)
    from ablate.store.local import LocalMedium

    return LocalMedium(Path(location))


def set_aside(medium: Medium, name: str) -> str | None:
    """Rename a damaged file to `<name>.damaged-<n>`, so that it is out of the way and nothing is lost.

    Returns:
        Its new name, or `None` where it is gone.
    """
    number = 1
    while medium.exists(aside := f"{name}.damaged-{number}"):
        number += 1
    return aside if medium.rename(name, aside) else None
