"""A report over 10,000 records takes under 20 s; beside it the time of a loop that says how fast the machine is."""

import json
import random
import time
from pathlib import Path

import pytest

from ablate.plan.model import Plan, PlannedTrial
from ablate.report.build import write_report
from ablate.store import RunFacts, Store
from ablate.store.record import record_content
from ablate.study.model import Arm, Metric
from ablate.trial import Outcome, Status, TrialSpec
from tests.studies import bare_study

pytestmark = pytest.mark.bench

NUM_ARMS, NUM_SEEDS = 1_000, 10
LIMIT_S = 20.0
RUN = RunFacts(
    attempt=1,
    started="2026-08-01T10:00:00+00:00",
    ended="2026-08-01T10:01:30+00:00",
    seconds=90.0,
    host="node-1",
    python="3.11.4",
    versions={"torch": "2.13.0", "numpy": "2.1.0"},
)


def make_plan(folder: Path) -> Plan:
    study = bare_study(
        [Arm(name=f"arm {index}", overrides={"method.index": index}) for index in range(NUM_ARMS)],
        path=folder / "many.yaml",
        source="study: many\n",
        name="many",
        title="Many arms",
        base=("method=toy",),
        num_replicates=NUM_SEEDS,
        metrics=(
            Metric(name="multiview/mpjpe", unit="mm", better="lower", equivalent_within=0.5),
            Metric(name="singleview/mpjpe", unit="mm", better="lower"),
        ),
    )
    trials = tuple(
        PlannedTrial(
            spec=TrialSpec(task=study.task, parameters={"index": index}, seed=seed, code="c0de"),
            role="arm",
            name=arm.name,
        )
        for index, arm in enumerate(study.arms)
        for seed in range(NUM_SEEDS)
    )
    return Plan(study=study, scale="quick", seeds=tuple(range(NUM_SEEDS)), trials=trials, configuration={})


def fill(store: Store, plan: Plan) -> None:
    """Write every record as the store would, without its flushes to the disk."""
    draw = random.Random(0)
    for trial in plan.trials:
        level = 60.0 + draw.gauss(0.0, 2.0) + trial.spec.parameters["index"] % 7
        metrics = {"multiview/mpjpe": level, "singleview/mpjpe": level + draw.gauss(40.0, 3.0)}
        outcome = Outcome(trial_id=trial.spec.id, attempt=1, status=Status.FINISHED, metrics=metrics)
        folder = store.folder(trial.spec.id)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record_content(outcome, RUN)))


def calibration_s() -> float:
    """Time a loop of pure Python that is the same everywhere: about 1 s on a core of 2020."""
    start_s = time.perf_counter()
    total = 0
    for number in range(12_000_000):
        total += number & 7
    assert total > 0
    return time.perf_counter() - start_s


def test_a_report_over_10_000_records_takes_under_20_s(tmp_path, capsys):
    store, plan = Store(tmp_path / "runs"), make_plan(tmp_path)
    fill(store, plan)
    loop_s = calibration_s()
    start = time.perf_counter()
    written = write_report(plan, store)
    report_s = time.perf_counter() - start
    with capsys.disabled():
        print(f"\nreport over {len(plan.trials)} records: {report_s:.1f} s (calibration loop {loop_s:.2f} s)")
    assert written.content.facts.num_finished == NUM_ARMS * NUM_SEEDS
    assert len(written.results.read_text().splitlines()) == 1 + 2 * NUM_ARMS * NUM_SEEDS
    assert "<details><summary>999 contrasts</summary>" in written.html.read_text()
    assert report_s < LIMIT_S
