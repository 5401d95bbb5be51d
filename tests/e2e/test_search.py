"""Searches by the command line: killed and gone on with, in parallel, looked at while half done."""

import json
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ablate.errors import ExitCode

STUDY = "studies/toy.yaml"
SEARCH = """\
search:
  per: arm
  space:
    method.sigma_mm: {type: float, low: 1, high: 100, log: true}
    method.kind: {choices: [plain, weighted]}
    method.num_steps: {type: int, low: 2, high: 8, when: {method.kind: plain}}
  budget: 12
  metric: error
"""


@pytest.fixture
def searching(toy_project: Any) -> Any:
    """The toy project with a search inside two arms."""
    split = '    evaluate_on: Literal["validation", "test"] = "test"\n'
    toy_project.edit("    num_steps: int = 4\n", f"    num_steps: int = 4\n{split}", "toy/tasks.py")
    toy_project.edit("metrics:\n", f"{SEARCH}metrics:\n")
    toy_project.edit(
        "  rough: {method.sigma_mm: 20}\n  by weight: {method.kind: weighted}\n", "  other: {method.sizes: [4]}\n"
    )
    return toy_project


def told(store: Path) -> list[tuple[object, ...]]:
    """Give all that the samplers were told; values only, for seconds differ."""
    found = []
    for path in sorted(store.glob("studies/toy/search/*/0*.json")):
        note = json.loads(path.read_text())
        found.append((path.parent.name, note["number"], note["parameters"], note["state"], note.get("values")))
    return found


def test_a_killed_search_ends_as_an_undisturbed_one(searching: Any, ablate: Any, start_ablate: Any) -> None:
    options = ("--backend", "local", "--mlflow", "off", "--quiet")
    done = ablate("run", STUDY, "--store", "whole", *options)
    assert done.returncode == ExitCode.DONE, done.stderr
    draws, store = random.Random(0), searching.root / "killed"
    for _ in range(3):
        process = start_ablate("run", STUDY, "--store", "killed", *options)
        wanted = len(told(store)) + draws.randrange(2, 8)
        while process.poll() is None and len(told(store)) < wanted:
            time.sleep(0.005)
        process.kill()
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert ablate("run", STUDY, "--store", "killed", *options).returncode == ExitCode.DONE
    assert told(searching.root / "killed") == told(searching.root / "whole")
    records = {path.name for path in (searching.root / "killed" / "trials").iterdir()}
    assert records == {path.name for path in (searching.root / "whole" / "trials").iterdir()}
    assert "nothing was run" in ablate("run", STUDY, "--store", "killed", *options).stdout


@pytest.mark.ray
def test_a_search_on_ray_is_looked_at_and_reported(searching: Any, ablate: Any) -> None:
    planned = ablate("plan", STUDY)
    assert "12 configurations x 1 seed = 24 trials on validation data for error" in planned.stdout
    done = ablate("run", STUDY, "--mlflow", "off")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert re.search(r"(\d+) of \1 trials are done", done.stdout)
    assert [entry[3] for entry in told(searching.root / "runs")] == ["told"] * 24
    status = ablate("status", "toy").stdout
    assert "search of 'other', 12 configurations: 12 told; best error" in status
    assert re.search(r"ours +2/2", status)
    assert (searching.root / "runs/studies/toy/optuna.journal").is_file()
    refused = ablate("run", STUDY, "--mlflow", "off", "--reuse", "any")
    assert refused.returncode == ExitCode.WRONG_INPUT
    assert "its sampler learns from trials of one code only" in refused.stderr
