"""Runs that are ended from outside: what was finished is never run again, and the message says how to go on."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from ablate.errors import ExitCode

STUDY = "studies/toy.yaml"
ENDLESS = '''
"""A task whose rough arm ends only where it is told that it may."""

import itertools
import os

from toy.tasks import Data, Method


def run(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    """Report for ever, or once."""
    for step in itertools.count(1):
        trial.report(step, {"error": 1.0})
        if method.sigma_mm != 20 or "TOY_MAY_END" in os.environ:
            return {"error": 1.0 + seed + method.sigma_mm, "multi/error": 1.0}
'''


@pytest.fixture
def running(toy_project, start_ablate):
    """A run that has finished four of its nine trials and is in the midst of the fifth, which never ends."""
    toy_project.write("toy/endless.py", ENDLESS)
    toy_project.edit("task: toy.tasks:run", "task: toy.endless:run")
    process = start_ablate("run", STUDY, "--backend", "local", "--mlflow", "off")
    try:
        for line in process.stderr:
            if "ours seed 0: finished" in line:
                break
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def attempts(store: Path) -> list[int]:
    return sorted(len(list(path.glob("*.json"))) for path in store.glob("trials/*/attempts"))


def go_on(ablate, toy_project) -> None:
    """Run the same command to its end; only a trial that had started, but not finished, is started twice."""
    done = ablate("run", STUDY, "--backend", "local", "--mlflow", "off", TOY_MAY_END="yes")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "4 finished, 5 to run" in done.stdout
    assert "9 of 9 trials are done, 5 of them in this run" in done.stdout
    assert attempts(toy_project.root / "runs") in ([1] * 8 + [2], [1] * 9)


def test_a_killed_run_goes_on_where_it_was(running, ablate, toy_project) -> None:
    running.send_signal(signal.SIGKILL)
    assert running.wait(timeout=60) == -signal.SIGKILL
    assert "4 finished; 5 running or still to run" in ablate("status", "toy").stdout
    go_on(ablate, toy_project)


def test_an_interrupted_run_says_how_to_go_on(running, ablate, toy_project) -> None:
    running.send_signal(signal.SIGINT)
    said = running.stderr.read()
    assert running.wait(timeout=60) == ExitCode.INTERRUPTED
    assert "interrupted with 5 trials left; go on with: " in said
    assert "Traceback" not in said
    go_on(ablate, toy_project)


def test_the_message_is_a_command_that_works(running, toy_project) -> None:
    running.send_signal(signal.SIGTERM)
    command = running.stderr.read().splitlines()[-1].rpartition("go on with: ")[2]
    running.wait(timeout=60)
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False, env={**os.environ, "TOY_MAY_END": "yes"}
    )
    assert done.returncode == ExitCode.DONE, done.stderr
