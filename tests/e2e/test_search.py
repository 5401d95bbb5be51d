"""Searches by the command line: killed and gone on with, in parallel, looked at while half done, refused."""

import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from ablate.errors import ExitCode
from ablate.store import Store

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
NUM_TRIALS, NUM_KILLS = 60, 10
QUIET = ("--mlflow", "off", "--quiet")
JITTER_S = 0.03


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


def notes(store: Path) -> list[Path]:
    """Find the notes of all configurations."""
    return sorted(store.glob("studies/toy/search/*/0*.json"))


def told(store: Path) -> list[tuple[object, ...]]:
    """Give all that the samplers were told; values only, for seconds differ."""
    found = []
    for path in notes(store):
        note = json.loads(path.read_text())
        of_search = (path.parent.name, note["number"], note["parameters"], note.get("open"))
        found.append((*of_search, note["state"], note.get("values"), note["trials"]))
    return found


def mirrored(store: Path) -> list[tuple[dict[str, Any], list[float]]]:
    """Give all that Optuna's own storage has, which optuna-dashboard shows."""
    journal = optuna.storages.journal.JournalFileBackend(str(store / "studies/toy/optuna.journal"))
    storage = optuna.storages.JournalStorage(journal)
    trials = [trial for study in storage.get_all_studies() for trial in storage.get_all_trials(study._study_id)]
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    return [(trial.params, trial.values) for trial in trials]


def done_again(store: Path) -> list[str]:
    """Find trials that were started once more although their result was there."""
    trials = Store(store)
    records = {path.name: trials.record(path.name) for path in (store / "trials").iterdir()}
    return [id_ for id_, record in records.items() if record.run.attempt != trials.last_attempt(id_)]


def killed_after(process: "subprocess.Popen[str]", store: Path, num_notes: int, draws: random.Random) -> None:
    """Kill a driver a moment after so many configurations are there: at once, if they were before."""
    while process.poll() is None and len(notes(store)) < num_notes:
        time.sleep(0.005)
    time.sleep(draws.uniform(0.0, JITTER_S))
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stderr.close()


def moments(draws: random.Random, num_kills: int, num_trials: int) -> Sequence[int]:
    """Draw how many configurations there are at each kill; of two that are equal, the second hits a start."""
    return sorted(draws.choices(range(num_trials - 5), k=num_kills))


def test_a_search_killed_ten_times_ends_as_an_undisturbed_one(searching: Any, ablate: Any, start_ablate: Any) -> None:
    searching.edit("per: arm", "per: study")
    searching.edit("budget: 12", f"budget: {NUM_TRIALS}\n  parallel: 1")
    searching.edit("replicates: 2", "replicates: 1")
    run, whole, killed = ("run", STUDY, "--backend", "local", *QUIET), searching.root / "whole", searching.root / "kill"
    undisturbed, draws = start_ablate(*run, "--store", whole), random.Random(0)
    for num_notes in moments(draws, NUM_KILLS, NUM_TRIALS):
        killed_after(start_ablate(*run, "--store", killed), killed, num_notes, draws)
    done = ablate(*run, "--store", killed)
    assert done.returncode == ExitCode.DONE, done.stderr
    _, said = undisturbed.communicate(timeout=100)
    assert undisturbed.returncode == ExitCode.DONE, said
    assert [entry[1] for entry in told(whole)] == list(range(NUM_TRIALS))
    assert told(killed) == told(whole)
    assert mirrored(killed) == mirrored(whole)
    assert len(mirrored(whole)) == NUM_TRIALS
    records = {path.name for path in (killed / "trials").iterdir()}
    assert records == {path.name for path in (whole / "trials").iterdir()}
    assert done_again(killed) == []


@pytest.mark.ray
def test_in_parallel_nothing_is_lost_or_doubled_when_the_driver_is_killed(
    searching: Any, ablate: Any, start_ablate: Any
) -> None:
    searching.edit("per: arm", "per: study")
    searching.edit("budget: 12", "budget: 20\n  parallel: 3")
    searching.edit("replicates: 2", "replicates: 1\nresources: {num_cpus: 0.5}")
    slow = ("        error = state[", "        __import__('time').sleep(0.05)\n        error = state[")
    searching.edit(*slow, "toy/tasks.py")
    store, draws = searching.root / "killed", random.Random(1)
    for num_notes in (7, 14):
        killed_after(start_ablate("run", STUDY, *QUIET, "--store", store), store, num_notes, draws)
    done = ablate("run", STUDY, *QUIET, "--store", store)
    assert done.returncode == ExitCode.DONE, done.stderr
    found = told(store)
    assert [(entry[1], entry[4]) for entry in found] == [(number, "told") for number in range(20)]
    assert max(len(entry[3] or ()) for entry in found) == 2  # side by side, and never more than the study says
    given = [(json.dumps(entry[2], sort_keys=True), entry[5]) for entry in found]
    assert sorted(given) == sorted((json.dumps(one, sort_keys=True), values) for one, values in mirrored(store))
    assert done_again(store) == []


@pytest.mark.ray
def test_a_search_on_ray_is_looked_at_and_reported(searching: Any, ablate: Any) -> None:
    planned = ablate("plan", STUDY)
    assert "12 configurations x 1 seed = 24 trials on validation data for error" in planned.stdout
    done = ablate("run", STUDY, "--mlflow", "off")
    assert done.returncode == ExitCode.DONE, done.stderr
    assert re.search(r"(\d+) of \1 trials are done", done.stdout)
    assert [entry[4] for entry in told(searching.root / "runs")] == ["told"] * 24
    status = ablate("status", "toy").stdout
    assert "search of 'other', 12 configurations: 12 told; best error" in status
    assert re.search(r"ours +2/2", status)
    assert (searching.root / "runs/studies/toy/optuna.journal").is_file()
    refused = ablate("run", STUDY, "--mlflow", "off", "--reuse", "any")
    assert refused.returncode == ExitCode.WRONG_INPUT
    assert "its sampler learns from trials of one code only" in refused.stderr


def test_check_refuses_what_no_search_can_do_with_line_and_reason(searching: Any, ablate: Any) -> None:
    searching.edit("low: 1, high: 100, log: true", "low: 0, high: 100, log: true")
    searching.edit("low: 2, high: 8", "low: 8, high: 2")
    searching.edit("  metric: error", "  metric: test/error\n  sampler: tpee")
    refused = ablate("check", STUDY)
    assert refused.returncode == ExitCode.WRONG_INPUT
    found = [line for line in refused.stderr.splitlines() if line.startswith(STUDY)]
    wanted = [
        "space.method.sigma_mm.low: a logarithmic range cannot reach zero or below: expected > 0, got 0",
        "space.method.num_steps.high: expected more than `low`, which is 8, got 2",
        "metric: 'test/error' is measured on test data: a search learns from validation data only",
        "sampler: no sampler is called 'tpee'; expected one of tpe, ",
    ]
    assert len(found) == len(wanted)
    for line, start in zip(found, wanted, strict=True):
        assert line.partition(": search.")[2].startswith(start)
    lines = searching.study.read_text().splitlines()
    for place, said in zip(["sigma_mm", "num_steps", "metric", "sampler"], found, strict=True):
        assert place in lines[int(said.split(":")[1]) - 1]
