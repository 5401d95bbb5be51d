"""A parallel search on Ray, its driver and its workers killed at random moments: no configuration lost or doubled."""

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest

from ablate.errors import ExitCode
from ablate.run.chaos_child import Child
from ablate.store import Store

pytestmark = [pytest.mark.chaos, pytest.mark.ray]

NUM_TRIALS, NUM_KILLS = 60, 12
SEARCH = f"""\
search:
  space:
    method.sigma_mm: {{type: float, low: 1, high: 100, log: true}}
    method.kind: {{choices: [plain, weighted]}}
    method.num_steps: {{type: int, low: 4, high: 12, when: {{method.kind: plain}}}}
  budget: {NUM_TRIALS}
  parallel: 4
  metric: error
"""


@pytest.fixture
def child(toy_project: Any, tmp_path: Path) -> Any:
    """`ablate run` of a search in the toy project, four trials at a time, each of them a second long."""
    split = '    evaluate_on: Literal["validation", "test"] = "test"\n'
    toy_project.edit("    num_steps: int = 4\n", f"    num_steps: int = 4\n{split}", "toy/tasks.py")
    step = "        error = state["
    toy_project.edit(step, f"        __import__('time').sleep(0.1)\n{step}", "toy/tasks.py")
    toy_project.edit("  rough: {method.sigma_mm: 20}\n  by weight: {method.kind: weighted}\n", "")
    toy_project.edit("replicates: 2", "replicates: 1\nresources: {num_cpus: 0.5}")
    toy_project.edit("metrics:\n", f"{SEARCH}metrics:\n")
    arguments = ("run", "studies/toy.yaml", "--store", "runs", "--mlflow", "off", "--quiet")
    made = Child((*arguments, "--checkpoint-interval", "0"), {"OMP_NUM_THREADS": "1"}, tmp_path / "log.txt")
    yield made
    made.end()


def notes(store: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(store.glob("studies/toy/search/*/0*.json"))]


def kill(child: Child, store: Path, num_told: int, draws: random.Random) -> str:
    """Kill the driver or a worker when so many configurations have ended, and a moment later."""
    while sum(note["state"] == "told" for note in notes(store)) < num_told:
        code = child.wait(0.05)
        assert code is None, child.last_lines()
    time.sleep(draws.uniform(0.0, 0.5))
    if draws.random() < 0.5 and child.kill_worker(draws):
        return "worker"
    child.kill_driver()
    child.start()
    return "driver"


@pytest.mark.timeout(1800)
def test_in_parallel_no_configuration_is_lost_or_doubled(
    child: Child, toy_project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    store, draws = toy_project.root / "runs", random.Random(4)
    child.start()
    moments = sorted(draws.choices(range(NUM_TRIALS - 8), k=NUM_KILLS))
    killed = Counter(kill(child, store, num_told, draws) for num_told in moments)
    while (code := child.wait(1.0)) is None:
        pass
    assert code == ExitCode.DONE, child.last_lines()
    with capsys.disabled():
        print(f"\n{dict(killed)}")
    assert set(killed) == {"worker", "driver"}
    found = notes(store)
    assert [(note["number"], note["state"]) for note in found] == [(number, "told") for number in range(NUM_TRIALS)]
    journal = optuna.storages.journal.JournalFileBackend(str(store / "studies/toy/optuna.journal"))
    (study,) = optuna.get_all_study_summaries(storage=optuna.storages.JournalStorage(journal))
    trials = optuna.load_study(study_name=study.study_name, storage=optuna.storages.JournalStorage(journal)).trials
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert _in_short((trial.params, trial.values) for trial in trials) == _in_short(
        (note["parameters"], note["values"]) for note in found
    )
    records = {path.name: Store(store).record(path.name) for path in (store / "trials").iterdir()}
    again = [id_ for id_, record in records.items() if record.run.attempt != Store(store).last_attempt(id_)]
    assert again == []  # nothing was started once more although its result was there


def _in_short(pairs: Any) -> Counter[str]:
    return Counter(json.dumps(pair, sort_keys=True) for pair in pairs)
