"""`ablate chaos` in short: an honest task comes through, one that forgets a part of its state is caught."""

import json
import os
import signal
import time

import psutil
import pytest

from ablate.errors import ExitCode
from ablate.plan.expand import expand
from ablate.run.chaos import Chaos, Settings
from ablate.study.load import load_study

SLOW_STEP = ("        error = state[", "        __import__('time').sleep(0.02)\n        error = state[")
FORGETFUL = ('    generator.setstate(state["random"])', "    generator.seed(state['step'])")


@pytest.fixture
def slow(toy_project):
    """The toy study, with steps that take a little time; it reports each of them and saves what it must."""
    toy_project.edit(*SLOW_STEP, "toy/tasks.py")
    toy_project.edit("replicates: 2", "replicates: 1")
    return toy_project


def _chaos(ablate, *options):
    return ablate("chaos", "studies/toy.yaml", "method.num_steps=30", "--checkpoint-interval", 0, *options)


def test_a_task_that_forgets_its_generator_is_caught(slow, ablate, tmp_path):
    slow.edit(*FORGETFUL, "toy/tasks.py")
    done = _chaos(ablate, "--backend", "local", "--kills", 10, "--no-mlflow", "--keep", tmp_path / "kept")
    assert done.returncode == ExitCode.SOME_FAILED, done.stderr
    assert (tmp_path / "kept/undisturbed/studies/toy/report.md").is_file()
    assert "DIFFERENT " in done.stderr and "): curves, line " in done.stderr
    assert "differences; the first: " in done.stdout


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_workers_and_driver_are_killed_and_all_comes_out_the_same_in_mlflow_too(slow, ablate):
    done = _chaos(ablate, "--kills", 4, "--seed", 3, "--json")
    assert done.returncode == ExitCode.DONE, done.stderr
    found = json.loads(done.stdout)
    assert found["is_equal"] and found["num_finished"] == 5
    assert {kill["what"] for kill in found["kills"]} == {"worker", "driver"}
    assert "stores and logs" not in done.stderr  # equal, so nothing is kept
    assert not _processes_of_this_test()


def test_the_store_is_whole_after_a_crash_at_any_step_of_a_record_or_a_claim(slow, environment, tmp_path):
    settings = Settings(
        arguments=("run", "studies/toy.yaml", "--backend", "local", "--mlflow", "off"),
        num_kills=0,
        seed=0,
        what=("driver",),
        interval_s=0.0,
        points=r"(before|after) (link|replace) trials/.*(record|attempts/#|latest)\.json",
        folder=tmp_path / "chaos",
    )
    outcome = Chaos(expand(load_study(slow.study)), settings, print).run()
    assert outcome.differences == []
    assert len(outcome.points) == len(outcome.kills) >= 6
    assert outcome.points_left == ()


def _processes_of_this_test():
    """Find what was started with this test's home, and still runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("HOME") == os.environ["HOME"]:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_a_study_that_does_not_run_is_no_chaos(toy_project, ablate):
    write = '    trial.artifact("start.json").write_text(json.dumps(float(data.num_samples)))'
    toy_project.edit(write, "    __import__('os')._exit(7)", "toy/tasks.py")
    done = _chaos(ablate, "--backend", "local", "--kills", 1, "--no-mlflow")
    assert done.returncode == ExitCode.INTERNAL
    assert "the undisturbed run ended with exit code 7" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--what", "disks"),
            "--what: expected `workers`, `driver`, `nodes`, or some of them with commas, got 'disks'",
        ),
        (("--what", "driver,nodes", "--backend", "local"), "--backend local uses no cluster"),
        (("--what", "workers", "--backend", "local"), "with --backend local trials run in the driver"),
        (("--keep", "studies"), "--keep: expected a new or an empty folder"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(toy_project, ablate, options, said):
    refused = ablate("chaos", "studies/toy.yaml", *options)
    assert refused.returncode == ExitCode.WRONG_INPUT
    assert said in refused.stderr


def test_ctrl_c_ends_what_chaos_started(slow, start_ablate):
    process = start_ablate("chaos", "studies/toy.yaml", "method.num_steps=5000", "--backend", "local", "--no-mlflow")
    deadline_s = time.monotonic() + 60
    children: list[psutil.Process] = []
    while not children and time.monotonic() < deadline_s:
        time.sleep(0.2)
        children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == ExitCode.INTERRUPTED
    _, alive = psutil.wait_procs(children, timeout=10)
    assert children and not alive
    process.stderr.close()
