"""Early stopping under Ray: how many training steps are saved, and whether the best configuration is kept.

Synthetic learning curves whose end is known: error = floor + gain / step^rate + noise, where the floor depends on what
is searched, and rate and gain vary from configuration to configuration, so that curves cross. A configuration is kept
if it runs to its last step. Two workers; without a pruner all would run to their ends, so saved steps are counted
against that.
"""

from pathlib import Path
from statistics import median

import pytest

from ablate.backends.ray_tune import RayTuneBackend
from ablate.plan.expand import expand
from ablate.run.recorders import Recorders
from ablate.run.searching import execute_search
from ablate.search.history import Entry, State
from ablate.search.ledger import Ledger
from ablate.store import Store
from ablate.study.load import load_study

pytestmark = [pytest.mark.bench, pytest.mark.long, pytest.mark.timeout(3600)]

NUM_STEPS, NUM_TRIALS, NUM_SEEDS = 81, 40, 10
LEAST_SAVED, LEAST_KEPT = 0.6, 9

TASKS = f'''
import math
import random
from dataclasses import dataclass
from typing import Literal

NUM_STEPS = {NUM_STEPS}


@dataclass(frozen=True, kw_only=True)
class Training:
    learning_rate: float = 1e-3
    dropout: float = 0.1
    evaluate_on: Literal["validation", "test"] = "test"


def curve(training: Training) -> list[float]:
    """The whole curve of a configuration, noise and all."""
    draws = random.Random(f"{{training.learning_rate}} {{training.dropout}}")
    floor = 10 + 8 * abs(math.log10(training.learning_rate) + 2.5) + 20 * (training.dropout - 0.2) ** 2
    gain, rate = draws.uniform(30, 60), draws.uniform(0.6, 1.0)
    return [floor + gain / step**rate + draws.gauss(0, 0.3) for step in range(1, NUM_STEPS + 1)]


def run(*, training: Training, trial) -> dict[str, float]:
    errors = curve(training)
    for step, error in enumerate(errors, start=1):
        trial.report(step, {{"error": error}})
    return {{"error": errors[-1]}}
'''

STUDY = """\
study: curves
title: What does early stopping save?
plugins: [toy]
task: toy.curves:run
search:
  space:
    training.learning_rate: {{type: float, low: 1e-5, high: 1, log: true}}
    training.dropout: {{type: float, low: 0, high: 0.6}}
  sampler: {{name: random, seed: {seed}}}
  pruner: {{name: asha, min_steps: 3, reduction: 3}}
  budget: {number}
  metric: error
metrics:
  - {{name: error, unit: mm, better: lower}}
"""


def _search(toy_project, store: Store, seed: int) -> list[Entry]:
    study = toy_project.write("studies/curves.yaml", STUDY.format(seed=seed, number=NUM_TRIALS))
    plan = expand(load_study(study))
    summary = execute_search(
        plan, store=store, backend=RayTuneBackend(num_cpus=2), recorders=Recorders(()), stopping=lambda: False
    )
    assert summary.exit_code == 0
    return Ledger(store, "curves", plan.searches[0].key).entries()


def _final_error(entry: Entry) -> float:
    from toy.curves import Training, curve  # type: ignore[import-not-found]

    return float(
        curve(Training(**{key.removeprefix("training."): value for key, value in entry.parameters.items()}))[-1]
    )


def test_asha_saves_steps_and_keeps_the_best(toy_project, tmp_path: Path) -> None:
    toy_project.write("toy/curves.py", TASKS)
    shares, num_kept = [], 0
    for seed in range(NUM_SEEDS):
        store = Store(tmp_path / f"seed-{seed}")
        entries = _search(toy_project, store, seed)
        assert {entry.state for entry in entries} == {State.TOLD, State.PRUNED}
        num_steps = sum(len(store.curves(trial_id)) for entry in entries for trial_id in entry.trials.values())
        shares.append(1 - num_steps / (NUM_TRIALS * NUM_STEPS))
        best = min(entries, key=_final_error)
        num_kept += best.state is State.TOLD
        num_told = sum(entry.state is State.TOLD for entry in entries)
        print(
            f"seed {seed}: {100 * shares[-1]:.1f} % of the steps saved, {num_told} of {NUM_TRIALS} ran to the end, "
            f"the best one {'kept' if best.state is State.TOLD else 'lost'}"
        )
    print(
        f"saved: median {100 * median(shares):.1f} %, least {100 * min(shares):.1f} %; kept {num_kept} of {NUM_SEEDS}"
    )
    assert min(shares) >= LEAST_SAVED
    assert num_kept >= LEAST_KEPT
