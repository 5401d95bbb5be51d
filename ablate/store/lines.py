"""Files that grow by lines: curves, and what the machine was busy with."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ablate.store.files import append_line, read_file

if TYPE_CHECKING:
    from pathlib import Path

    from ablate.store.local import LocalMedium
    from ablate.store.medium import Medium

FLUSH_SECONDS = 5.0


class Lines(Protocol):
    """A file of lines that attempts add to, one after the other."""

    @property
    def where(self) -> str:
        """Where it lies, for messages."""
        ...

    def read(self) -> list[str]:
        """Give the lines; a last one that a crash tore is left out."""
        ...

    def append(self, attempt: int, line: str) -> None:
        """Add a line; it may be held back until `flush`.

        Raises:
            StoreError: The attempt was overtaken, or the line cannot be written.
        """
        ...

    def flush(self) -> None:
        """Write what was held back.

        Raises:
            StoreError: The attempt was overtaken, or it cannot be written.
        """
        ...

    def replace(self, attempt: int, lines: Sequence[str]) -> None:
        """Put these lines in the place of all that are there.

        Raises:
            StoreError: The attempt was overtaken, or they cannot be written.
        """
        ...

    def keep_copy(self) -> str | None:
        """Copy what is there to `<name>.damaged-<n>`, before damage is left out; says where, `None` if it was empty."""
        ...

    def delete(self) -> None:
        """Remove all lines."""
        ...


class LocalLines:
    """One file, of which each line is written at once."""

    def __init__(self, medium: "LocalMedium", name: str, check: Callable[[int], None]) -> None:
        self._medium = medium
        self._name = name
        self._path: Path = medium.path(name)
        self._check = check

    @property
    def where(self) -> str:
        """Where it lies."""
        return str(self._path)

    def read(self) -> list[str]:
        """Give the lines; a last one that a crash tore is left out."""
        return _lines(read_file(self._path))

    def append(self, attempt: int, line: str) -> None:
        """Add a line at once."""
        self._check(attempt)
        append_line(self._path, line)

    def flush(self) -> None:
        """Nothing is held back here."""

    def replace(self, attempt: int, lines: Sequence[str]) -> None:
        """Put these lines in the place of all that are there; where there is no file, none is made for no lines."""
        self._check(attempt)
        if lines or self._path.exists():
            self._medium.write(self._name, _text(lines))

    def keep_copy(self) -> str | None:
        """Copy what is there to `<name>.damaged-<n>`."""
        return _kept_copy(self._medium, self._name, read_file(self._path) or b"")

    def delete(self) -> None:
        """Remove the file."""
        self._medium.delete(self._name)


class _Segment(NamedTuple):
    attempt: int
    sequence: int
    is_base: bool

    @property
    def name(self) -> str:
        return f"{self.attempt:04d}-{self.sequence:06d}{'-base' if self.is_base else ''}.jsonl"


class SegmentLines:
    """Segments of lines, for a medium that cannot append: `<name>/<attempt>-<number>.jsonl`.

    A segment ending in `-base` holds all that its attempt kept of what was there; everything before the newest base
    counts for nothing, and neither does what an overtaken attempt adds later.
    """

    def __init__(self, medium: "Medium", name: str, check: Callable[[int], None]) -> None:
        self._medium = medium
        self._folder = name.removesuffix(".jsonl")
        self._check = check
        self._lock = threading.RLock()
        self._held: list[str] = []
        self._attempt = 0
        self._next = 0
        self._flushed_s = time.monotonic()

    @property
    def where(self) -> str:
        """Where the segments lie."""
        return self._medium.where(self._folder)

    def read(self) -> list[str]:
        """Give the lines of the segments that count, and after them what this object holds back."""
        with self._lock:
            counting = _counting(self._segments())
            parts = self._medium.read_many([f"{self._folder}/{segment.name}" for segment in counting])
            newest_base = max((segment.attempt for segment in counting if segment.is_base), default=0)
            held = self._held if self._attempt >= newest_base else []
            return [line for part in parts for line in _lines(part)] + list(held)

    def append(self, attempt: int, line: str) -> None:
        """Hold back a line, and write what is held back every few seconds."""
        with self._lock:
            self._begin(attempt)
            self._held.append(line)
            if time.monotonic() - self._flushed_s >= FLUSH_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Write what is held back as the next segment."""
        with self._lock:
            if self._held:
                self._write(self._held, is_base=False)
                self._held = []

    def replace(self, attempt: int, lines: Sequence[str]) -> None:
        """Write a base of these lines, and remove what it replaces."""
        with self._lock:
            self._begin(attempt)
            self._held = []
            replaced = self._segments()
            if attempt > 1 or replaced or lines:
                self._write(lines, is_base=True)
                for segment in replaced:
                    self._medium.delete(f"{self._folder}/{segment.name}")

    def keep_copy(self) -> str | None:
        """Copy what is there to `<name>.damaged-<n>.jsonl`."""
        return _kept_copy(self._medium, f"{self._folder}.jsonl", _text(self.read()))

    def delete(self) -> None:
        """Remove all segments, the newest first: what is left by a crash is the beginning."""
        with self._lock:
            self._held = []
            for segment in reversed(self._segments()):
                self._medium.delete(f"{self._folder}/{segment.name}")

    def _begin(self, attempt: int) -> None:
        """Turn to an attempt: number its segments after those it has."""
        if attempt == self._attempt:
            return
        self._check(attempt)
        own = [segment.sequence for segment in self._segments() if segment.attempt == attempt]
        self._attempt, self._next, self._held = attempt, max(own, default=-1) + 1, []
        self._flushed_s = time.monotonic()

    def _write(self, lines: Sequence[str], *, is_base: bool) -> None:
        self._check(self._attempt)
        segment = _Segment(self._attempt, self._next, is_base)
        self._medium.write(f"{self._folder}/{segment.name}", _text(lines))
        self._next += 1
        self._flushed_s = time.monotonic()

    def _segments(self) -> list[_Segment]:
        found = []
        for name in self._medium.names(self._folder):
            attempt, _, rest = name.removesuffix(".jsonl").partition("-")
            sequence, _, kind = rest.partition("-")
            if name.endswith(".jsonl") and attempt.isdigit() and sequence.isdigit() and kind in ("", "base"):
                found.append(_Segment(int(attempt), int(sequence), kind == "base"))
        return sorted(found)


def _counting(segments: Sequence[_Segment]) -> Sequence[_Segment]:
    """Leave out all before the newest base."""
    bases = [place for place, segment in enumerate(segments) if segment.is_base]
    return segments[bases[-1] :] if bases else segments


def _lines(data: bytes | None) -> list[str]:
    return (data or b"").decode("utf-8", errors="replace").split("\n")[:-1]


def _text(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _kept_copy(medium: "Medium", name: str, content: bytes) -> str | None:
    if not content:
        return None
    number = 1
    while medium.exists(aside := f"{name}.damaged-{number}"):
        number += 1
    medium.write(aside, content)
    return medium.where(aside)
