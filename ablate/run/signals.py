"""Signals of the user and of the scheduler: the first asks trials to save their state and end, the second ends now."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ablate.errors import ExitCode

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)


class StopRequest:
    """Whether a stop was asked for. Called, it answers; this is the `stopping` of backends."""

    def __init__(self) -> None:
        self.signal_name: str | None = None

    def __call__(self) -> bool:
        """Say whether to stop."""
        return self.signal_name is not None

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal: note the first, end the process at the second.

        The store is whole at every moment, so ending without any clean-up is safe; private clusters notice that
        their driver is gone and end too.
        """
        if self():
            os._exit(ExitCode.INTERRUPTED)
        self.signal_name = signal.Signals(number).name
        text = f"\n{self.signal_name}: running trials save their state and end; once more ends at once\n"
        # A write to the descriptor: the signal may have come in the middle of a print.
        os.write(2, text.encode())


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Listen for SIGINT, SIGTERM and SIGUSR2 in the block; to be entered in the main thread.

    Yields:
        The `stopping` to give to `execute`. Backends that load libraries with signal handlers of their own put ours
        back in place.
    """
    request = StopRequest()
    kept: dict[signal.Signals, Callable[..., Any] | int | None] = {
        number: signal.signal(number, request.receive) for number in STOP_SIGNALS
    }
    try:
        yield request
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
