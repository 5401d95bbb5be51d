"""A population by the command line: it beats every constant setting, and a kill changes nothing."""

import json
import math
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import ExitCode

STUDY = "studies/toy.yaml"
OPTIONS = ("--backend", "local", "--mlflow", "off", "--quiet")
TASK = '''

def drifting(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    """Each step has a best setting of its own, which falls; what is missed adds up."""
    state = trial.restore() or {"step": 0, "error": 0.0, "random": random.Random(seed).getstate()}
    generator = random.Random()
    generator.setstate(state["random"])
    error = state["error"]
    for step in range(state["step"] + 1, method.num_steps + 1):
        error += math.log(method.sigma_mm / (50 * 0.85**step)) ** 2 + 1e-3 * generator.random()
        known = {"step": step, "error": error, "random": generator.getstate()}
        trial.report(step, {"error": error}, state=lambda: dict(known))
    return {"error": error, "multi/error": generator.random()}
'''
SEARCH = """\
search:
  space:
    method.sigma_mm: {type: float, low: 0.1, high: 1000, log: true}
  sampler: {name: pbt, population: 8, generations: 6, length: method.num_steps, quantile: 0.5}
  metric: error
"""
NUM_STEPS = 12


def error(rates: list[float], seed: int) -> tuple[float, float]:
    """Do what the task does, with a setting for each step."""
    draws, total = random.Random(seed), 0.0
    for step, rate in enumerate(rates, 1):
        total += math.log(rate / (50 * 0.85**step)) ** 2 + 1e-3 * draws.random()
    return total, draws.random()


@pytest.fixture
def drifting(toy_project: Any) -> Any:
    """The toy project with a task whose best setting changes while it trains."""
    split = '    evaluate_on: Literal["validation", "test"] = "test"\n'
    toy_project.edit("    num_steps: int = 4\n", f"    num_steps: int = {NUM_STEPS}\n{split}", "toy/tasks.py")
    toy_project.edit("import json\nimport random\n", "import json\nimport math\nimport random\n", "toy/tasks.py")
    source = (toy_project.root / "toy/tasks.py").read_text()
    toy_project.write("toy/tasks.py", source + TASK)
    text = toy_project.study.read_text()
    start, end = text.index("stages:"), text.index("replicates:")
    text = f"{text[:start]}task: toy.tasks:drifting\n{text[end:]}".replace("metrics:\n", f"{SEARCH}metrics:\n")
    toy_project.write(STUDY, text)
    return toy_project


def told(store: Path) -> list[dict[str, Any]]:
    """Give all that came of the population; less the seconds, which differ."""
    paths = sorted(store.glob("studies/toy/search/*/0*.json"))
    return [{key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"} for path in paths]


def outcome(store: Path, trial_id: str) -> dict[str, float]:
    return json.loads((store / "trials" / trial_id / "record.json").read_text())["metrics"]


def test_a_population_beats_every_constant_setting(drifting: Any, ablate: Any) -> None:
    planned = ablate("plan", STUDY)
    assert "search: pbt with a population of 8 over 6 generations over 1 parameter" in planned.stdout
    done = ablate("run", STUDY, "--store", "s", *OPTIONS)
    assert done.returncode == ExitCode.DONE, done.stderr
    store = drifting.root / "s"
    entries = told(store)
    assert [entry["state"] for entry in entries] == ["told"] * 48
    won = min(entries[40:], key=lambda entry: entry["values"][0])
    constants = [error([0.1 * 10 ** (index / 100)] * NUM_STEPS, 1000)[0] for index in range(400)]
    assert won["values"][0] < min(constants)
    way = [won]
    while "parent" in way[0]:
        way.insert(0, entries[way[0]["parent"]])
    rates = [entry["parameters"]["method.sigma_mm"] for entry in way for _ in range(NUM_STEPS // 6)]
    assert won["values"][0] == error(rates, 1000)[0]  # to the last bit
    curves = (store / "trials" / won["trials"]["1000"] / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in curves] == [11, 12]
    note = json.loads(next(store.glob("studies/toy/search/*/winner.json")).read_text())
    rows = {trial["id"]: outcome(store, trial["id"]) for trial in note["trials"] if trial["role"] == "arm"}
    assert [(row["error"], row["multi/error"]) for row in rows.values()] == [error(rates, seed) for seed in (0, 1)]
    for command in (
        ("status", "toy"),
        ("plan", STUDY),
        ("plan", STUDY, "--json"),
        ("report", "toy"),
    ):
        looked = ablate(*command, "--store", "s")
        if command[0] == "status":
            assert f"48 told; best error {won['values'][0]:.4g} at #{won['number']}, by way of #" in looked.stdout
        assert looked.returncode == ExitCode.DONE, (command, looked.stderr)


def test_a_killed_population_ends_as_an_undisturbed_one(drifting: Any, ablate: Any, start_ablate: Any) -> None:
    assert ablate("run", STUDY, "--store", "whole", *OPTIONS).returncode == ExitCode.DONE
    draws, store = random.Random(0), drifting.root / "killed"
    for _ in range(3):
        process = start_ablate("run", STUDY, "--store", "killed", *OPTIONS)
        wanted = len(told(store)) + draws.randrange(3, 14)
        while process.poll() is None and len(told(store)) < wanted:
            time.sleep(0.005)
        process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL
    done = ablate("run", STUDY, "--store", "killed", *OPTIONS)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert told(store) == told(drifting.root / "whole")
    trials = {path.name for path in (store / "trials").iterdir()}
    assert trials == {path.name for path in (drifting.root / "whole" / "trials").iterdir()}
    assert "nothing was run" in ablate("run", STUDY, "--store", "killed", *OPTIONS).stdout


def test_a_task_that_saves_no_state_is_told_so(drifting: Any, ablate: Any) -> None:
    drifting.edit(", state=lambda: dict(known))", ")", "toy/tasks.py")
    done = ablate("run", STUDY, "--store", "s", *OPTIONS)
    assert done.returncode == ExitCode.SOME_FAILED, done.stderr
    reasons = {entry["reason"].partition(": ")[2] for entry in told(drifting.root / "s")}
    assert (
        "RuntimeError: the task saved no state for others to go on from: give trial.report(..., state=...)" in reasons
    )
    assert len(told(drifting.root / "s")) == 48
