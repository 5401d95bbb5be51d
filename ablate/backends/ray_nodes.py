"""The cluster as it changes: what it has, which nodes are about to leave, whether its head answers.

All of it is asked from a thread, so that the driver never waits for a cluster that has gone silent. What workers need
to know (stop, leave this node) is put into the head's key-value store, where the workers of every node look: they
share no disk with the driver. Imported only where ray is used.
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import ray
from ray._private.state import state
from ray.experimental.internal_kv import internal_kv_get_gcs_client

LOOK_INTERVAL_S = 1.0
HEAR_INTERVAL_S = 0.5
_CALL_TIMEOUT_S = 5.0
_NAMESPACE = b"ablate"
_log = logging.getLogger(__name__)


class Nodes:
    """The driver's view of the cluster, and its voice to all workers, while its block runs.

    Args:
        key: Under which notices are left; no other run has it.
        head_timeout_s: Silence after which the head counts as gone.
    """

    def __init__(self, key: str, *, head_timeout_s: float) -> None:
        self.capacity: Mapping[str, float] = {}
        self._key = key.encode()
        self._head_timeout_s = head_timeout_s
        self._is_stopping = False
        self._said: bytes | None = None
        self._heard_at_s = time.monotonic()
        self._wake = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._keep_looking, name="nodes", daemon=True)

    def __enter__(self) -> "Nodes":
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over = True
        self._wake.set()
        self._thread.join(_CALL_TIMEOUT_S)

    @property
    def is_head_lost(self) -> bool:
        """Whether the head has not answered for too long."""
        return time.monotonic() - self._heard_at_s > self._head_timeout_s

    def ask_to_stop(self) -> None:
        """Ask the trials on all nodes to save their state and end; does not wait."""
        self._is_stopping = True
        self._wake.set()

    def _keep_looking(self) -> None:
        is_last = False
        while not is_last:
            self._wake.wait(LOOK_INTERVAL_S)
            self._wake.clear()
            is_last = self._is_over
            try:
                self._forget() if is_last else self._look()
            except Exception as error:
                _log.debug("the cluster's head does not answer: %s", error)

    def _look(self) -> None:
        # First, for it is the only call that takes a time limit.
        client = _client()
        client.internal_kv_exists(self._key, _NAMESPACE, timeout=_CALL_TIMEOUT_S)
        alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        leaving = _leaving()
        found: Counter[str] = Counter()
        for node in alive:
            if node["NodeID"] not in leaving:
                found.update(node["Resources"])
        self.capacity = dict(found)
        notice = json.dumps({"stop": self._is_stopping, "leaving": sorted(leaving)}).encode()
        if notice != self._said:
            client.internal_kv_put(self._key, notice, True, _NAMESPACE, timeout=_CALL_TIMEOUT_S)
            self._said = notice
        self._heard_at_s = time.monotonic()

    def _forget(self) -> None:
        _client().internal_kv_del(self._key, False, _NAMESPACE, timeout=_CALL_TIMEOUT_S)


def _leaving() -> set[str]:
    """Give the ids of the nodes that got a notice (preempted, drained); none where this Ray cannot tell."""
    ask: Callable[[], Mapping[str, int]] = getattr(state, "get_draining_nodes", dict)
    return set(ask())


def _client() -> Any:
    return internal_kv_get_gcs_client()  # type: ignore[no-untyped-call]


def hear_notices(key: str, *, on_stop: Callable[[], None], on_leave: Callable[[], None]) -> None:
    """Start to listen, in a worker's process and until its end, for what the driver has to say.

    Args:
        key: Of the run.
        on_stop: Called once the whole run stops.
        on_leave: Called once this node is about to leave.
    """
    node = ray.get_runtime_context().get_node_id()

    def listen() -> None:
        while True:
            time.sleep(HEAR_INTERVAL_S)
            try:
                said = _client().internal_kv_get(key.encode(), _NAMESPACE, timeout=_CALL_TIMEOUT_S)
            except Exception as error:
                _log.debug("the cluster's head does not answer: %s", error)
                continue
            notice = json.loads(said) if said else {}
            if notice.get("stop"):
                on_stop()
            if node in notice.get("leaving", ()):
                on_leave()

    threading.Thread(target=listen, name="notices", daemon=True).start()
