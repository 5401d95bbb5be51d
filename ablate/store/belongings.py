"""A trial's files and log in a remote store: written on the worker's disk, brought to the store, fetched on demand.

Files lie as `files/<digest>/<name>`, so that none is ever overwritten; `artifacts/<attempt>.json` lists those of an
attempt with size and SHA-256. Logs lie as `log/<attempt>.txt`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from ablate.errors import StoreError
from ablate.store.files import io_error, json_text, parse_json
from ablate.store.medium import Medium
from ablate.trial import Json

_NUM_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file as the store has it; `name` is its object's."""

    name: str
    num_bytes: int
    sha256: str


class Belongings:
    """Moves the files and logs of trials between a remote store and its cache.

    Args:
        medium: The remote store.
    """

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._digests: dict[tuple[Path, int, int], str] = {}
        """SHA-256 of files by path, size and time of change."""
        self._manifests: dict[tuple[str, int], dict[str, _File]] = {}
        self._logged: dict[str, int] = {}

    def artifacts(self, trial_id: str) -> Path:
        """Give the folder of a trial's files in the cache."""
        return self._medium.root / "trials" / trial_id / "artifacts"

    def log(self, trial_id: str, attempt: int) -> Path:
        """Give the path of what an attempt prints, in the cache."""
        return self._medium.root / "trials" / trial_id / f"log-{attempt:04d}.txt"

    def begin(self, trial_id: str, attempt: int) -> None:
        """Make the cache ready for an attempt: it finds the files that the one before brought to the store."""
        newest = max((number for number in self._attempts(trial_id) if number < attempt), default=0)
        self._fetch(trial_id, self._manifest(trial_id, newest))
        self.log(trial_id, attempt).unlink(missing_ok=True)

    def bring(self, trial_id: str, attempt: int) -> None:
        """Bring what an attempt made so far to the store: its log, then its files, then their list."""
        self.bring_log(trial_id, attempt)
        known = {file.sha256: file for number in self._attempts(trial_id) for file in self._listed(trial_id, number)}
        listed: dict[str, _File] = {}
        for path in _files(self.artifacts(trial_id)):
            digest = self._digest(path)
            if digest not in known:
                name = f"trials/{trial_id}/files/{digest[:_NUM_DIGITS]}/{path.name}"
                self._medium.upload(path, name)
                known[digest] = _File(name=name, num_bytes=path.stat().st_size, sha256=digest)
            listed[path.relative_to(self.artifacts(trial_id)).as_posix()] = known[digest]
        if self._manifests.get((trial_id, attempt)) != listed:
            content: dict[str, Json] = {"files": {path: asdict(file) for path, file in listed.items()}}
            self._medium.write(_manifest_name(trial_id, attempt), json_text(content))
            self._manifests[trial_id, attempt] = listed

    def bring_log(self, trial_id: str, attempt: int) -> None:
        """Bring an attempt's log to the store, if it grew."""
        path = self.log(trial_id, attempt)
        size = path.stat().st_size if path.is_file() else 0
        name = _log_name(trial_id, attempt)
        if size > self._logged.get(name, 0):
            self._medium.upload(path, name)
            self._logged[name] = size

    def fetch(self, trial_id: str, attempt: int) -> None:
        """Make the cache hold just the files of a finished attempt.

        Raises:
            StoreError: One is gone or damaged in the store.
        """
        manifest = self._manifest(trial_id, attempt)
        if manifest is None:
            where = self._medium.where(_manifest_name(trial_id, attempt))
            raise StoreError(f"{where}: the list of the trial's files is gone; run the trial again with --reuse none")
        self._fetch(trial_id, manifest)

    def fetch_log(self, trial_id: str) -> Path:
        """Put the logs of all attempts, one after the other, in one file of the cache."""
        names = self._medium.names(f"trials/{trial_id}/log")
        path = self._medium.root / "trials" / trial_id / "log.txt"
        parts = self._medium.read_many([f"trials/{trial_id}/log/{name}" for name in names])
        if parts:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"".join(part or b"" for part in parts))
            except OSError as error:
                raise io_error(path, error) from error
        return path

    def _fetch(self, trial_id: str, manifest: dict[str, _File] | None) -> None:
        folder, wanted = self.artifacts(trial_id), manifest or {}
        for path in _files(folder):
            if path.relative_to(folder).as_posix() not in wanted:
                path.unlink(missing_ok=True)
        for relative, file in wanted.items():
            path = folder / relative
            if not path.resolve().is_relative_to(folder.resolve()):
                raise StoreError(f"{self._medium.where(file.name)}: the list of the trial's files names {relative!r}")
            if self._is_there(path, file):
                continue
            if not self._medium.download(file.name, path) or not self._is_there(path, file):
                path.unlink(missing_ok=True)
                raise StoreError(
                    f"{self._medium.where(file.name)}: a file of trial {trial_id} is gone or damaged; "
                    "run the trial again with --reuse none"
                )

    def _is_there(self, path: Path, file: _File) -> bool:
        return path.is_file() and path.stat().st_size == file.num_bytes and self._digest(path) == file.sha256

    def _digest(self, path: Path) -> str:
        found = path.stat()
        key = (path, found.st_size, found.st_mtime_ns)
        if key not in self._digests:
            with path.open("rb") as file:
                digest = sha256()
                while block := file.read(1 << 20):
                    digest.update(block)
            self._digests[key] = digest.hexdigest()
        return self._digests[key]

    def _attempts(self, trial_id: str) -> list[int]:
        names = self._medium.names(f"trials/{trial_id}/artifacts")
        return [int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()]

    def _listed(self, trial_id: str, attempt: int) -> list[_File]:
        return list((self._manifest(trial_id, attempt) or {}).values())

    def _manifest(self, trial_id: str, attempt: int) -> dict[str, _File] | None:
        """Read which files an attempt listed, and remember it.

        Raises:
            StoreError: The list is damaged.
        """
        if (trial_id, attempt) in self._manifests:
            return self._manifests[trial_id, attempt]
        name = _manifest_name(trial_id, attempt)
        data = self._medium.read(name) if attempt else None
        if data is None:
            return None
        where = self._medium.where(name)
        try:
            files = {path: _File(**entry) for path, entry in parse_json(data, where)["files"].items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise StoreError(f"{where}: not a list of a trial's files ({error!r})") from error
        self._manifests[trial_id, attempt] = files
        return files


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file()) if folder.is_dir() else iter(())


def _manifest_name(trial_id: str, attempt: int) -> str:
    return f"trials/{trial_id}/artifacts/{attempt:04d}.json"


def _log_name(trial_id: str, attempt: int) -> str:
    return f"trials/{trial_id}/log/{attempt:04d}.txt"
