"""One driver at a time, as people meet it: a second one is refused, a stopped or killed one is followed at once."""

import json
import os
import re
import signal
import subprocess
import time

import pytest

from ablate.errors import ExitCode
from ablate.store import Store
from ablate.trial import Status

STUDY = "studies/toy.yaml"
OPTIONS = ("--backend", "local", "--mlflow", "off")
ENDLESS = '''
"""A task whose rough arm ends only where it is told that it may."""

import itertools
import os
import time

from toy.tasks import Data, Method


def run(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    """Report for ever, or once."""
    state = trial.restore() or {"step": 0}
    for step in itertools.count(state["step"] + 1):
        time.sleep(0.01)
        trial.report(step, {"error": 1.0}, state=lambda: {"step": step})
        if method.sigma_mm != 20 or "TOY_MAY_END" in os.environ:
            return {"error": 1.0 + seed + method.sigma_mm, "multi/error": 1.0}
'''


@pytest.fixture
def endless(toy_project, start_ablate):
    """Start runs that come to a trial which never ends; all are ended with the test."""
    toy_project.write("toy/endless.py", ENDLESS)
    toy_project.edit("task: toy.tasks:run", "task: toy.endless:run")
    started = []

    def start() -> subprocess.Popen[str]:
        process = start_ablate("run", STUDY, *OPTIONS)
        started.append(process)
        for line in process.stderr:
            if "ours seed 0: finished" in line:
                break
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_second_driver_is_refused_and_status_tells_of_the_first(endless, ablate, toy_project):
    first = endless()
    trials = toy_project.root / "runs" / "trials"
    second = ablate("run", STUDY, *OPTIONS)
    assert second.returncode == ExitCode.WRONG_INPUT
    assert re.search(rf"study toy: a driver is at work: host \S+, pid {first.pid}, since 2", second.stderr)
    assert re.search(rf"sign of life \d+ s ago. Wait for it, or stop it with `kill -TERM {first.pid}`", second.stderr)
    assert not list(trials.glob("*/attempts/0002.json"))
    assert f"a driver is at work: host {os.uname().nodename}, pid {first.pid}" in ablate("status", "toy").stdout
    assert json.loads(ablate("status", "toy", "--json").stdout)["driver"]["pid"] == first.pid


def test_a_stopped_driver_gives_the_lease_back(endless, ablate, toy_project):
    first = endless()
    time.sleep(0.5)
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=60) == ExitCode.INTERRUPTED
    said = first.stderr.read()
    assert "running trials save their state" in said and "go on with:" in said
    assert not (toy_project.root / "runs/studies/toy/driver.json").exists()
    assert "a driver is at work" not in ablate("status", "toy").stdout
    assert ablate("run", STUDY, *OPTIONS, TOY_MAY_END="yes").returncode == ExitCode.DONE


@pytest.mark.parametrize("ending", ["second signal", "SIGKILL"])
def test_a_driver_that_ends_at_once_is_followed_at_once(endless, ablate, toy_project, ending):
    first = endless()
    if ending == "SIGKILL":
        first.kill()
    else:
        # Stopped in between, it gets both signals before it can act on the first.
        first.send_signal(signal.SIGSTOP)
        first.send_signal(signal.SIGTERM)
        first.send_signal(signal.SIGUSR2)
        first.send_signal(signal.SIGCONT)
    code = first.wait(timeout=60)
    assert code in (ExitCode.INTERRUPTED, -signal.SIGKILL)
    assert (toy_project.root / "runs/studies/toy/driver.json").exists()
    assert "a driver is at work" not in ablate("status", "toy").stdout
    done = ablate("run", STUDY, *OPTIONS, TOY_MAY_END="yes")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert not list((toy_project.root / "runs").rglob("*.damaged-*"))


def test_a_driver_whose_lease_was_taken_stops_like_one_that_was_told_to(endless, toy_project):
    first = endless()
    note = toy_project.root / "runs/studies/toy/driver.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"token": "theirs", "host": "node7", "pid": 4321}))
    assert first.wait(timeout=60) == ExitCode.INTERRUPTED
    said = first.stderr.read()
    assert "another driver has taken over (host node7, pid 4321)" in said
    assert "go on with:" in said
    assert json.loads(note.read_text())["token"] == "theirs"


BROKEN = '''
"""A task that loses the right to write its curves, as on a disk that is full."""

import os
import time

from toy.tasks import Data, Method


def run(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    """The rough arm breaks; the others go on for as long as they may."""
    state = trial.restore() or {"step": 0}
    if method.sigma_mm == 20:
        trials = trial.artifact("x").parents[2]
        end_s = time.monotonic() + float(os.environ["TOY_WAITS_S"])
        while not list(trials.glob("*/curves.jsonl")) and time.monotonic() < end_s:
            time.sleep(0.1)
        curves = trial.artifact("x").parents[1] / "curves.jsonl"
        curves.unlink(missing_ok=True)
        curves.mkdir()
    for step in range(state["step"] + 1, 400):
        trial.report(step, {"error": 1.0}, state=lambda: {"step": step})
        time.sleep(0.05)
    return {"error": 1.0, "multi/error": 1.0}
'''


@pytest.mark.timeout(200)
@pytest.mark.parametrize("backend", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_store_that_cannot_be_written_ends_the_run_and_the_others_save(toy_project, ablate, backend):
    toy_project.write("toy/broken.py", BROKEN)
    toy_project.edit("task: toy.tasks:run", "task: toy.broken:run")
    toy_project.edit("  ours: {}\n", "  rough first: {method.sigma_mm: 20}\n  ours: {}\n")
    toy_project.edit("  rough: {method.sigma_mm: 20}\n", "")
    ended = ablate("run", STUDY, "--backend", backend, "--mlflow", "off", TOY_WAITS_S="20" if backend == "ray" else "0")
    assert ended.returncode == ExitCode.INTERNAL
    assert "curves.jsonl: cannot be written" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
    store = Store(toy_project.root / "runs")
    records = {path.name: store.record(path.name) for path in (store.root / "trials").iterdir()}
    statuses = [record.status for record in records.values() if record is not None]
    assert statuses.count(Status.FINISHED) == 3
    assert max(map(store.last_attempt, records)) == 1
    if backend == "ray":
        assert Status.INTERRUPTED in statuses
        interrupted = [id_ for id_, record in records.items() if record and record.status is Status.INTERRUPTED]
        assert all(store.checkpoint_step(trial_id) is not None for trial_id in interrupted)
