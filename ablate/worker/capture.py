"""Whatever a trial prints or logs goes to its log file, and nothing that others print in the meantime.

What a stack of trials prints goes to the log of each: nobody can tell whose it is, and each log stays whole by itself.

In the local backend the trial shares its process with the driver's live display and recorders, so output is told
apart by thread: threads that stood before the trial are the driver's, the trial's own and those it starts are the
trial's.
"""

import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Capture:
    """Knows which threads belong to the trial, and holds its open log.

    Args:
        logs: One per trial of a stack.
    """

    def __init__(self, logs: Sequence[TextIO]) -> None:
        self.logs = tuple(logs)
        self.log = self.logs[0] if len(logs) == 1 else cast(TextIO, _Copied(self.logs))
        """Takes what belongs to all of them."""
        me = threading.current_thread()
        self._outsiders = {thread.ident for thread in threading.enumerate() if thread is not me}
        self._suspended = threading.local()

    def is_inside(self) -> bool:
        """Say whether the current thread's output belongs to the trial."""
        return not getattr(self._suspended, "on", False) and threading.get_ident() not in self._outsiders

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Let the current thread speak for the driver meanwhile."""
        self._suspended.on = True
        try:
            yield
        finally:
            self._suspended.on = False


@contextmanager
def captured(paths: Sequence[Path]) -> Iterator[Capture]:
    """Send the trials' stdout, stderr, logging and warnings to the end of the file at each path."""
    outer_out, outer_err = sys.stdout, sys.stderr
    with ExitStack() as stack:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        files = [path.open("a", encoding="utf-8", errors="replace", buffering=1) for path in paths]
        capture = Capture([stack.enter_context(file) for file in files])
        sys.stdout = cast(TextIO, _Split(capture, outer_out))
        sys.stderr = cast(TextIO, _Split(capture, outer_err))
        try:
            with _logging_into(capture), _warnings_into(capture):
                yield capture
        finally:
            sys.stdout, sys.stderr = outer_out, outer_err


class _Copied(io.TextIOBase):
    """A stream that writes to several; what a child process inherits is the first alone."""

    def __init__(self, streams: Sequence[TextIO]) -> None:
        self._streams = streams

    def write(self, text: str) -> int:
        for stream in self._streams:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        for stream in self._streams:
            if not stream.closed:
                stream.flush()

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._streams[0].fileno()

    @property
    def closed(self) -> bool:
        return any(stream.closed for stream in self._streams)

    def writable(self) -> bool:
        return True


class _Split(io.TextIOBase):
    """A stream with two ends: the log for the trial's threads, what stood there before for all others."""

    def __init__(self, capture: Capture, outer: TextIO) -> None:
        self._capture = capture
        self._outer = outer

    def _end(self) -> TextIO:
        inside = self._capture.is_inside() and not self._capture.log.closed
        return self._capture.log if inside else self._outer

    def write(self, text: str) -> int:
        return self._end().write(text)

    def flush(self) -> None:
        self._end().flush()

    def isatty(self) -> bool:
        return self._end().isatty()

    def fileno(self) -> int:
        return self._end().fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._end().encoding

    def writable(self) -> bool:
        return True


@contextmanager
def _warnings_into(capture: Capture) -> Iterator[None]:
    """Show each of the trial's warnings in the log, whoever collects warnings outside."""
    with warnings.catch_warnings():
        outer = warnings.showwarning

        def show(message: Any, category: type[Warning], filename: str, lineno: int, *more: Any, **named: Any) -> None:
            if capture.is_inside():
                capture.log.write(warnings.formatwarning(message, category, filename, lineno))
            else:
                outer(message, category, filename, lineno, *more, **named)

        warnings.simplefilter("default")
        warnings.showwarning = show
        yield


@contextmanager
def _logging_into(capture: Capture) -> Iterator[None]:
    """Add the log as a handler of the root logger, and keep the trial's lines from the handlers that stand there.

    Where none does, Python's handler of last resort stands in: with ours it would no longer be asked.
    """
    root = logging.getLogger()
    stand_ins = [] if root.handlers or logging.lastResort is None else [logging.lastResort]
    outer_handlers, outer_level = [*root.handlers, *stand_ins], root.level

    def is_inside(record: logging.LogRecord) -> bool:
        return capture.is_inside()

    def is_outside(record: logging.LogRecord) -> bool:
        return not capture.is_inside() and record.levelno >= outer_level

    handler: logging.Handler = logging.StreamHandler(capture.log)
    handler.setFormatter(logging.Formatter(_FORMAT))
    handler.addFilter(is_inside)
    for outer in outer_handlers:
        outer.addFilter(is_outside)
    for added in (handler, *stand_ins):
        root.addHandler(added)
    root.setLevel(min(outer_level, logging.INFO))
    try:
        yield
    finally:
        root.setLevel(outer_level)
        for added in (handler, *stand_ins):
            root.removeHandler(added)
        for outer in outer_handlers:
            outer.removeFilter(is_outside)
