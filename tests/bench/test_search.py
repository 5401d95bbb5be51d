"""Known optima: what the platform's search finds beside bare Optuna with the same sampler seed, trial by trial.

The platform's side is the whole of it: a study file, its plan, a store on disk, the local backend, the ledger. Run one
at a time, both must propose the same and be told the same, to the last bit; that medians are equal then follows.
"""

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest

from ablate.backends.local import LocalBackend
from ablate.plan.expand import expand
from ablate.run.recorders import Recorders
from ablate.run.searching import execute_search
from ablate.search.ledger import Ledger
from ablate.store import Store
from ablate.study.load import load_study
from tests import optima

pytestmark = [pytest.mark.bench, pytest.mark.long, pytest.mark.timeout(3600)]

NUM_TRIALS, NUM_SEEDS = 100, 10

TASKS = """

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Plane:
    x: float = 0.0
    y: float = 0.0
    evaluate_on: Literal["validation", "test"] = "test"


@dataclass(frozen=True, kw_only=True)
class Cube:
    x0: float = 0.0
    x1: float = 0.0
    x2: float = 0.0
    x3: float = 0.0
    x4: float = 0.0
    x5: float = 0.0
    evaluate_on: Literal["validation", "test"] = "test"


@dataclass(frozen=True, kw_only=True)
class Shape:
    kind: Literal["line", "curve"] = "line"
    slope: float = 0.0
    width: float = 1.0
    order: int = 1
    evaluate_on: Literal["validation", "test"] = "test"


def run_branin(*, at: Plane) -> dict[str, float]:
    return {"value": branin(asdict(at))}


def run_hartmann(*, at: Cube) -> dict[str, float]:
    return {"value": hartmann(asdict(at))}


def run_conditional(*, at: Shape) -> dict[str, float]:
    return {"value": conditional(asdict(at))}
"""

STUDY = """\
study: {name}
title: Does the search find what bare Optuna finds?
plugins: [toy]
task: toy.known:run_{name}
search:
  space:
{space}
  sampler: {{name: tpe, seed: {seed}}}
  budget: {number}
  parallel: 1
  metric: value
metrics:
  - {{name: value, unit: "1", better: lower}}
"""

UNIT = "{type: float, low: 0, high: 1}"
SPACES = {
    "branin": {"x": "{type: float, low: -5, high: 10}", "y": "{type: float, low: 0, high: 15}"},
    "hartmann": {f"x{index}": UNIT for index in range(6)},
    "conditional": {
        "kind": "{choices: [line, curve]}",
        "slope": "{type: float, low: -1, high: 1, when: {at.kind: line}}",
        "width": "{type: float, low: 1e-5, high: 10, log: true, when: {at.kind: curve}}",
        "order": "{type: int, low: 1, high: 9, when: {at.kind: curve}}",
    },
}
Found = list[tuple[dict[str, Any], float]]


def ask_branin(trial: optuna.Trial) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", -5, 10), "y": trial.suggest_float("y", 0, 15)}


def ask_hartmann(trial: optuna.Trial) -> dict[str, Any]:
    return {f"x{index}": trial.suggest_float(f"x{index}", 0, 1) for index in range(6)}


def ask_conditional(trial: optuna.Trial) -> dict[str, Any]:
    if trial.suggest_categorical("kind", ["line", "curve"]) == "line":
        return {"kind": "line", "slope": trial.suggest_float("slope", -1, 1)}
    width, order = trial.suggest_float("width", 1e-5, 10, log=True), trial.suggest_int("order", 1, 9)
    return {"kind": "curve", "width": width, "order": order}


BARE: Mapping[str, Callable[[optuna.Trial], dict[str, Any]]] = {
    "branin": ask_branin,
    "hartmann": ask_hartmann,
    "conditional": ask_conditional,
}


def bare(name: str, seed: int, number: int) -> Found:
    """Search as a person would with Optuna alone."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    function = getattr(optima, name)
    study.optimize(lambda trial: function(BARE[name](trial)), n_trials=number)
    return [(trial.params, trial.value) for trial in study.trials]


def searched(project: Any, name: str, seed: int, number: int) -> Found:
    """Search with the platform, in a store of its own."""
    space = "\n".join(f"    at.{key}: {entry}" for key, entry in SPACES[name].items())
    path = project.root / "studies" / f"{name}.yaml"
    path.write_text(STUDY.format(name=name, space=space, seed=seed, number=number))
    plan, store = expand(load_study(path)), Store(project.root / f"{name}-{seed}")
    execute_search(plan, store=store, backend=LocalBackend(), recorders=Recorders([]), stopping=lambda: False)
    entries = Ledger(store, name, plan.searches[0].key).entries()
    return [
        ({key.removeprefix("at."): value for key, value in entry.parameters.items()}, entry.values[0])
        for entry in entries
    ]


@pytest.fixture
def project(toy_project: Any) -> Any:
    """The toy project with tasks that compute a known function."""
    toy_project.write("toy/known.py", inspect.getsource(optima) + TASKS)
    assert Path(import_module("toy.known").__file__).is_relative_to(toy_project.root)
    return toy_project


@pytest.mark.parametrize("name", list(SPACES))
def test_a_search_finds_what_bare_optuna_finds(project: Any, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = []
    for seed in range(NUM_SEEDS):
        ours, theirs = searched(project, name, seed, NUM_TRIALS), bare(name, seed, NUM_TRIALS)
        assert len(ours) == NUM_TRIALS
        assert ours == theirs
        pairs.append((min(value for _, value in ours), min(value for _, value in theirs)))
    ours_best, theirs_best = (median(side) for side in zip(*pairs, strict=True))
    with capsys.disabled():
        print(
            f"\n{name}: median of {NUM_SEEDS} seeds at {NUM_TRIALS} trials: {ours_best:.6g}, bare Optuna "
            f"{theirs_best:.6g} (the optimum is {optima.LEAST[name]:g}); equal in {NUM_SEEDS * NUM_TRIALS} trials"
        )
    assert ours_best == theirs_best
