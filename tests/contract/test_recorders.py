"""What every recorder keeps to: it hears anything in any order, and neither blocks, raises, nor needs its other end."""

from pathlib import Path

import pytest

from ablate.plan.model import Plan, PlannedTrial
from ablate.records.mlflow import MlflowMirror
from ablate.run.progress import Progress
from ablate.store import Store
from ablate.study.model import Arm, Metric, Study
from ablate.trial import Outcome, Report, Resources, Status, TrialSpec

SPEC = TrialSpec(task="toy:run", parameters={"x": 1}, seed=0)


@pytest.fixture
def plan() -> Plan:
    study = Study(
        path=Path("toy.yaml"),
        source="",
        name="toy",
        title="Toy",
        paper=None,
        base=(),
        overrides=(),
        stages={},
        task="toy:run",
        needs=(),
        arms=(Arm(name="ours", overrides={}),),
        reference="ours",
        num_replicates=None,
        metrics=(Metric(name="error", unit="mm", better="lower"),),
        curves=(),
        resources=Resources(),
        plugins=(),
        lines={},
    )
    trials = (PlannedTrial(spec=SPEC, role="arm", name="ours"),)
    return Plan(study=study, scale="quick", seeds=(0,), trials=trials, configuration={})


RECORDERS = {
    "mlflow": lambda plan, store: MlflowMirror(plan, store, None),
    "mlflow that cannot be reached": lambda plan, store: MlflowMirror(plan, store, "http://127.0.0.1:9"),
    "mlflow that does not exist": lambda plan, store: MlflowMirror(plan, store, "nonsense://nowhere"),
    "progress": lambda plan, store: Progress(plan, store=store),
}


@pytest.fixture(params=RECORDERS.values(), ids=RECORDERS)
def recorder(request, plan, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return request.param(plan, Store(tmp_path / "runs"))


def outcome(status=Status.FINISHED):
    return Outcome(trial_id=SPEC.id, attempt=1, status=status, metrics={"error": 1.0})


def point(step):
    return Report(trial_id=SPEC.id, attempt=1, step=step, metrics={"error": 1.0})


def test_a_whole_run_is_heard(recorder):
    recorder.started(SPEC, 1)
    for step in range(3):
        recorder.reported(point(step))
    recorder.ended(SPEC, outcome())
    recorder.close()


def test_hearing_nothing_is_fine(recorder):
    recorder.close()


@pytest.mark.parametrize("status", list(Status))
def test_every_way_to_end_is_heard(recorder, status):
    recorder.started(SPEC, 1)
    recorder.ended(SPEC, outcome(status))
    recorder.close()


def test_a_second_attempt_is_heard(recorder):
    recorder.started(SPEC, 1)
    recorder.ended(SPEC, outcome(Status.INTERRUPTED))
    recorder.started(SPEC, 2)
    recorder.reported(point(0))
    recorder.ended(SPEC, outcome())
    recorder.close()


def test_points_before_the_start_and_after_the_end_are_heard(recorder):
    recorder.reported(point(0))
    recorder.started(SPEC, 1)
    recorder.ended(SPEC, outcome())
    recorder.reported(point(1))
    recorder.close()


def test_closing_twice_is_fine(recorder):
    recorder.close()
    recorder.close()
