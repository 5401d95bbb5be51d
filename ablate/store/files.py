"""Files that are whole or absent: a crash at any moment leaves the old content or the new, never half of one.

Every system call of the protocol is made here, through the module `os`, and nowhere else in the store.
"""

import errno
import io
import json
import math
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ablate.errors import StoreError
from ablate.trial import Json

_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV}
_ROOM = "make room and run the same command again; what was finished stays"
_RIGHTS = "let this user write there, or choose another --store; what was finished stays"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.EIO: "the disk or its connection is faulty: check it, and copy the store elsewhere",
}


def io_error(where: object, error: Exception, doing: str = "be written") -> StoreError:
    """Say what could not be done, why, and what to do about it."""
    number = error.errno if isinstance(error, OSError) else None
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    advice = _ADVICE.get(number or 0)
    return StoreError(f"{where}: cannot {doing}: {reason}{f'; {advice}' if advice else ''}")


def temporary_name(name: str) -> str:
    """Give a name beside a file for what will be at `name`; `is_temporary` knows it again."""
    return f".{name}.{secrets.token_hex(4)}.tmp"


def write_file(path: Path, content: bytes | memoryview, *, flushed: bool = True) -> None:
    """Put `content` at `path`: into a temporary name beside it, flushed to the disk, then renamed.

    Args:
        path: The file.
        content: All of it.
        flushed: Whether it is on the disk at the end. Without, a crash of the machine (not of the process) may leave
            the file torn, and thousands of files take a second instead of a minute.

    Raises:
        StoreError: The disk is full, or the folder may not be written.
    """
    temporary = path.with_name(temporary_name(path.name))
    try:
        try:
            _fill(temporary, content, flushed=flushed)
            os.replace(temporary, path)
        except BaseException:
            _quietly_remove(temporary)
            raise
        if flushed:
            _flush(path.parent)
    except OSError as error:
        raise io_error(path, error) from error


def create_file(path: Path, content: bytes) -> bool:
    """Put `content` at `path`, whole and flushed, unless something is there: of several who try, one succeeds.

    Returns:
        Whether it was this call.

    Raises:
        StoreError: The disk is full, or the folder may not be written.
    """
    temporary = path.with_name(temporary_name(path.name))
    try:
        try:
            _fill(temporary, content, flushed=True)
            is_ours = _link(temporary, path, content)
        finally:
            _quietly_remove(temporary)
        if is_ours:
            _flush(path.parent)
    except OSError as error:
        raise io_error(path, error) from error
    return is_ours


@contextmanager
def replacing(path: Path, *, flushed: bool = True) -> Iterator[BinaryIO]:
    """Collect what will be at `path`; it is put there by `write_file` when the body ends without an error.

    Raises:
        StoreError: The disk is full, or the folder may not be written.
    """
    buffer = io.BytesIO()
    yield buffer
    write_file(path, buffer.getbuffer(), flushed=flushed)


def write_json(path: Path, content: Mapping[str, Json]) -> None:
    """Put `content` at `path` as readable JSON, whole or not at all.

    Raises:
        StoreError: The file cannot be written.
        ValueError: A number is not finite: `encode_metrics` first.
    """
    write_file(path, json_text(content))


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
    data = read_file(path)
    return None if data is None else parse_json(data, path)


def parse_json(data: bytes, where: object) -> dict[str, Json]:
    """Read the bytes of a file as a JSON object.

    Raises:
        StoreError: They are something else.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise StoreError(f"{where}: expected a JSON object: {error}; move the file away to go on without it") from error
    if not isinstance(content, dict):
        raise StoreError(f"{where}: expected a JSON object, found {type(content).__name__}; move the file away")
    return content


def read_file(path: Path) -> bytes | None:
    """Give what is in the file, or `None` where there is none.

    Raises:
        StoreError: The file is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise io_error(path, error, "be read") from error


def append_line(path: Path, line: str) -> None:
    """Add one line at the end, so that a crash can tear no line but the last.

    What a full disk took of a line is taken back.

    Raises:
        StoreError: The file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, f"{line}\n".encode())
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise io_error(path, error) from error


def encode_metrics(metrics: Mapping[str, float]) -> dict[str, Json]:
    """Make metrics storable: a number that JSON lacks becomes the text `nan`, `inf` or `-inf`."""
    return {name: value if math.isfinite(value) else str(float(value)) for name, value in metrics.items()}


def decode_metrics(content: Mapping[str, Json]) -> dict[str, float]:
    """Undo `encode_metrics`."""
    return {name: float(value) for name, value in content.items()}


def flush(path: Path) -> None:
    """Make sure of a file that was written without flushing, of its name and of its folder's; none is left so.

    Raises:
        StoreError: The disk is full or broken.
    """
    try:
        if path.is_file():
            for one in (path, path.parent, path.parent.parent):
                _flush(one)
    except OSError as error:
        raise io_error(path, error) from error


def _fill(path: Path, content: bytes | memoryview, *, flushed: bool) -> None:
    """Write a new file, making its folder if need be; new folders are made durable with it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        _make_folder(path.parent, flushed=flushed)
        descriptor = os.open(path, flags, 0o666)
    try:
        _write_all(descriptor, content)
        if flushed:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path, *, flushed: bool) -> None:
    try:
        os.mkdir(folder)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_folder(folder.parent, flushed=flushed)
        with suppress(FileExistsError):
            os.mkdir(folder)
    if flushed:
        _flush(folder.parent)


def _write_all(descriptor: int, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        num_written = os.write(descriptor, rest)
        if not num_written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[num_written:]


def _link(temporary: Path, path: Path, content: bytes) -> bool:
    """Give a whole file its final name unless that is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system may repeat a request that succeeded: then both names are one file.
        return os.stat(temporary).st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            _fill(path, content, flushed=True)
        except FileExistsError:
            return False
    return True


def _quietly_remove(path: Path) -> None:
    with suppress(OSError):
        os.unlink(path)


def _flush(path: Path) -> None:
    """Make the content of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no flushing of folders.
        if error.errno != errno.EINVAL or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    finally:
        os.close(descriptor)
