"""A finished study of three arms on two groups of metrics, in a real store."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.plan.model import Plan, PlannedTrial
from ablate.store import RunFacts, Store
from ablate.study.model import Arm, Curve, Metric, Stage, Study
from ablate.trial import Outcome, Report, Status, TrialSpec
from tests.studies import bare_study

SHIFTS = {"ours": 0.0, "without weights": 14.0, "learned weights": 0.3}
ROWS = {"ours": "Ours", "without weights": "Ours w/o weights", "learned weights": "Learned"}
PAPER = """\
schema_version: 1
tables:
- id: table3
  title: Weights
  dataset: court
  columns: [{name: mv}, {name: sv}]
  rows:
  - {name: Ours, values: {mv: 66.9, sv: 104.4}}
  - {name: Ours w/o weights, values: {mv: 80.5, sv: 118.5}}
  - {name: Learned, values: {mv: 88.3, sv: null}}
  contrasts:
  - {arm: Ours w/o weights, reference: Ours, sign: {mv: +}, printed_delta: {mv: 13.6}, contradicted_by_print: []}
  - {arm: Learned, reference: Ours, sign: {mv: '-'}, printed_delta: {mv: 21.4}, contradicted_by_print: [mv]}
"""
METRICS = (
    Metric(name="multiview/mpjpe", unit="mm", better="lower", paper="mv"),
    Metric(name="multiview/kept", unit="percent", better="higher"),
    Metric(name="singleview/mpjpe", unit="mm", better="lower", paper="sv"),
)


def build_study(folder: Path, **changes: Any) -> Study:
    (folder / "papers").mkdir(parents=True, exist_ok=True)
    (folder / "papers" / "roy.yaml").write_text(PAPER)
    fields: dict[str, Any] = {
        "arms": tuple(Arm(name=name, overrides={}, paper=ROWS[name]) for name in SHIFTS),
        "path": folder / "weights.yaml",
        "source": "study: weights\ntitle: Weighting <the> views\n",
        "name": "weights",
        "title": "Weighting <the> views",
        "paper": "roy/table3",
        "base": ("method=toy", "data=court_sim"),
        "stages": {"detector": Stage(name="detector", task="toy:detect")},
        "needs": ("detector",),
        "reference": "ours",
        "metrics": METRICS,
        "curves": (Curve(title="Error in training", metrics=("multiview/mpjpe",), unit="mm"),),
        "lines": {"paper": 3, "paper_rows.ours": 14, "metrics.0.paper": 20},
        "notes": "Weights **prevent damage**.\n\n<script>alert(1)</script>",
    }
    return bare_study(**{**fields, **changes})


def build_plan(study: Study, num_seeds: int = 3) -> Plan:
    detector = TrialSpec(task="toy:detect", parameters={}, seed=None, code="c0de")
    trials = [PlannedTrial(spec=detector, role="stage", name="detector")]
    for arm in study.arms:
        for seed in range(num_seeds):
            spec = TrialSpec(
                task=study.task, parameters={"arm": arm.name}, seed=seed, needs={"detector": detector.id}, code="c0de"
            )
            trials.append(PlannedTrial(spec=spec, role="arm", name=arm.name))
    return Plan(
        study=study,
        scale="quick",
        seeds=tuple(range(num_seeds)),
        trials=tuple(trials),
        configuration={"method": {"weighting": "geometric"}},
    )


def finish(store: Store, trial: PlannedTrial, **outcome: Any) -> None:
    """Write a trial's curves and record as a worker would; numbers follow from the arm and the seed alone."""
    spec = trial.spec
    store.write_spec(spec)
    attempt = store.claim(spec.id)
    seed, shift = spec.seed or 0, SHIFTS.get(trial.name, 0.0)
    noise = math.sin(7.0 * seed + len(trial.name))
    level = 66.0 + 3.0 * math.cos(5.0 * seed) + shift + noise
    if trial.role == "arm":
        for step in range(0, 100, 10):
            point = {"multiview/mpjpe": level + 40.0 * math.exp(-step / 30.0)}
            store.append_report(Report(trial_id=spec.id, attempt=attempt, step=step, metrics=point))
    metrics = {"multiview/mpjpe": level, "multiview/kept": 90.0 - shift, "singleview/mpjpe": level + 40.0}
    fields: dict[str, Any] = {"status": Status.FINISHED, "metrics": metrics if trial.role == "arm" else {}}
    run = RunFacts(
        attempt=attempt,
        started="2026-08-01T10:00:00+00:00",
        ended="2026-08-01T10:01:30+00:00",
        seconds=90.0,
        host="node-1",
        python="3.11.4",
        versions={"torch": "2.13.0"},
    )
    store.finish(spec.id, attempt, Outcome(trial_id=spec.id, attempt=attempt, **{**fields, **outcome}), run)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Study]:
    return lambda **changes: build_study(tmp_path / "studies", **changes)


@pytest.fixture
def make_plan(make_study: Callable[..., Study]) -> Callable[..., Plan]:
    return lambda num_seeds=3, **changes: build_plan(make_study(**changes), num_seeds)


@pytest.fixture
def finish_trial(store: Store) -> Callable[..., None]:
    return lambda trial, **outcome: finish(store, trial, **outcome)


@pytest.fixture
def plan(make_plan: Callable[..., Plan], finish_trial: Callable[..., None]) -> Plan:
    """The plan of a study whose every trial is finished."""
    plan = make_plan()
    for trial in plan.trials:
        finish_trial(trial)
    return plan
