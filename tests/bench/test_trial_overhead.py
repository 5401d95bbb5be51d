"""What a trial costs on the platform beside its work, and what one costs on bare Ray Tune.

Trials that do nothing but report once, each side in a process of its own with a private cluster. The time is from the
start of the first trial to the end of the last one, so without starting Ray, which both must; the processor time is the
driver's in that span. Bare Ray Tune may keep its worker processes from trial to trial, as the platform does, and writes
neither records nor checkpoints.
"""

import itertools
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from ablate.errors import ExitCode
from tests.bench.measuring import Contract, Peer, Timing

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.timeout(3600)]

NUM_TRIALS = 100
ROUNDS = Contract(budget_s=0.0, min_rounds=5)
SAMPLE_S = 0.05
"""How often the driver's processor time is read."""

TASKS = '''
"""No work; says when it began and ended."""

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Place:
    times: Path = Path("times.txt")


def work(seed: int, times: str, report) -> float:
    began_s = time.time()
    report(float(seed))
    with open(times, "a") as file:
        file.write(f"{began_s} {time.time()}\\n")
    return float(seed)


def run(*, at: Place, seed: int, trial) -> dict[str, float]:
    return {"error": work(seed, str(at.times), lambda error: trial.report(1, {"error": error}))}
'''

BARE = '''
"""What a person would write without the platform."""

import os
import sys

os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
import ray
from ray import tune

from toy.nothing import work

number, times, folder = int(sys.argv[1]), *sys.argv[2:]


def trainable(config):
    work(config["seed"], times, lambda error: tune.report({"error": error}))


ray.init(address="local", log_to_driver=False, include_dashboard=False)
tuner = tune.Tuner(
    trainable,
    param_space={"seed": tune.grid_search(list(range(number)))},
    tune_config=tune.TuneConfig(reuse_actors=True),
    run_config=tune.RunConfig(storage_path=folder, verbose=0),
)
assert len(tuner.fit()) == number
'''

STUDY = """\
study: nothing
title: What does a trial cost?
plugins: [toy]
task: toy.nothing:run
base: ["+at.times={times}"]
arms:
  only: {{}}
replicates: {number}
metrics:
  - {{name: error, unit: "1", better: lower}}
"""
MAIN = "from ablate.cli.app import main; main()"


@dataclass(frozen=True)
class Case:
    """A project with the task, and a name for each run in it."""

    project: Any
    numbers: "itertools.count[int]"

    def ours(self, *options: str) -> Timing:
        folder, times = self._place()
        self.project.write("studies/nothing.yaml", STUDY.format(times=times, number=NUM_TRIALS))
        return watched(["-c", MAIN, "run", "studies/nothing.yaml", "--quiet", "--store", str(folder), *options], times)

    def theirs(self) -> Timing:
        folder, times = self._place()
        script = self.project.write("bare.py", BARE)
        return watched([str(script), str(NUM_TRIALS), str(times), str(folder)], times)

    def _place(self) -> tuple[Path, Path]:
        folder = self.project.root / f"run-{next(self.numbers)}"
        return folder, folder.with_suffix(".txt")


def watched(arguments: list[str], times: Path) -> Timing:
    """Run a driver; give the time from its first trial's start to its last one's end."""
    errors = times.with_suffix(".err")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with errors.open("w") as file:
        driver = psutil.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=file)
    samples = []
    try:
        while driver.poll() is None:
            spent = driver.cpu_times()
            samples.append((time.time(), spent.user + spent.system))
            time.sleep(SAMPLE_S)
    finally:
        if driver.poll() is None:
            driver.terminate()
            driver.wait()
    assert driver.returncode == ExitCode.DONE, errors.read_text()
    spans = np.loadtxt(times)
    assert spans.shape == (NUM_TRIALS, 2)
    began_s, ended_s = spans[:, 0].min(), spans[:, 1].max()
    cpu_s = np.interp([began_s, ended_s], *zip(*samples, strict=True))
    return Timing(float(ended_s - began_s), float(cpu_s[1] - cpu_s[0]))


BARE_RAY, OURS, MIRRORED = "bare Ray Tune", "ablate", "ablate, mirrored to MLflow"


@pytest.mark.parametrize("name", [BARE_RAY, OURS, MIRRORED])
def test_a_trial_of_nothing(side_by_side, toy_project, name):
    toy_project.write("toy/nothing.py", TASKS)
    case = Case(toy_project, itertools.count())

    def peers():
        return {
            BARE_RAY: Peer(case.theirs, NUM_TRIALS),
            OURS: Peer(lambda: case.ours("--mlflow", "off"), NUM_TRIALS),
            MIRRORED: Peer(case.ours, NUM_TRIALS),
        }

    side_by_side(f"{NUM_TRIALS} trials of nothing", name, peers, unit="trials", contract=ROUNDS)
