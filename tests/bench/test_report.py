"""A report over 10,000 records takes under 20 s; beside it a fixed loop of pure Python in the same rounds."""

import json
import random
from pathlib import Path

import pytest

from ablate.plan.model import Plan, PlannedTrial
from ablate.report.build import write_report
from ablate.store import RunFacts, Store
from ablate.store.record import record_content
from ablate.study.model import Arm, Metric
from ablate.trial import Outcome, Status, TrialSpec
from tests.bench.loop import LOOP, python_loop
from tests.bench.measuring import Contract, Peer
from tests.studies import bare_study

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

NUM_ARMS, NUM_SEEDS = 1_000, 10
NUM_TRIALS = NUM_ARMS * NUM_SEEDS
LIMIT_S = 20.0
REPORT = "the whole report"
ROUNDS = Contract(budget_s=0.0, min_rounds=5)
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


@pytest.mark.parametrize("name", [LOOP, REPORT])
def test_a_report_over_10_000_records_takes_under_20_s(side_by_side, tmp_path, name):
    def peers():
        store, plan = Store(tmp_path / "runs"), make_plan(tmp_path)
        fill(store, plan)
        written = write_report(plan, store)
        assert written.content.facts.num_finished == NUM_TRIALS
        assert len(written.results.read_text().splitlines()) == 1 + 2 * NUM_TRIALS
        assert "<details><summary>999 contrasts</summary>" in written.html.read_text()
        return {LOOP: Peer(python_loop), REPORT: Peer(lambda: write_report(plan, store))}

    comparison = side_by_side("report over 10,000 records", name, peers, unit="calls", contract=ROUNDS)
    assert comparison.samples[name].median_wall_s < LIMIT_S
