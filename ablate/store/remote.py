"""A store behind any URL that fsspec reaches: an object store, as a rule, with a local cache for what needs a path."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from ablate.errors import StoreError
from ablate.store.files import io_error, temporary_name
from ablate.store.lines import SegmentLines

CACHE_VARIABLE = "ABLATE_CACHE"
_NUM_THREADS = 16
_PAUSES_S = (0.5, 2.0)
_WHOLE_OR_NOT = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "memory"}
"""Schemes of object stores: what is put there appears whole, under its name, at the end."""
_EXCLUSIVE = {"memory", "file", "local"}
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)

_T = TypeVar("_T")


class RemoteMedium:
    """Objects below a URL.

    A request that fails is repeated twice. No listing is cached. Of object stores it is expected that what was
    written is read and listed by everybody from then on, as S3 promises.

    Args:
        location: The URL.

    Raises:
        StoreError: No library here reaches it.
    """

    is_remote = True

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/")
        self.root = cache_folder(self.location)
        self._scheme = self.location.partition("://")[0].partition("::")[0].lower()
        self._fs, self._base = _filesystem(self.location)

    def where(self, name: str) -> str:
        """Give the URL of a name."""
        return f"{self.location}/{name}"

    def read(self, name: str) -> bytes | None:
        """Give an object's content, or `None` where there is none."""
        with self._told(name, "be read"):
            try:
                return bytes(_repeated(lambda: self._fs.cat_file(self._at(name))))
            except (FileNotFoundError, IsADirectoryError):
                return None

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Read several objects at once."""
        return self._each(self.read, names)

    def write(self, name: str, content: bytes | memoryview, *, flushed: bool = True) -> None:
        """Put an object there, in the place of what was there."""
        with self._told(name, "be written"):
            _repeated(lambda: self._put(name, lambda path: self._fs.pipe_file(path, bytes(content))))

    def create(self, name: str, content: bytes) -> bool:
        """Put an object there unless one is there.

        Exclusive where the file system can say so. Elsewhere it is looked whether one is there, before and after:
        who finds another's content has lost.
        """
        with self._told(name, "be written"):
            if self._scheme in _EXCLUSIVE:
                try:
                    self._fs.makedirs(self._at(name).rpartition("/")[0], exist_ok=True)
                    self._fs.pipe_file(self._at(name), content, mode="create")
                except FileExistsError:
                    return False
                return True
            if self.exists(name):
                return False
            self.write(name, content)
            return self.read(name) == content

    def note(self, names: Sequence[str]) -> None:
        """Make empty objects; those that are there are found by one listing per folder."""
        there: dict[str, set[str]] = {}
        for folder in {name.rpartition("/")[0] for name in names}:
            there[folder] = set()
        folders = list(there)
        for folder, found in zip(folders, self._each(self.names, folders), strict=True):
            there[folder].update(found)
        missing = [name for name in names if name.rpartition("/")[2] not in there[name.rpartition("/")[0]]]
        self._each(lambda name: self.write(name, b""), missing)

    def flush(self, name: str) -> None:
        """What was put is durable."""

    def names(self, folder: str) -> list[str]:
        """List the names right below a folder."""
        at = self._at(folder)
        with self._told(folder, "be listed"):
            try:
                self._fs.invalidate_cache(at)
                entries = _repeated(lambda: self._fs.ls(at, detail=False))
            except (FileNotFoundError, NotADirectoryError):
                return []
        parts = [str(entry).rstrip("/").rpartition("/") for entry in entries]
        return sorted({part for parent, _, part in parts if part and parent.endswith(at.strip("/"))})

    def exists(self, name: str) -> bool:
        """Say whether there is an object of this name."""
        return self._info(name) is not None

    def modified(self, name: str) -> float | None:
        """Give the time of an object's last change, or `None`."""
        info = self._info(name)
        if info is None:
            return None
        found = next((info[key] for key in ("mtime", "LastModified", "last_modified", "created") if info.get(key)), 0.0)
        return float(found.timestamp() if hasattr(found, "timestamp") else found)

    def delete(self, name: str) -> None:
        """Remove an object."""
        with self._told(name, "be removed"):
            try:
                _repeated(lambda: self._fs.rm_file(self._at(name)))
            except FileNotFoundError:
                return

    def rename(self, name: str, to: str) -> bool:
        """Copy an object to another name, then remove it: a crash between leaves both."""
        content = self.read(name)
        if content is None:
            return False
        self.write(to, content)
        self.delete(name)
        return True

    def upload(self, path: Path, name: str) -> None:
        """Put a copy of a local file there."""
        with self._told(name, "be written"):
            _repeated(lambda: self._put(name, lambda at: self._fs.put_file(str(path), at)))

    def download(self, name: str, path: Path) -> bool:
        """Put a copy of an object at a local path, whole or not at all."""
        temporary = path.with_name(temporary_name(path.name))
        with self._told(name, "be read"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not self.exists(name):
                return False
            try:
                _repeated(lambda: self._fs.get_file(self._at(name), str(temporary)))
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        return True

    def lines(self, name: str, check: Callable[[int], None]) -> SegmentLines:
        """Give access to lines in segments."""
        return SegmentLines(self, name, check)

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    def _put(self, name: str, put: Callable[[str], object]) -> None:
        """Put an object; where files grow under their name, under another one first."""
        path = self._at(name)
        if self._scheme in _WHOLE_OR_NOT:
            put(path)
            return
        folder, _, last = path.rpartition("/")
        temporary = f"{folder}/{temporary_name(last)}"
        self._fs.makedirs(folder, exist_ok=True)
        put(temporary)
        self._fs.mv(temporary, path)

    def _info(self, name: str) -> dict[str, Any] | None:
        with self._told(name, "be read"):
            try:
                info = _repeated(lambda: self._fs.info(self._at(name)))
            except FileNotFoundError:
                return None
        return info if info.get("type") == "file" else None

    def _each(self, do: Callable[[str], _T], names: Sequence[str]) -> list[_T]:
        if len(names) < 2:
            return [do(name) for name in names]
        with ThreadPoolExecutor(min(_NUM_THREADS, len(names))) as pool:
            return list(pool.map(do, names))

    @contextmanager
    def _told(self, name: str, doing: str) -> Iterator[None]:
        """Turn whatever a client library raises into one sentence."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            raise io_error(self.where(name), error, doing) from error


def cache_folder(location: str) -> Path:
    """Give the folder of this machine that caches a remote store; nothing is lost when it is wiped."""
    given = os.environ.get(CACHE_VARIABLE)
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ablate"
    return base.absolute() / sha256(location.encode()).hexdigest()[:16]


def _repeated(do: Callable[[], _T]) -> _T:
    """Do it again after a pause where a connection failed; a wrong name or missing rights are told at once."""
    for pause_s in _PAUSES_S:
        try:
            return do()
        except _FINAL:
            raise
        except OSError as error:
            if "ACCESS_DENIED" in str(error) or "NO_SUCH_BUCKET" in str(error):
                raise
            time.sleep(pause_s)
    return do()


@cache
def _filesystem(location: str) -> tuple[Any, str]:
    """Find who speaks to a URL, and the path it has there."""
    import fsspec

    scheme, _, path = location.partition("://")
    if scheme == "s3" and not _has_s3fs():
        return _arrow_s3(), path
    more = {"auto_mkdir": True} if scheme in ("file", "local") else {}
    try:
        fs, path = fsspec.url_to_fs(location, use_listings_cache=False, **more)
    except (ImportError, ValueError) as error:
        raise StoreError(f"{location}: this store cannot be reached: {error}") from error
    return fs, str(path).rstrip("/")


def _has_s3fs() -> bool:
    from importlib.util import find_spec

    return find_spec("s3fs") is not None


def _arrow_s3() -> Any:
    """Speak S3 through pyarrow, which Ray and MLflow bring; set by the variables that all S3 tools read."""
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import S3FileSystem

    settings: dict[str, Any] = {"connect_timeout": 10, "request_timeout": 60, "allow_delayed_open": True}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        scheme, has_scheme, host = endpoint.rstrip("/").partition("://")
        settings |= {"endpoint_override": host or scheme, "scheme": scheme if has_scheme else "https"}
        region = region or "us-east-1"
    if region:
        settings["region"] = region
    return ArrowFSWrapper(S3FileSystem(**settings), skip_instance_cache=True)
