"""Checkpoints of one trial: written aside, renamed, hashed, the pointer last; the last two are kept."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ablate.store.files import read_json, replacing, write_json
from ablate.trial import Json

NUM_KEPT = 2
_PLAIN = (int, float, complex, str, bytes, type(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trial's state after `step`."""

    step: int
    state: dict[str, Any]


class Checkpoints:
    """The checkpoint folder of one trial.

    `latest.json` names the newest checkpoint and the one before, each with the SHA-256 of its file. A file that does
    not hash to what the pointer says (torn, or corrupted later) is passed over with a warning. Nothing is ever
    unpickled that could run code (`torch.load(weights_only=True)`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pointer = folder / "latest.json"

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Write the state after `step`.

        Raises:
            StoreError: It cannot be written.
            TypeError: The state holds something that could not be read back without running code.
        """
        import torch

        _check_plain(state, "state")
        name = f"{step}.pt"
        with replacing(self._folder / name) as file:
            torch.save(dict(state), file)
        digest = _sha256(self._folder / name)
        older = [entry for entry in self._entries() if entry["step"] < step]
        newest = {"name": name, "step": step, "sha256": digest}
        write_json(self._pointer, {"checkpoints": [newest, *older[: NUM_KEPT - 1]]})
        for entry in older[NUM_KEPT - 1 :]:
            (self._folder / str(entry["name"])).unlink(missing_ok=True)

    def load(self) -> Checkpoint | None:
        """Give the newest checkpoint that is whole, or `None`."""
        import torch

        for entry in self._entries():
            path = self._folder / str(entry["name"])
            try:
                found = _sha256(path)
            except OSError as error:
                warnings.warn(f"{path}: checkpoint cannot be read ({error}): the one before is used", stacklevel=2)
                continue
            if found == entry["sha256"]:
                return Checkpoint(step=entry["step"], state=torch.load(path, map_location="cpu", weights_only=True))
            warnings.warn(f"{path}: checkpoint is torn or corrupted: the one before is used", stacklevel=2)
        return None

    def latest_step(self) -> int | None:
        """Give the step of the newest checkpoint without reading it."""
        entries = self._entries()
        return entries[0]["step"] if entries else None

    def drop(self) -> None:
        """Remove all checkpoints.

        Raises:
            OSError: They cannot be removed.
        """
        self._pointer.unlink(missing_ok=True)
        for path in self._folder.glob("*.pt"):
            path.unlink(missing_ok=True)

    def _entries(self) -> list[dict[str, Json]]:
        pointer = read_json(self._pointer)
        return list(pointer["checkpoints"]) if pointer else []


def _sha256(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


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
