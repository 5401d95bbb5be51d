"""Files that are whole or absent: a crash at any moment leaves the old content or the new, never half of one."""

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ablate.errors import StoreError
from ablate.trial import Json


@contextmanager
def replacing(path: Path, *, flushed: bool = True) -> Iterator[BinaryIO]:
    """Write what will be at `path`: into a temporary name beside it, flushed to the disk, then renamed.

    Args:
        path: The file.
        flushed: Whether it is on the disk at the end. Without, a crash of the machine (not of the process) may leave
            the file torn, and thousands of files take a second instead of a minute.

    Raises:
        StoreError: The disk is full, or the folder may not be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                if flushed:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if flushed:
            _flush(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error


def write_json(path: Path, content: Mapping[str, Json]) -> None:
    """Put `content` at `path` as readable JSON, whole or not at all.

    Raises:
        StoreError: The file cannot be written.
        ValueError: A number is not finite: `encode_metrics` first.
    """
    with replacing(path) as file:
        file.write(json_text(content))


def json_text(content: Mapping[str, Json]) -> bytes:
    """Write readable JSON.

    Raises:
        ValueError: A number is not finite: `encode_metrics` first.
    """
    return f"{json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)}\n".encode()


def read_json(path: Path) -> dict[str, Json] | None:
    """Give the object in the file, or `None` where there is no such file.

    Raises:
        StoreError: The file is there and cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: expected a JSON object: {error}; move the file away to go on without it") from error
    if not isinstance(content, dict):
        raise StoreError(f"{path}: expected a JSON object, found {type(content).__name__}; move the file away")
    return content


def append_line(path: Path, line: str) -> None:
    """Add one line with a single write, so that a crash can tear no line but the last.

    Raises:
        StoreError: The file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            data = f"{line}\n".encode()
            if os.write(descriptor, data) != len(data):
                raise StoreError(f"{path}: the disk took only a part of a line: make room and start again")
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error


def encode_metrics(metrics: Mapping[str, float]) -> dict[str, Json]:
    """Make metrics storable: a number that JSON lacks becomes the text `nan`, `inf` or `-inf`."""
    return {name: value if math.isfinite(value) else str(float(value)) for name, value in metrics.items()}


def decode_metrics(content: Mapping[str, Json]) -> dict[str, float]:
    """Undo `encode_metrics`."""
    return {name: float(value) for name, value in content.items()}


def flush(path: Path) -> None:
    """Make sure of a file that was written without flushing, and of its name; one that is not there is left so.

    Raises:
        StoreError: The disk is full or broken.
    """
    try:
        if path.is_file():
            _flush(path)
            _flush(path.parent)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}") from error


def _flush(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
