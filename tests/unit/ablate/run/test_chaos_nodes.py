"""The cluster of `ablate chaos`, with plain processes in the place of Ray's."""

import os
import random
import time

import psutil
import pytest

from ablate.errors import BackendError
from ablate.run.chaos_nodes import NUM_NODES, PrivateNodes, node_size
from ablate.trial import Resources, TrialSpec

SLEEP = "import time; time.sleep(600)"
KEEPER = f"""
import json, subprocess, sys
print(json.dumps("here"), flush=True)
node = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); " + {SLEEP!r}
for _ in sys.stdin:
    print(json.dumps(subprocess.Popen([sys.executable, "-c", node]).pid), flush=True)
"""
"""Nodes of two processes each; at its end it forgets to end them."""


@pytest.fixture
def nodes(tmp_path):
    return PrivateNodes(num_cpus=1, num_gpus=0, log=tmp_path / "cluster.log", keeper=KEEPER)


def wait(is_true):
    deadline_s = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def is_dead(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_killed_node_is_replaced_and_in_the_end_all_are_gone(nodes):
    whole, alone, generator = 0, 0, random.Random(0)
    with nodes:
        assert nodes.address == "here"
        seen = []
        for _ in range(6):
            wait(lambda: len(nodes.processes()) == NUM_NODES)  # below each raylet, one
            workers = nodes.processes()
            raylets = [worker.parent() for worker in workers]
            seen += [*workers, *raylets]
            assert nodes.kill_node(generator)
            wait(lambda there=raylets: sum(is_dead(each) for each in there) == 1)
            killed = next(at for at, raylet in enumerate(raylets) if is_dead(raylet))
            assert not is_dead(workers[1 - killed])
            time.sleep(0.05)
            whole, alone = whole + is_dead(workers[killed]), alone + (not is_dead(workers[killed]))
    assert whole and alone
    assert len({process.pid for process in seen}) == 2 * (NUM_NODES + 5)
    wait(lambda: all(map(is_dead, seen)))


def test_what_outlives_its_raylet_ends_after_a_while(nodes, monkeypatch):
    monkeypatch.setattr("ablate.run.chaos_nodes.LEFTOVER_S", 0.0)
    monkeypatch.setattr("ablate.run.chaos_nodes._SHARE_OF_RAYLETS", 1.0)
    with nodes:
        wait(lambda: len(nodes.processes()) == NUM_NODES)
        workers = nodes.processes()
        nodes.kill_node(random.Random(0))
        wait(lambda: len(nodes.processes()) == NUM_NODES)
        wait(lambda: sum(is_dead(worker) for worker in workers) == 1)


def test_no_node_is_killed_where_none_stands(nodes):
    with nodes:
        wait(lambda: len(nodes.processes()) == NUM_NODES)
        os.kill(psutil.Process(nodes._process.pid).pid, 19)  # SIGSTOP: no replacement comes
        generator = random.Random(0)
        assert [nodes.kill_node(generator) for _ in range(NUM_NODES + 1)] == [True] * NUM_NODES + [False]
        os.kill(nodes._process.pid, 18)


@pytest.mark.parametrize("keeper", ["raise SystemExit('no luck')", "print('\"here\"'); raise SystemExit('no luck')"])
def test_a_cluster_that_breaks_down_is_told_with_what_it_said(tmp_path, keeper):
    nodes = PrivateNodes(num_cpus=1, num_gpus=0, log=tmp_path / "cluster.log", keeper=keeper)
    with pytest.raises(BackendError, match="the private cluster broke down:\nno luck"), nodes:
        pass


@pytest.mark.parametrize(
    ("wanted", "size"), [({}, (1, 0)), ({"num_cpus": 2.5}, (3, 0)), ({"num_cpus": 5, "num_gpus": 0.5}, (5, 1))]
)
def test_a_node_is_large_enough_for_every_trial(monkeypatch, wanted, size):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    specs = [TrialSpec(task="toy:run", parameters={}, seed=0)]
    specs.append(TrialSpec(task="toy:run", parameters={}, seed=1, resources=Resources(**wanted)))
    assert node_size({spec.id: spec for spec in specs}) == size
