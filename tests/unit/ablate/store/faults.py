"""A system whose calls fail or never return, for tests: every call of the store's write protocol is counted."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem


class CrashError(BaseException):
    """Stands for the end of the process: once it was raised, no call of the process has an effect any more."""


class Fault(Enum):
    """What happens at a call."""

    FULL = errno.ENOSPC
    DENIED = errno.EACCES
    BROKEN = errno.EIO
    SHORT = "short write, then no room"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"


@dataclass
class Faults:
    """Wraps the functions that change a store, and lets one call fail.

    Args:
        at: Number of the call, from 1; 0 for none.
        fault: What happens there.
        root: Only calls below this folder count.
        die: How the process ends.
    """

    at: int = 0
    fault: Fault = Fault.BROKEN
    root: Path | None = None
    die: Callable[[], None] | None = None
    calls: list[str] = field(default_factory=list)
    is_dead: bool = False
    is_full: bool = False
    descriptors: set[int] = field(default_factory=set)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Wrap the functions of `os`, and those of objects in memory."""
        for name in ("mkdir", "unlink", "replace", "rename", "link"):
            monkeypatch.setattr(os, name, self._of_path(name, getattr(os, name)))
        monkeypatch.setattr(os, "open", self._opening(os.open))
        for name in ("write", "fsync", "ftruncate"):
            # Nothing is gained by waiting for the disk of a test.
            call = (lambda _: None) if name == "fsync" else getattr(os, name)
            monkeypatch.setattr(os, name, self._of_descriptor(name, call))
        for name in ("pipe_file", "put_file", "rm_file"):
            monkeypatch.setattr(MemoryFileSystem, name, self._counted(name, getattr(MemoryFileSystem, name)))

    def _of_path(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        counted = self._counted(name, call)

        def wrapper(path: Any, *more: Any, **named: Any) -> Any:
            chosen = counted if self._is_ours(path) else call
            return chosen(path, *more, **named)

        return wrapper

    def _opening(self, call: Callable[..., int]) -> Callable[..., int]:
        counted = self._counted("open", call)

        def wrapper(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if not self._is_ours(path):
                return call(path, flags, *more, **named)
            descriptor = counted(path, flags, *more, **named)
            self.descriptors.add(descriptor)
            return descriptor

        return wrapper

    def _of_descriptor(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        counted = self._counted(name, call)

        def wrapper(descriptor: int, *more: Any) -> Any:
            chosen = counted if descriptor in self.descriptors else call
            return chosen(descriptor, *more)

        return wrapper

    def _is_ours(self, path: Any) -> bool:
        """What a task does to its own files is the task's business."""
        return self.root is not None and str(path).startswith(str(self.root)) and "artifacts" not in str(path)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **named: Any) -> Any:
            if self.is_dead:
                raise CrashError
            self.calls.append(name)
            if self.is_full and name == "write":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if len(self.calls) != self.at:
                return call(*args, **named)
            if self.fault is Fault.SHORT and name == "write":
                self.is_full = True
                return call(args[0], bytes(args[1])[: len(args[1]) // 2])
            if self.fault is Fault.CRASH_BEFORE:
                if name == "write":
                    call(args[0], bytes(args[1])[: len(args[1]) // 2])
                self._end()
            if self.fault is Fault.CRASH_AFTER:
                with suppress(OSError):
                    call(*args, **named)
                self._end()
            if isinstance(self.fault.value, int):
                raise OSError(self.fault.value, os.strerror(self.fault.value))
            return call(*args, **named)

        return wrapper

    def _end(self) -> None:
        if self.die is not None:
            self.die()
        self.is_dead = True
        raise CrashError
