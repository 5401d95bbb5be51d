"""Nodes that die, get a preemption notice or come late: the study completes with the results of one machine."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from ablate.errors import ExitCode
from ablate.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(200)]

KEEPER = '''
"""Holds a cluster whose head has no CPUs, and does to it what it reads: "add a", "kill a", "drain a"."""

import json
import sys
import time

import psutil
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DRAIN_NODE_REASON_PREEMPTION

IMPATIENT = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 2}


def raylet(node):
    return node.all_processes["raylet"][0].process.pid


head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": sys.argv[1] + "/ray", "_system_config": IMPATIENT}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = {}
try:
    print(json.dumps(cluster.address), flush=True)
    for line in sys.stdin:
        verb, name = line.split()
        if verb == "add":
            nodes[name] = cluster.add_node(num_cpus=1)
        elif verb == "kill":
            # All of it, as when the power goes; workers that lose their raylet alone still get a SIGTERM.
            own = psutil.Process(raylet(nodes[name]))
            for process in [own, *own.children(recursive=True)]:
                process.kill()
        elif verb == "drain":
            client, deadline_ms = GcsClient(address=cluster.gcs_address), int(1000 * (time.time() + 60))
            client.drain_node(nodes[name].node_id, DRAIN_NODE_REASON_PREEMPTION, "preempted", deadline_ms)
        print(json.dumps(raylet(nodes[name])), flush=True)
finally:
    cluster.shutdown()
'''


class Keeper:
    """The cluster, by a process that can only be talked to."""

    def __init__(self, folder: Path) -> None:
        (folder / "ray").mkdir()
        script = folder / "keeper.py"
        script.write_text(KEEPER)
        # Ray leaves the address of the newest cluster in this folder; nobody else may find it.
        environment = {**os.environ, "RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
        self._log = (folder / "keeper.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        self.address = self._answer()

    def does(self, verb: str, name: str) -> int:
        """Have something done to a node, and give the process id of its raylet."""
        print(verb, name, file=self._process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        started = psutil.Process(self._process.pid).children(recursive=True)
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        finally:
            self._process.kill()
            for process in started:
                if process.is_running():
                    process.kill()
            self._log.close()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise AssertionError(f"the cluster broke down: {self._log.read()}")
        return json.loads(line)


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    with tempfile.TemporaryDirectory(prefix="nodes-", ignore_cleanup_errors=True) as folder:
        keeper = Keeper(Path(folder))
        try:
            yield keeper
        finally:
            keeper.close()


def test_a_node_dies_another_is_drained_a_third_comes_and_the_study_completes(marked_project, keeper):
    killed, drained = keeper.does("add", "a"), keeper.does("add", "b")
    started_s = time.monotonic()
    alone = subprocess.Popen(marked_project.command("alone", "--backend", "local"), stdout=subprocess.DEVNULL)
    command = marked_project.command("many", "--address", keeper.address, "--checkpoint-interval", "1")
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        marked_project.wait_for_steps("many", killed, driver, num_steps=14)
        keeper.does("kill", "a")
        added = keeper.does("add", "c")
        marked_project.wait_for_steps("many", added, driver)
        marked_project.wait_for_steps("many", drained, driver)
        keeper.does("drain", "b")
        noticed_s = time.time()
        _, errors = driver.communicate(timeout=100)
        seconds = time.monotonic() - started_s
        assert driver.returncode == ExitCode.DONE, errors
        assert alone.wait(timeout=60) == ExitCode.DONE
    finally:
        driver.kill()
        alone.kill()
    assert marked_project.results("many") == marked_project.results("alone")
    assert len(marked_project.results("many")) == 9

    marks = marked_project.marks("many")
    by_trial = {trial_id: [mark for mark in marks if mark.trial_id == trial_id] for trial_id, *_ in marks}
    moves = [move for own in by_trial.values() for move in pairwise(own) if move[0].raylet != move[1].raylet]
    again = Counter({raylet: 0 for raylet in (killed, drained)})
    for before, after in moves:
        again[before.raylet] += before.step + 1 - after.step
    assert {killed, drained} <= {before.raylet for before, _ in moves}
    assert again[drained] == 0, "the drained trial saved its state when it was told"
    assert 0 <= again[killed] <= 15
    assert max(mark.time_s for mark in marks if mark.raylet == drained) < noticed_s + 4
    attempts = {trial_id: Store("many").last_attempt(trial_id) for trial_id in marked_project.results("many")}
    assert sum(attempts.values()) <= 9 + 6
    print(
        f"9 trials on nodes that come and go: {sum(attempts.values())} attempts, {again[killed]} steps computed again "
        f"after the loss of a node, {again[drained]} after a notice, {seconds:.0f} s"
    )
