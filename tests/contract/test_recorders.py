"""What every recorder keeps to: it hears anything in any order, and neither blocks, raises, nor needs its other end."""

import shutil

import pytest

from ablate.plan.model import Plan, PlannedTrial
from ablate.records.mlflow import MlflowMirror
from ablate.records.mlflow_client import Tracking
from ablate.run.progress import Progress
from ablate.store import Store
from ablate.trial import Outcome, Report, Status, TrialSpec
from tests.studies import bare_study

SPEC = TrialSpec(task="toy:run", parameters={"x": 1}, seed=0)


@pytest.fixture
def plan() -> Plan:
    trials = (PlannedTrial(spec=SPEC, role="arm", name="ours"),)
    return Plan(study=bare_study(), scale="quick", seeds=(0,), trials=trials, configuration={})


NOWHERE = "http://127.0.0.1:9"
RECORDERS = {
    "mlflow": lambda plan, store: MlflowMirror(plan, store, None),
    "mlflow that cannot be reached": lambda plan, store: MlflowMirror(plan, store, NOWHERE, patience_s=0.5),
    "mlflow that does not exist": lambda plan, store: MlflowMirror(plan, store, "nonsense://nowhere"),
    "progress": lambda plan, store: Progress(plan, store=store),
}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """An MLflow database with its schema and nothing else: setting one up takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Tracking(f"sqlite:///{path}").find_experiment("none")
    return path


@pytest.fixture
def store(tmp_path, empty_database):
    root = tmp_path / "runs"
    root.mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    return Store(root)


@pytest.fixture(params=RECORDERS.values(), ids=RECORDERS)
def recorder(request, plan, store):
    return request.param(plan, store)


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
