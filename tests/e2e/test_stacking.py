"""A study that stacks its seeds, through the command line: killed in the middle of a stack, and finished."""

import signal
import time

import pytest

from ablate.backends.local import LocalBackend
from ablate.errors import ExitCode
from ablate.plan.expand import expand
from ablate.run.execute import execute
from ablate.store import Store
from ablate.study.load import load_study

STUDY = "studies/toy.yaml"
STACKED = '''
"""The toy's search for several seeds at once, step by step; slow where that is asked for."""

import os
import random
import time

from toy import noise
from toy.tasks import Data, Method


def run(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    return run_stacked(method=method, data=data, seeds=(seed,), trials=(trial,))[0]


def run_stacked(*, method: Method, data: Data, seeds: tuple[int, ...], trials: tuple) -> list[dict[str, float]]:
    states = [trial.restore() or first(method, seed) for seed, trial in zip(seeds, trials)]
    for step in range(states[0]["step"] + 1, method.num_steps + 1):
        states = [after(state) for state in states]
        for state, trial in zip(states, trials):
            trial.report(step, {"error": state["error"]}, state=lambda: dict(state))
        time.sleep(float(os.environ.get("TOY_PAUSE", "0")))
    return [{"error": state["error"], "multi/error": state["error"] / data.num_samples} for state in states]


def first(method: Method, seed: int) -> dict:
    return {"step": 0, "error": method.sigma_mm + seed, "random": random.Random(seed).getstate()}


def after(state: dict) -> dict:
    generator = random.Random()
    generator.setstate(state["random"])
    error = state["error"] * 0.8 + noise.draw(generator)
    return {"step": state["step"] + 1, "error": error, "random": generator.getstate()}
'''
STAGES = """\
stages:
  pretrained: {task: "toy.tasks:pretrain"}
  adapted: {task: "toy.tasks:adapt", needs: [pretrained]}
task: toy.tasks:run
needs: [adapted]
"""


@pytest.fixture
def stacked_project(toy_project):
    """Three arms of four seeds, three of which are stacked."""
    toy_project.write("toy/stacked.py", STACKED)
    toy_project.edit(STAGES, "task: toy.stacked:run\n")
    toy_project.edit("replicates: 2", "replicates: 4\nresources: {stack_seeds: 3}")
    return toy_project


def results(store: Store) -> dict[str, object]:
    records = {trial_id: store.record(trial_id) for trial_id in store.trial_ids()}
    return {
        trial_id: (record.status, record.metrics, [(point.step, point.metrics) for point in store.curves(trial_id)])
        for trial_id, record in records.items()
    }


def test_killed_in_the_middle_of_a_stack_a_run_ends_in_what_separate_trials_give(
    stacked_project, ablate, start_ablate, monkeypatch
) -> None:
    run = ("run", STUDY, "--backend", "local", "--mlflow", "off", "--checkpoint-interval", "0")
    store = Store(stacked_project.root / "runs")
    with monkeypatch.context() as slow:
        slow.setenv("TOY_PAUSE", "1.0")
        process = start_ablate(*run)
    try:
        while [store.checkpoint_step(trial_id) for trial_id in store.trial_ids()].count(1) < 3:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    assert {len(list(store.root.glob(f"trials/{one}/attempts/*"))) for one in store.trial_ids()} == {0, 1}
    done = ablate(*run)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "stacked: 9 of these 12 trials in 3 stacks of at most 3 seeds" in done.stdout
    assert "12 of 12 trials are done" in done.stdout
    assert done.stderr.count(": finished in") == 12

    stacked_project.edit("\nresources: {stack_seeds: 3}", "")
    apart = Store(stacked_project.root / "apart")
    execute(expand(load_study(stacked_project.study)), store=apart, backend=LocalBackend())
    assert results(store) == results(apart)
    stacked = [store.record(trial_id).run.num_stacked for trial_id in store.trial_ids()]
    assert stacked.count(3) >= 6  # all of them, unless the kill came while one of the stack was saving
