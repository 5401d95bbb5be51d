"""A private cluster to run a study on, whose nodes are killed; `ablate.backends.ray_private` holds it."""

import contextlib
import json
import math
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ablate.errors import BackendError
from ablate.run.chaos_child import LEFTOVER_S, gone_is_fine, signals_wait
from ablate.trial import TrialSpec

NUM_NODES = 2
"""Beside the head, which runs no trials."""
_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 20.0
_SHARE_OF_RAYLETS = 0.5
"""Of the kills of nodes, those that hit the raylet alone; with the others all of the node is gone, as without power."""
_KEEPER = "import sys; from ablate.backends.ray_private import keep; keep(*map(int, sys.argv[1:]))"


class PrivateNodes:
    """A head and some nodes, while its block runs. Kills nothing but what it started.

    Args:
        num_cpus: Of each node.
        num_gpus: Of each node; nodes use the same ones.
        log: Takes what the cluster prints.
        keeper: The Python program that holds the cluster.
    """

    def __init__(self, *, num_cpus: int, num_gpus: int, log: Path, keeper: str = _KEEPER) -> None:
        self._command = [sys.executable, "-P", "-c", keeper, str(num_cpus), str(num_gpus)]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._raylets: list[Any] = []
        self._orphans: list[tuple[float, Any]] = []
        self._num_coming = 0
        self.address = ""

    def __enter__(self) -> "PrivateNodes":
        try:
            with self._log.open("ab") as log, signals_wait():
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    bufsize=0,
                    start_new_session=True,
                )
            self.address = str(self._answer())
            for _ in range(NUM_NODES):
                self._add()
            while self._num_coming:
                self._arrive(self._answer())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def kill_node(self, generator: random.Random) -> bool:
        """End a node without a warning: its raylet, or all of it. Another one is started in its place.

        Returns:
            Whether there was one.

        Raises:
            BackendError: The cluster broke down.
        """
        self._look()
        if not self._raylets:
            return False
        raylet = self._raylets.pop(generator.randrange(len(self._raylets)))
        children = _below(raylet)
        with gone_is_fine():
            raylet.kill()
        if generator.random() < _SHARE_OF_RAYLETS:
            self._orphans += [(time.monotonic() + LEFTOVER_S, child) for child in children]
        else:
            _kill(children)
        self._add()
        return True

    def processes(self) -> list[Any]:
        """Give the processes of all nodes; those that run trials are among them."""
        self._look()
        return [process for raylet in self._raylets for process in _below(raylet)]

    def _add(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is told when the answer does not come
            self._process.stdin.write(b"\n")
        self._num_coming += 1

    def _look(self) -> None:
        """See which nodes have come meanwhile, and end what outlived its raylet for too long."""
        now_s = time.monotonic()
        _kill([process for until_s, process in self._orphans if until_s < now_s])
        self._orphans = [(until_s, process) for until_s, process in self._orphans if until_s >= now_s]
        while self._num_coming and self._has_answer(0.0):
            self._arrive(self._answer())

    def _arrive(self, pid: str | int) -> None:
        import psutil

        self._num_coming -= 1
        try:
            self._raylets.append(psutil.Process(int(pid)))
        except psutil.NoSuchProcess as error:
            raise self._broken() from error

    def _has_answer(self, timeout_s: float) -> bool:
        assert self._process is not None and self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], timeout_s)[0])

    def _answer(self) -> str | int:
        assert self._process is not None and self._process.stdout is not None
        line = self._process.stdout.readline() if self._has_answer(_START_TIMEOUT_S) else b""
        if not line:
            raise self._broken()
        answer: str | int = json.loads(line)
        return answer

    def _broken(self) -> BackendError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        return BackendError("\n".join(["the private cluster broke down:", *lines]))

    def _close(self) -> None:
        """Let it go down by itself, then end what is left of it."""
        if self._process is None:
            return
        import psutil

        left = [process for _, process in self._orphans]
        with gone_is_fine():
            left += psutil.Process(self._process.pid).children(recursive=True)
        try:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_END_TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
            _kill(left)
            psutil.wait_procs(left, timeout=_END_TIMEOUT_S)


def node_size(specs: Mapping[str, TrialSpec]) -> tuple[int, int]:
    """Give the CPUs and GPUs of a node: a share of this machine, and enough for each of the trials."""
    resources = [spec.resources for spec in specs.values()]
    share = len(os.sched_getaffinity(0)) // NUM_NODES
    num_cpus = max(1, share, math.ceil(max((one.num_cpus for one in resources), default=1.0)))
    return num_cpus, math.ceil(max((one.num_gpus for one in resources), default=0.0))


def _below(process: Any) -> list[Any]:
    with gone_is_fine():
        return list(process.children(recursive=True))
    return []


def _kill(processes: Sequence[Any]) -> None:
    for process in processes:
        with gone_is_fine():
            process.kill()
