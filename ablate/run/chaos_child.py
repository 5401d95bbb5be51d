"""A driver that is to be killed: `ablate run` in a process and session of its own, and the processes below it."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

LEFTOVER_S = 30.0
"""Time that what belonged to a killed driver or node gets to end by itself."""
_LOOK_S = 2.0
_ACTORS = ("ray::ResourceTrainable", "ray::TrialActor")
"""What Ray calls the processes of `ablate.backends.ray_trainable`, whose class Tune wraps in one with resources."""
_PROGRAM = (sys.executable, "-P", "-c", "from ablate.cli.app import main; main()")


class Child:
    """One `ablate run` at a time. Kills nothing but that process and what descends from it.

    Args:
        arguments: Of `ablate`.
        environment: Added to this process's own.
        log: Takes what it prints, one run after the other.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._command = [*_PROGRAM, *arguments]
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._leftovers: list[tuple[float, Any]] = []
        self._known: list[Any] = []
        self._looked_s = 0.0
        self.start_s = 0.0

    def start(self, **environment: str) -> None:
        """Start the command once more; the one before has ended."""
        self.start_s = time.monotonic()
        with self._log.open("ab") as log:
            log.write(f"--- {' '.join(self._command[4:])}\n".encode())
            log.flush()
            with signals_wait():
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env={**self._environment, **environment},
                )

    def wait(self, timeout_s: float) -> int | None:
        """Give the exit code, or `None` if it still runs after that time."""
        self.sweep()
        if time.monotonic() - self._looked_s > _LOOK_S:  # it may crash by itself, and leave a cluster behind
            self._known, self._looked_s = self._descendants(), time.monotonic()
        try:
            code = self._running.wait(timeout=max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            return None
        self._leave(self._known)
        return code

    def kill_driver(self) -> None:
        """End the command without a warning. What it started is left to end by itself, for a while."""
        self._leave(self._descendants())
        self._running.kill()
        self._running.wait()

    def kill_worker(self, generator: random.Random, elsewhere: Sequence[Any] = ()) -> bool:
        """End, without a warning, one of the processes that run trials.

        Args:
            generator: Decides which.
            elsewhere: Processes of a cluster that the command only joins.

        Returns:
            Whether there was one.
        """
        workers = [process for process in (*self._descendants(), *elsewhere) if _runs_trials(process)]
        if not workers:
            return False
        with gone_is_fine():
            generator.choice(workers).kill()
        return True

    def sweep(self) -> None:
        """End what outlived a killed driver for too long."""
        now_s = time.monotonic()
        for _, process in [pair for pair in self._leftovers if pair[0] < now_s]:
            with gone_is_fine():
                process.kill()
        self._leftovers = [(until_s, process) for until_s, process in self._leftovers if until_s >= now_s]

    def end(self) -> None:
        """End everything that is left of all its runs, and wait for it."""
        if self._process is not None and self._process.poll() is None:
            self.kill_driver()
        processes = [process for _, process in self._leftovers]
        for process in processes:
            with gone_is_fine():
                process.kill()
        self._leftovers = []
        if processes:
            import psutil

            psutil.wait_procs(processes, timeout=10.0)

    def last_lines(self, number: int = 15) -> str:
        """Give the end of what it printed."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-number:])

    @property
    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "start it first"
        return self._process

    def _leave(self, processes: list[Any]) -> None:
        self._leftovers += [(time.monotonic() + LEFTOVER_S, process) for process in processes]
        self._known = []

    def _descendants(self) -> list[Any]:
        import psutil

        try:
            return list(psutil.Process(self._running.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []


def _runs_trials(process: Any) -> bool:
    """Say whether a process is an actor of Ray's that runs trials: Ray writes it into the process's title."""
    title = ""
    with gone_is_fine():
        title = " ".join(process.cmdline())
    return title.startswith(_ACTORS)


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the block: a process must not be started without being known here."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    kept = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        for received in came:
            signal.raise_signal(received)


@contextlib.contextmanager
def gone_is_fine() -> Iterator[None]:
    """Let a process end before something is done to it."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        yield
