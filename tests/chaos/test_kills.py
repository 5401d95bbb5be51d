"""The driver is killed at random moments until the study is done: the records are those of an undisturbed run."""

import json
import os
import random
import subprocess
import sys

import pytest

from ablate.errors import ExitCode

pytestmark = [pytest.mark.chaos, pytest.mark.ray, pytest.mark.timeout(900)]

NUM_KILLS = 12
SLOW_STEP = "        error = state["


def _command(store):
    main = "from ablate.cli.app import main; main()"
    options = ["run", "studies/toy.yaml", "method.num_steps=60", "--store", store, "--mlflow", "off"]
    return [sys.executable, "-c", main, *options]


def _results(store):
    """Everything of the records that the trials alone decide."""
    records = {path.parent.name: json.loads(path.read_text()) for path in store.glob("trials/*/record.json")}
    return {id_: {key: value for key, value in record.items() if key != "run"} for id_, record in records.items()}


def test_a_study_survives_the_death_of_its_driver_at_any_moment(toy_project):
    toy_project.edit(SLOW_STEP, "        __import__('time').sleep(0.05)\n" + SLOW_STEP, "toy/tasks.py")
    environment = {**os.environ, "HOME": str(toy_project.root)}
    moments = random.Random(0)
    killed = 0
    for _ in range(NUM_KILLS):
        driver = subprocess.Popen(_command("disturbed"), env=environment, stdout=subprocess.DEVNULL, text=True)
        try:
            driver.wait(timeout=moments.uniform(0.5, 14.0))
            break
        except subprocess.TimeoutExpired:
            driver.kill()
            driver.wait()
            killed += 1
    assert killed > 2
    for store in ("disturbed", "undisturbed"):
        ended = subprocess.run(_command(store), env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == ExitCode.DONE, ended.stderr
    disturbed = _results(toy_project.root / "disturbed")
    assert len(disturbed) == 9
    assert disturbed == _results(toy_project.root / "undisturbed")
