"""A store in a folder of this machine, or of a network that mounts like one."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from ablate.store.files import create_file, flush, io_error, read_file, temporary_name, write_file
from ablate.store.lines import LocalLines


class LocalMedium:
    """Files below a folder.

    Args:
        root: The folder; made when something is written.
    """

    is_remote = False

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.location = str(self.root)

    def path(self, name: str) -> Path:
        """Give the path of a name."""
        return self.root / name

    def where(self, name: str) -> str:
        """Give the path of a name as text."""
        return str(self.root / name)

    def read(self, name: str) -> bytes | None:
        """Give a file's content, or `None` where there is none."""
        return read_file(self.root / name)

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Read several files, one after the other."""
        return [read_file(self.root / name) for name in names]

    def write(self, name: str, content: bytes | memoryview, *, flushed: bool = True) -> None:
        """Put a file there, whole or not at all."""
        write_file(self.root / name, content, flushed=flushed)

    def create(self, name: str, content: bytes) -> bool:
        """Put a file there unless one is there."""
        return create_file(self.root / name, content)

    def note(self, names: Sequence[str]) -> None:
        """Make empty files where there are none."""
        for name in names:
            path = self.root / name
            try:
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
            except OSError as error:
                raise io_error(path, error) from error

    def flush(self, name: str) -> None:
        """Make durable what was written unflushed, and the folder it lies in."""
        flush(self.root / name)

    def names(self, folder: str) -> list[str]:
        """List the names right below a folder."""
        try:
            return sorted(os.listdir(self.root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise io_error(self.root / folder, error, "be read") from error

    def exists(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        return (self.root / name).is_file()

    def modified(self, name: str) -> float | None:
        """Give the time of a file's last change, or `None`."""
        try:
            return os.stat(self.root / name).st_mtime
        except (FileNotFoundError, NotADirectoryError):
            return None

    def delete(self, name: str) -> None:
        """Remove a file."""
        try:
            os.unlink(self.root / name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise io_error(self.root / name, error, "be removed") from error

    def rename(self, name: str, to: str) -> bool:
        """Give a file another name; its folder is made."""
        try:
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.root / name, self.root / to)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise io_error(self.root / name, error, "be renamed") from error
        return True

    def upload(self, path: Path, name: str) -> None:
        """Copy a local file."""
        self._copy(path, self.root / name)

    def download(self, name: str, path: Path) -> bool:
        """Copy a file out of the store."""
        if not self.exists(name):
            return False
        self._copy(self.root / name, path)
        return True

    def lines(self, name: str, check: Callable[[int], None]) -> LocalLines:
        """Give access to a file of lines."""
        return LocalLines(self, name, check)

    def _copy(self, source: Path, target: Path) -> None:
        temporary = target.with_name(temporary_name(target.name))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise io_error(target, error) from error
