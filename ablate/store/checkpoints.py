"""Checkpoints of one trial: whole files named by their content, the pointer last; the last two are kept."""

import io
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ablate.errors import StoreError
from ablate.store.files import json_text, parse_json
from ablate.store.medium import Medium, set_aside
from ablate.trial import Json

NUM_KEPT = 2
_NUM_DIGITS = 16
_NAME = re.compile(r"(-?\d+)-([0-9a-f]{16})\.pt")
_PLAIN = (int, float, complex, str, bytes, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trial's state after `step`."""

    step: int
    state: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A file of the folder, and what it must hash to: all digits of the SHA-256 in the pointer, the first in a name."""

    name: str
    step: int
    sha256: str

    @property
    def content(self) -> dict[str, Json]:
        return {"name": self.name, "step": self.step, "sha256": self.sha256}


class Checkpoints:
    """The checkpoint folder of one trial.

    `latest.json` names the newest checkpoint and the one before, each with the SHA-256 of its file. A file that does
    not hash to what the pointer says (torn, or corrupted later) is passed over with a warning. Where the pointer
    itself is damaged, the files are taken that hash to their own names. Nothing is ever unpickled that could run code
    (`torch.load(weights_only=True)`).
    """

    def __init__(self, medium: Medium, folder: str) -> None:
        self._medium = medium
        self._folder = folder
        self._pointer = f"{folder}/latest.json"

    def save(self, step: int, state: Mapping[str, Any] | bytes) -> None:
        """Write the state after `step`, or what `packed` made of it.

        Raises:
            StoreError: It cannot be written.
            TypeError: The state holds something that could not be read back without running code.
        """
        content = state if isinstance(state, bytes) else packed(state)
        digest = sha256(content).hexdigest()
        newest = _Entry(name=f"{step}-{digest[:_NUM_DIGITS]}.pt", step=step, sha256=digest)
        older = [entry for entry in self._entries() if entry.step < step][: NUM_KEPT - 1]
        self._medium.write(f"{self._folder}/{newest.name}", content)
        self._medium.write(self._pointer, json_text({"checkpoints": [entry.content for entry in (newest, *older)]}))
        self._remove_all_but({entry.name for entry in (newest, *older)})

    def load(self) -> Checkpoint | None:
        """Give the newest checkpoint that is whole, or `None`; a damaged pointer is set aside.

        Raises:
            StoreError: The folder cannot be read.
        """
        import torch

        for entry in self._candidates():
            where = self._medium.where(f"{self._folder}/{entry.name}")
            try:
                data = self._medium.read(f"{self._folder}/{entry.name}")
            except StoreError as error:
                _warn(f"{where}: checkpoint cannot be read ({error})")
                continue
            if data is None:
                _warn(f"{where}: checkpoint is gone")
            elif not sha256(data).hexdigest().startswith(entry.sha256):
                _warn(f"{where}: checkpoint is torn or corrupted")
            else:
                state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
                return Checkpoint(step=entry.step, state=state)
        return None

    def latest_step(self) -> int | None:
        """Give the step of the newest checkpoint without reading it."""
        return next((entry.step for entry in self._entries()), None)

    def drop(self) -> None:
        """Remove all checkpoints, the pointer last: as long as it is there, some may be left.

        Raises:
            StoreError: They cannot be removed.
        """
        names = self._medium.names(self._folder)
        for name in sorted(names, key=lambda name: name == "latest.json"):
            if name == "latest.json" or name.endswith(".pt"):
                self._medium.delete(f"{self._folder}/{name}")

    def _candidates(self) -> Iterator[_Entry]:
        """Give what the pointer names, then what else is there, the newest first; make way for a new pointer."""
        data = self._medium.read(self._pointer)
        try:
            named = _pointed(data, self._medium.where(self._pointer))
        except StoreError as error:
            aside = set_aside(self._medium, self._pointer)
            message = f"{error}; it was renamed to {_last(aside)}, and the checkpoints beside it are tried"
            warnings.warn(message, stacklevel=3)
            named = []
        yield from named
        yield from (entry for entry in self._found() if entry.name not in {one.name for one in named})

    def _entries(self) -> list[_Entry]:
        """Give what the pointer names, the newest first, or what is there if it is damaged or gone."""
        data = self._medium.read(self._pointer)
        try:
            return _pointed(data, self._medium.where(self._pointer)) or self._found()
        except StoreError:
            return self._found()

    def _found(self) -> list[_Entry]:
        """List the files that can be checked by their names, the newest first."""
        matches = (_NAME.fullmatch(name) for name in self._medium.names(self._folder))
        found = [_Entry(name=match[0], step=int(match[1]), sha256=match[2]) for match in matches if match]
        return sorted(found, key=lambda entry: entry.step, reverse=True)

    def _remove_all_but(self, kept: Collection[str]) -> None:
        """Remove what is older, and what a crash left without a pointer: the curves may not reach that far any more."""
        for name in self._medium.names(self._folder):
            if name.endswith(".pt") and name not in kept:
                self._medium.delete(f"{self._folder}/{name}")


def packed(state: Mapping[str, Any]) -> bytes:
    """Write a state as a checkpoint has it; what it was made of may change afterwards.

    Raises:
        TypeError: It holds something that could not be read back without running code.
    """
    import torch

    _check_plain(state, "state")
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def _pointed(data: bytes | None, where: str) -> list[_Entry]:
    """Read the pointer.

    Raises:
        StoreError: It is damaged.
    """
    if data is None:
        return []
    try:
        entries = parse_json(data, where)["checkpoints"]
        found = [_Entry(name=str(one["name"]), step=int(one["step"]), sha256=str(one["sha256"])) for one in entries]
    except (StoreError, KeyError, TypeError, ValueError) as error:
        reason = "no JSON object" if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        raise StoreError(f"{where}: the pointer to the newest checkpoint is damaged ({reason})") from error
    if any(len(entry.sha256) < _NUM_DIGITS or "/" in entry.name for entry in found):
        raise StoreError(f"{where}: the pointer to the newest checkpoint is damaged (no SHA-256)")
    return found


def _last(name: str | None) -> str:
    return (name or "").rpartition("/")[2]


def _warn(text: str) -> None:
    warnings.warn(f"{text}: the one before is used", stacklevel=3)


def _check_plain(value: object, where: str) -> None:
    """Refuse what `weights_only` would refuse to load, while the task can still be mended."""
    import torch

    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(key, f"a key of {where}")
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple, set):
        for index, item in enumerate(value):  # type: ignore[arg-type]
            _check_plain(item, f"{where}[{index}]")
    elif not (type(value) in (*_PLAIN, bool) or isinstance(value, torch.Tensor | torch.Size | torch.dtype)):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise TypeError(
            f"checkpoint: {where} is a {kind}; expected tensors, numbers, text, bytes, and lists, tuples or dicts of "
            "them: convert it (torch.from_numpy, .tolist()), so that it can be read back without running code"
        )
