"""What a trial of a search costs beside its work: the platform on Ray, and bare Optuna on Ray Tune, in one run.

Both search the same plane with TPE and the same sampler seed, each in a process of its own with a private cluster, in
turn. A trial's work is a wait of a second and one report, so that it takes both the same whatever else the machine
does. The time is from the start of the first trial to the end of the last one: starting Ray, which both must, is left
out. Bare Ray Tune may keep its worker processes from trial to trial, as the platform does, and writes no checkpoints.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from ablate.errors import ExitCode

pytestmark = [pytest.mark.bench, pytest.mark.long, pytest.mark.ray, pytest.mark.timeout(3600)]

WORK_S = 1.0
NUM_TRIALS = 30
NUM_PAIRS = 5
MAX_RATIO = 1.15

TASKS = '''
"""A second of waiting, and when it began and ended."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Plane:
    x: float = 0.0
    y: float = 0.0
    evaluate_on: Literal["validation", "test"] = "test"
    work_s: float = 1.0
    times: Path = Path("times.txt")


def work(x: float, y: float, work_s: float, times: str, report) -> float:
    began_s = time.time()
    time.sleep(work_s)
    error = (x - 1.0) ** 2 + y
    report(error)
    with open(times, "a") as file:
        file.write(f"{began_s} {time.time()}\\n")
    return error


def run(*, at: Plane, trial) -> dict[str, float]:
    if at.evaluate_on == "test":  # after the search, or for the table: bare Ray Tune has no such trials
        return {"error": 0.0}
    return {"error": work(at.x, at.y, at.work_s, str(at.times), lambda error: trial.report(1, {"error": error}))}
'''

BARE = '''
"""What a person would write without the platform."""

import os
import sys

os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
import ray
from optuna.samplers import TPESampler
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from toy.wait import work

number, parallel, work_s, times, folder = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]


def trainable(config):
    work(config["x"], config["y"], work_s, times, lambda error: tune.report({"error": error}))


ray.init(address="local", log_to_driver=False, include_dashboard=False)
space = {"x": tune.uniform(-5, 10), "y": tune.uniform(0, 15)}
search = OptunaSearch(space, metric="error", mode="min", sampler=TPESampler(seed=0))
tuner = tune.Tuner(
    trainable,
    tune_config=tune.TuneConfig(
        search_alg=ConcurrencyLimiter(search, max_concurrent=parallel), num_samples=number, reuse_actors=True
    ),
    run_config=tune.RunConfig(storage_path=folder, verbose=0),
)
assert len(tuner.fit()) == number
'''

STUDY = """\
study: waiting
title: What does a trial of a search cost?
plugins: [toy]
task: toy.wait:run
base: [+at.work_s={work_s}, "+at.times={times}"]
search:
  space:
    at.x: {{type: float, low: -5, high: 10}}
    at.y: {{type: float, low: 0, high: 15}}
  budget: {number}
  parallel: {parallel}
  metric: error
metrics:
  - {{name: error, unit: "1", better: lower}}
"""


@dataclass(frozen=True)
class Case:
    """A search of so many trials, so many at a time."""

    project: Any
    parallel: int

    def ours(self, name: str) -> float:
        times = self.project.root / f"{name}.txt"
        study = STUDY.format(work_s=WORK_S, times=times, number=NUM_TRIALS, parallel=self.parallel)
        self.project.write("studies/waiting.yaml", study)
        main = "from ablate.cli.app import main; main()"
        store = str(self.project.root / name)
        _call("-c", main, "run", "studies/waiting.yaml", "--mlflow", "off", "--quiet", "--store", store)
        return self._per_trial_s(times)

    def theirs(self, name: str) -> float:
        times = self.project.root / f"{name}.txt"
        script = self.project.write("bare.py", BARE)
        folder = self.project.root / name
        _call(script, NUM_TRIALS, self.parallel, WORK_S, times, folder)
        return self._per_trial_s(times)

    def _per_trial_s(self, times: Path) -> float:
        """Give the time of a trial in one of the places for trials."""
        spans = [tuple(float(word) for word in line.split()) for line in times.read_text().splitlines()]
        assert len(spans) == NUM_TRIALS
        return (max(ended for _, ended in spans) - min(began for began, _ in spans)) * self.parallel / NUM_TRIALS


def _call(*arguments: object) -> None:
    command = [sys.executable, *(str(argument) for argument in arguments)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.DONE, done.stderr


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_trial_of_a_search_costs_little_more_than_on_bare_ray_tune(
    toy_project: Any, parallel: int, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_project.write("toy/wait.py", TASKS)
    case, ours, theirs = Case(toy_project, parallel), [], []
    for number in range(NUM_PAIRS):
        # Who comes second finds a machine that the first one warmed up, or wore out.
        for side in (0, 1) if number % 2 else (1, 0):
            if side == 0:
                ours.append(case.ours(f"ours-{number}"))
            else:
                theirs.append(case.theirs(f"theirs-{number}"))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    with capsys.disabled():
        print(
            f"\n{parallel} at a time, {NUM_PAIRS} pairs of {NUM_TRIALS} trials of {WORK_S:g} s: median "
            f"{median(ours):.3f} s a trial, {1e3 * (median(ours) - WORK_S):.0f} ms beside the work; bare Optuna and "
            f"Ray Tune {median(theirs):.3f} s, {1e3 * (median(theirs) - WORK_S):.0f} ms; ratio {median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )
    assert median(ratios) <= MAX_RATIO
