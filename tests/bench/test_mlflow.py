"""How many points a second MLflow takes on a SQLite file: from the mirror, and from MLflow's own calls."""

import itertools
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ablate.plan.model import Plan, PlannedTrial
from ablate.records.mlflow import MlflowMirror
from ablate.records.mlflow_client import Tracking
from ablate.records.mlflow_runs import StudyRuns
from ablate.store import CurvePoint, Store
from ablate.trial import Report, TrialSpec
from tests.bench.measuring import Contract, Peer
from tests.studies import bare_study

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

NUM_SINGLE, NUM_BATCHED = 20, 1_000
METRIC = "loss"


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's schema and nothing else; this client also switches telemetry off."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Tracking(f"sqlite:///{path}").find_experiment("none")
    return path


def make_plan() -> Plan:
    study = bare_study(("ours",), name="points", title="Many points")
    spec = TrialSpec(task="toy:run", parameters={"lr": 1.0}, seed=0)
    trial = PlannedTrial(spec=spec, role="arm", name="ours")
    return Plan(study=study, scale="quick", seeds=(0,), trials=(trial,), configuration={})


@dataclass(frozen=True)
class Place:
    """Fresh stores, each with a database of its own, and a run of bare MLflow that goes on and on."""

    root: Path
    empty_database: Path
    numbers: Iterator[int]
    steps: Iterator[int]

    def store(self) -> Store:
        folder = self.root / f"{next(self.numbers)}"
        folder.mkdir()
        shutil.copy(self.empty_database, folder / "mlflow.db")
        return Store(folder)

    def bare_client(self):
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.store().root / 'mlflow.db'}")
        return client, client.create_run(client.create_experiment("bare")).info.run_id

    def log_metric(self):
        client, run_id = self.bare_client()

        def call():
            for _ in range(NUM_SINGLE):
                step = next(self.steps)
                client.log_metric(run_id, METRIC, 0.5, timestamp=step, step=step)

        return call

    def log_batch(self):
        from mlflow.entities import Metric

        client, run_id = self.bare_client()

        def call():
            steps = list(itertools.islice(self.steps, NUM_BATCHED))
            client.log_batch(run_id, metrics=[Metric(METRIC, 0.5, step, step) for step in steps])

        return call

    def study_runs(self):
        plan, store = make_plan(), self.store()
        trial = plan.trials[0]
        runs = StudyRuns(plan, store, f"sqlite:///{store.root / 'mlflow.db'}")
        runs.start(trial.spec.id)

        def call():
            steps = itertools.islice(self.steps, NUM_BATCHED)
            runs.send(trial.spec.id, [CurvePoint(step=step, attempt=1, metrics={METRIC: 0.5}) for step in steps])

        return call

    def mirror(self):
        plan = make_plan()
        trial = plan.trials[0]

        def call():
            mirror = MlflowMirror(plan, self.store(), None)
            mirror.started(trial.spec, 1)
            for step in range(NUM_BATCHED):
                mirror.reported(Report(trial_id=trial.spec.id, attempt=1, step=step, metrics={METRIC: 0.5}))
            mirror.close()

        return call


LOG_BATCH, LOG_METRIC = f"MLflow log_batch, {NUM_BATCHED:,} points", "MLflow log_metric"
BATCHES, MIRROR = f"ablate, {NUM_BATCHED:,} points to a run", f"ablate, {NUM_BATCHED:,} reports and a new connection"


@pytest.mark.parametrize("name", [LOG_BATCH, LOG_METRIC, BATCHES, MIRROR])
def test_points(side_by_side, tmp_path, empty_database, name):
    def peers():
        place = Place(tmp_path, empty_database, itertools.count(), itertools.count())
        return {
            LOG_BATCH: Peer(place.log_batch(), NUM_BATCHED),
            LOG_METRIC: Peer(place.log_metric(), NUM_SINGLE),
            BATCHES: Peer(place.study_runs(), NUM_BATCHED),
            MIRROR: Peer(place.mirror(), NUM_BATCHED),
        }

    side_by_side("MLflow, SQLite", name, peers, unit="points", contract=Contract(budget_s=10.0))


def test_all_points_arrive(tmp_path, empty_database):
    """What is timed is what it says: every point of each way is in the database."""
    place = Place(tmp_path, empty_database, itertools.count(), itertools.count())
    for way in (place.log_batch, place.study_runs, place.mirror):
        way()()
    for number in range(3):
        assert num_points(tmp_path / str(number) / "mlflow.db") == NUM_BATCHED


def num_points(database: Path) -> int:
    connection = sqlite3.connect(database)
    try:
        return int(connection.execute("SELECT count(*) FROM metrics WHERE key = ?", (METRIC,)).fetchone()[0])
    finally:
        connection.close()
