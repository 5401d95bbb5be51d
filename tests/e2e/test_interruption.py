"""A driver that is stopped, then killed, then left alone: what was finished is not run again, what ran goes on."""

import os
import signal
import subprocess
import sys

import pytest

from ablate.errors import ExitCode
from ablate.store import Store
from ablate.trial import Status

SLOW = '''
"""A task that only ends where it is told that it may."""

import itertools
import os

from toy.tasks import Data, Method


def run(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    """Endless for the rough arm; elsewhere over at once."""
    state = trial.restore() or {"step": 0}
    for step in itertools.count(state["step"] + 1):
        trial.report(step, {"error": 1.0}, state=lambda: {"step": step})
        if method.sigma_mm != 20 or "TOY_MAY_END" in os.environ:
            return {"error": float(state["step"]), "multi/error": 1.0}
'''

DRIVER = """
import sys
from pathlib import Path

from ablate.backends.local import LocalBackend
from ablate.backends.ray_tune import RayTuneBackend
from ablate.plan.expand import expand
from ablate.run.execute import execute
from ablate.run.signals import stop_on_signals
from ablate.store import Store
from ablate.study.load import load_study


class Printer:
    def started(self, spec, attempt): ...

    def reported(self, report):
        print("report", report.trial_id, report.step, flush=True)

    def ended(self, spec, outcome): ...

    def close(self): ...


if __name__ == "__main__":
    plan = expand(load_study(Path("studies/toy.yaml")))
    chosen = {"local": LocalBackend, "ray": lambda **more: RayTuneBackend(num_cpus=2, **more)}[sys.argv[1]]
    with stop_on_signals() as stopping:
        backend = chosen(checkpoint_interval_s=0.0)
        summary = execute(
            plan, store=Store(Path("runs")), backend=backend, recorders=[Printer()], stopping=stopping
        )
    print(summary)
    sys.exit(summary.exit_code)
"""


@pytest.mark.timeout(200)
@pytest.mark.parametrize("backend", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_what_was_finished_is_not_run_again(toy_project, backend):
    toy_project.write("toy/slow.py", SLOW)
    toy_project.write("driver.py", DRIVER)
    toy_project.edit("task: toy.tasks:run", "task: toy.slow:run")
    store = Store(toy_project.root / "runs")

    stopped, trial_id = _until_endless(backend)
    os.killpg(stopped.pid, signal.SIGINT)  # as a terminal does for Ctrl-C: to every process of the group
    assert stopped.wait() == ExitCode.INTERRUPTED, stopped.stderr.read()
    assert store.record(trial_id).status is Status.INTERRUPTED
    step = store.checkpoint_step(trial_id)
    assert step >= 3

    killed, again_id = _until_endless(backend)
    killed.kill()
    killed.wait()
    finished = _records(store)
    assert finished

    last = _start(backend, TOY_MAY_END="1")
    _, errors = last.communicate()
    assert last.returncode == ExitCode.DONE, errors
    records = _records(store)
    assert len(records) == 9
    assert {id_: records[id_] for id_ in finished} == finished
    assert store.record(again_id).metrics["error"] >= 3
    assert len(store.curves(trial_id)) == len({point.step for point in store.curves(trial_id)}) > step

    nothing_left = _start(backend)
    assert "num_finished=0, num_cached=9" in nothing_left.communicate()[0]
    assert nothing_left.returncode == ExitCode.DONE


def _start(backend: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "driver.py", backend],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
    )


def _until_endless(backend: str) -> tuple[subprocess.Popen[str], str]:
    """Start the driver, and come back when a trial that does not end has been running for a few steps."""
    driver = _start(backend)
    first: dict[str, int] = {}
    for line in driver.stdout:
        _, trial_id, step = line.split()
        if int(step) - first.setdefault(trial_id, int(step)) >= 3:
            return driver, trial_id
    raise AssertionError(f"the driver ended early: {driver.stderr.read()}")


def _records(store: Store) -> dict[str, bytes]:
    """Give the record of each finished trial, as it is written."""
    found = [path.name for path in (store.root / "trials").iterdir()]
    return {id_: (store.folder(id_) / "record.json").read_bytes() for id_ in store.finished(found)}
