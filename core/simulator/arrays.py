"""Folders of arrays on disk: written whole or not at all, named by a content key, read by memory map."""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.typing import Shaped, Tensor

MANIFEST = "manifest.json"
Facts = dict[str, float]


def content_key(content: dict[str, Any]) -> str:
    """Hash what decides a folder's content to 20 hex digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return blake2b(text.encode(), digest_size=10).hexdigest()


def publish(folder: Path, content: dict[str, Any], fill: Callable[[Path], Facts]) -> Facts:
    """Fill a folder, unless it is there with the same content already.

    `fill` writes to a temporary folder beside, which is renamed when it is complete: whoever opens `folder` finds all
    or nothing, also when several processes publish the same content at once (the first one wins).

    Args:
        folder: Where the arrays go; replaced if its content is another.
        content: All that decides the arrays; becomes the key.
        fill: Writes the arrays to the given folder and returns facts for the manifest.
    """
    key = content_key(content)
    if (known := _manifest_of(folder, key)) is not None:
        return known["facts"]
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f"{folder.name}.draft-{uuid.uuid4().hex[:12]}")
    draft.mkdir()
    try:
        facts = fill(draft)
        manifest = {"key": key, "content": content, "facts": facts}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _replace(folder, draft, key)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return facts


def _replace(folder: Path, draft: Path, key: str) -> None:
    while True:
        try:
            os.rename(draft, folder)
            return
        except OSError:
            if not folder.exists():
                raise
        if _manifest_of(folder, key) is not None:
            return
        old = folder.with_name(f"{folder.name}.old-{uuid.uuid4().hex[:12]}")
        os.rename(folder, old)
        shutil.rmtree(old, ignore_errors=True)


def _manifest_of(folder: Path, key: str) -> dict[str, Any] | None:
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return manifest if manifest.get("key") == key else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a published folder.

    Raises:
        FileNotFoundError: Nothing was published there.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no {MANIFEST} found; expected a folder of rendered crops, render it first")
    return json.loads(path.read_text(encoding="utf-8"))


def create_bytes(path: Path, shape: tuple[int, ...]) -> Shaped[Tensor, "..."]:
    """Create an array of bytes on disk, to be written in place; it may be larger than the memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return torch.from_numpy(np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape))


def save(path: Path, array: Shaped[Tensor, "..."]) -> None:
    """Write one array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array.numpy())


def load(path: Path) -> Shaped[Tensor, "..."]:
    """Map one array into memory; writing to it changes the copy in memory only, never the file."""
    return torch.from_numpy(np.load(path, mmap_mode="c"))
