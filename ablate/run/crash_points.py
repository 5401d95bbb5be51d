"""Crashes at the named steps of the store's writes, for `ablate chaos --fault-points`.

Loaded at the start of the processes that chaos starts (through a `sitecustomize` on their path) and nowhere else: the
store itself knows nothing of it. The functions of the system through which the store writes are wrapped; a call on a
path in the store is a step with a name such as `before rename trials/*/record.json`. Every name is noted when it is
first met; in a run that crashes, the process ends, as by SIGKILL, at the first one that is still wanted.
"""

import builtins
import io
import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

STORE, LISTED = "ABLATE_CRASH_STORE", "ABLATE_CRASH_LISTED"
CRASHED, PATTERN = "ABLATE_CRASH_CRASHED", "ABLATE_CRASH_PATTERN"
"""Variables: the store's folder; the file with all names; the file with those at which a process crashed, to crash at
all; a regular expression for the names at which to crash."""
EXIT_CODE = 137
_FOLDERS = ("trials", "studies", "subjects", "code")
_REPORTS = re.compile(r"studies/\*/(figures/.*|[^/]*(report|results|contrasts|table|summary)\.[^/]*)")
_GENERAL = (
    (re.compile(r"\.[0-9a-f]{8,}\.tmp$"), ".*.tmp"),
    (re.compile(r"[0-9a-f]{16,}"), "*"),
    (re.compile(r"\d+"), "#"),
)


class CrashPoints:
    """The wrapped functions of one process.

    Args:
        store: The store's folder.
        listed: Takes the name of every step that is met, one a line; shared by all processes.
        crashed: Takes the names of those at which a process crashed; `None` to crash nowhere.
        pattern: What the names at which to crash look like.
    """

    def __init__(self, store: str, listed: Path, crashed: Path | None, pattern: str = ".*") -> None:
        self._store = os.path.join(os.path.abspath(store), "")
        self._listed, self._crashed, self._pattern = listed, crashed, re.compile(pattern)
        self._seen: set[str] = set()
        self._open, self._write, self._close = os.open, os.write, os.close
        self._known = self._lines(listed)

    def install(self) -> None:
        """Wrap the functions, for the rest of the process's life."""
        for name in ("replace", "rename", "link", "symlink"):
            setattr(os, name, self._wrapped(name, getattr(os, name), lambda args: args[1] if len(args) > 1 else None))
        for name in ("unlink", "remove", "mkdir"):
            setattr(os, name, self._wrapped(name, getattr(os, name), lambda args: args[0] if args else None))
        for name in ("fsync", "ftruncate", "write"):
            setattr(os, name, self._wrapped(name, getattr(os, name), lambda args: _path_of(args[0])))
        os.open = self._wrapped("open", os.open, lambda args: args[0] if _makes(args) else None)
        opened = self._wrapped("open", io.open, lambda args: args[0] if _writes(args) else None)
        io.open = builtins.open = opened

    def reach(self, name: str) -> None:
        """Come to a step for the first time: note it, and crash there if nobody did before."""
        if name in self._seen:
            return
        wants = self._wants(name)
        self._seen.add(name)
        if name not in self._known:
            self._append(self._listed, name)
        if wants and self._crashed is not None:
            self._append(self._crashed, name)
            os._exit(EXIT_CODE)

    def _wants(self, name: str) -> bool:
        if self._crashed is None or name in self._seen or not self._pattern.fullmatch(name):
            return False
        return name not in self._lines(self._crashed)

    def _wrapped(
        self, kind: str, call: Callable[..., Any], path_of: Callable[[tuple[Any, ...]], object]
    ) -> Callable[..., Any]:
        @wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            step = self._name(kind, path_of(args))
            if step is None:
                return call(*args, **kwargs)
            self.reach(f"before {step}")
            if kind == "write":
                self._tear(step, args)
            found = call(*args, **kwargs)
            self.reach(f"after {step}")
            return found

        return wrapper

    def _tear(self, step: str, args: tuple[Any, ...]) -> None:
        """Crash with half of the bytes written, where that is wanted."""
        name = f"within {step}"
        if self._wants(name):
            self._write(args[0], bytes(args[1])[: len(args[1]) // 2])
        self.reach(name)

    def _name(self, kind: str, path: object) -> str | None:
        """Name a call on a file of the store, the same for every trial, attempt and temporary file."""
        if not isinstance(path, str | os.PathLike):
            return None
        text = os.path.abspath(os.fspath(path))
        if not text.startswith(self._store):
            return None
        parts = text[len(self._store) :].split(os.sep)
        if parts[0] not in _FOLDERS:
            return None
        if "artifacts" in parts:
            return None  # a task's own files are the task's own business
        if parts[0] in ("trials", "studies"):
            parts[1:2] = ["*"]
        inner = "/".join(parts)
        if _REPORTS.fullmatch(inner):
            inner = "studies/*/report"
        for pattern, general in _GENERAL:
            inner = pattern.sub(general, inner)
        return f"{kind} {inner}"

    def _append(self, path: Path, name: str) -> None:
        descriptor = self._open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._write(descriptor, f"{name}\n".encode())
        self._close(descriptor)

    def _lines(self, path: Path) -> set[str]:
        try:
            descriptor = self._open(path, os.O_RDONLY)
        except FileNotFoundError:
            return set()
        try:
            return set(os.read(descriptor, 1 << 20).decode().splitlines())
        finally:
            self._close(descriptor)


def install() -> None:
    """Do what the environment asks for; nothing without it."""
    if STORE in os.environ and LISTED in os.environ:
        crashed = os.environ.get(CRASHED)
        CrashPoints(
            os.environ[STORE],
            Path(os.environ[LISTED]),
            Path(crashed) if crashed is not None else None,
            os.environ.get(PATTERN, ".*"),
        ).install()


def _path_of(descriptor: object) -> str | None:
    """Give the file behind a descriptor, where the system tells."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None


def _makes(args: tuple[Any, ...]) -> bool:
    return len(args) > 1 and isinstance(args[1], int) and bool(args[1] & os.O_CREAT)


def _writes(args: tuple[Any, ...]) -> bool:
    return len(args) > 1 and isinstance(args[1], str) and any(letter in args[1] for letter in "wxa+")
