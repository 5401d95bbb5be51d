import json
import threading
import time
from types import SimpleNamespace

import pytest

from ablate.backends import ray_nodes

NODES = [
    {"NodeID": "a", "Alive": True, "Resources": {"CPU": 2.0}},
    {"NodeID": "b", "Alive": True, "Resources": {"CPU": 3.0, "GPU": 1.0}},
    {"NodeID": "dead", "Alive": False, "Resources": {"CPU": 9.0}},
]


class FakeHead:
    """The head's key-value store, and what it tells of nodes."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.is_gone = False
        self.draining: dict[str, int] = {}

    def internal_kv_exists(self, key, namespace, timeout):
        if self.is_gone:
            raise RuntimeError("Timed out while waiting for GCS to become available.")
        return key in self.kept

    def internal_kv_put(self, key, value, overwrite, namespace, timeout):
        self.kept[key] = value

    def internal_kv_get(self, key, namespace, timeout):
        return self.kept.get(key)

    def internal_kv_del(self, key, by_prefix, namespace, timeout):
        del self.kept[key]


@pytest.fixture
def head(monkeypatch) -> FakeHead:
    head = FakeHead()
    monkeypatch.setattr(ray_nodes, "_client", lambda: head)
    monkeypatch.setattr(ray_nodes.ray, "nodes", lambda: NODES)
    monkeypatch.setattr(ray_nodes, "state", SimpleNamespace(get_draining_nodes=lambda: head.draining))
    monkeypatch.setattr(ray_nodes, "LOOK_INTERVAL_S", 0.01)
    monkeypatch.setattr(ray_nodes, "HEAR_INTERVAL_S", 0.01)
    return head


def _wait(is_true) -> None:
    deadline_s = time.monotonic() + 5
    while not is_true():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_what_leaves_or_is_dead_does_not_count(head):
    with ray_nodes.Nodes("key", head_timeout_s=5) as nodes:
        assert nodes.capacity == {"CPU": 5.0, "GPU": 1.0}
        head.draining = {"b": 0}
        _wait(lambda: nodes.capacity == {"CPU": 2.0})
        _wait(lambda: json.loads(head.kept[b"key"]) == {"stop": False, "leaving": ["b"]})
    assert head.kept == {}


def test_a_ray_that_cannot_tell_of_notices_is_no_fault(head, monkeypatch):
    monkeypatch.setattr(ray_nodes, "state", SimpleNamespace())
    with ray_nodes.Nodes("key", head_timeout_s=5) as nodes:
        assert nodes.capacity == {"CPU": 5.0, "GPU": 1.0}


@pytest.mark.parametrize(("node", "heard"), [("a", ["stop"]), ("b", ["leave", "stop"])])
def test_workers_hear_of_the_stop_and_of_a_notice_for_their_node_only(head, monkeypatch, node, heard):
    monkeypatch.setattr(ray_nodes.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: node))
    stop, leave = threading.Event(), threading.Event()
    ray_nodes.hear_notices("key", on_stop=stop.set, on_leave=leave.set)
    with ray_nodes.Nodes("key", head_timeout_s=5) as nodes:
        time.sleep(0.1)
        assert not stop.is_set() and not leave.is_set()
        head.draining = {"b": 0}
        nodes.ask_to_stop()
        _wait(stop.is_set)
        _wait(lambda: leave.is_set() or "leave" not in heard)
    assert [name for name, event in (("leave", leave), ("stop", stop)) if event.is_set()] == heard


def test_a_head_counts_as_lost_after_its_time_and_not_before(head):
    with ray_nodes.Nodes("key", head_timeout_s=0.3) as nodes:
        time.sleep(0.5)
        assert not nodes.is_head_lost
        head.is_gone = True
        assert not nodes.is_head_lost
        _wait(lambda: nodes.is_head_lost)
