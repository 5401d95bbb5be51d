"""`ablate chaos --what nodes` in earnest: nodes of a private cluster die, as workers and driver do; all of it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from ablate.errors import ExitCode

pytestmark = [pytest.mark.chaos, pytest.mark.ray, pytest.mark.timeout(900)]

PROGRAM = Path(sys.executable).with_name("ablate")
NUM_KILLS = 12
SLOW_STEP = ("        error = state[", "        __import__('time').sleep(0.05)\n        error = state[")


@pytest.fixture
def start_chaos(toy_project):
    """Start `ablate chaos` on the toy study with steps of 50 ms; it is known by a variable of its environment."""
    toy_project.edit(*SLOW_STEP, "toy/tasks.py")

    def call(*options: object) -> "subprocess.Popen[str]":
        command = [PROGRAM, "chaos", "studies/toy.yaml", "--checkpoint-interval", 0.2, *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CHAOS_OF": str(toy_project.root)}
        text = [str(part) for part in command]
        return subprocess.Popen(text, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return call


def alive(root: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("CHAOS_OF") == str(root)
        except psutil.Error:
            continue
        if is_ours and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_nodes_workers_and_driver_are_killed_and_all_comes_out_the_same(toy_project, start_chaos, tmp_path, capsys):
    options = ("--what", "workers,driver,nodes", "--kills", NUM_KILLS, "--seed", 5)
    done = start_chaos("method.num_steps=150", "replicates=3", *options, "--json", "--keep", tmp_path / "kept")
    answer, errors = done.communicate()
    assert done.returncode == ExitCode.DONE, errors
    found = json.loads(answer)
    kinds = Counter(kill["what"] for kill in found["kills"])
    assert found["is_equal"] and found["num_finished"] == found["num_trials"]
    assert kinds.total() >= NUM_KILLS and kinds.keys() == {"worker", "driver", "node"}
    assert alive(toy_project.root) == []
    steps_s = {kind: _figures(found, kind, "first_step_s") for kind in kinds}
    with capsys.disabled():
        print(
            f"\nkills {dict(kinds)}; to the first new step {steps_s} s; lost work {_figures(found, 'node', 'lost_s')} s"
        )
    assert steps_s["node"], "a trial went on after the loss of its node"


def _figures(found: dict, kind: str, name: str) -> list[float]:
    return [round(kill[name], 1) for kill in found["kills"] if kill["what"] == kind and kill[name]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_cluster_goes_with_whoever_started_it(toy_project, start_chaos, number):
    process = start_chaos("method.num_steps=400", "--what", "nodes", "--kills", 50, "--no-mlflow")
    for line in process.stderr:
        if "kill 1 (node)" in line:
            break
    assert any(each.name() == "raylet" for each in alive(toy_project.root))
    process.send_signal(number)
    process.wait(timeout=120)
    # A run whose chaos was killed finds its cluster gone, says so, and ends.
    deadline_s = time.monotonic() + 90
    while alive(toy_project.root) and time.monotonic() < deadline_s:
        time.sleep(0.5)
    assert alive(toy_project.root) == []
    for pipe in (process.stdout, process.stderr):
        pipe.close()
