"""A small plan in a real store, and MLflow's client on the store's own database."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ablate.plan.model import Plan, PlannedTrial
from ablate.store import RunFacts, Store
from ablate.store.system import SystemSample, append_system
from ablate.trial import Outcome, Report, Status, TrialSpec
from tests.studies import bare_study


def build_plan(scale: str = "quick", seeds: tuple[int, ...] = (0, 1)) -> Plan:
    study = bare_study(
        ("ours", "uniform"), path=Path("studies/weights.yaml"), name="weights", title="Weighting the views"
    )
    stage = TrialSpec(
        task="toy:pre", parameters={"data": {"sizes": [8, 16]}}, seed=None, data={"data": "0123456789abcdef0123"}
    )
    trials = [PlannedTrial(spec=stage, role="stage", name="detector")]
    for arm in study.arms:
        for seed in seeds:
            parameters = {"method": {"weighting": arm.name, "loss": {"alpha": 0.5}}}
            trials.append(
                PlannedTrial(
                    spec=TrialSpec(task="toy:run", parameters=parameters, seed=seed, needs={"detector": stage.id}),
                    role="arm",
                    name=arm.name,
                )
            )
    return Plan(study=study, scale=scale, seeds=seeds, trials=tuple(trials), configuration={})


def report(store: Store, trial: PlannedTrial, attempt: int, step: int, value: float | None = None) -> Report:
    point = Report(trial_id=trial.spec.id, attempt=attempt, step=step, metrics={"loss": value or 1.0 / (1 + step)})
    store.append_report(point)
    return point


def end(store: Store, trial: PlannedTrial, attempt: int, **changes: Any) -> Outcome:
    fields: dict[str, Any] = {"status": Status.FINISHED, "metrics": {"error": 60.0 + (trial.spec.seed or 0)}}
    outcome = Outcome(trial_id=trial.spec.id, attempt=attempt, **{**fields, **changes})
    run = RunFacts(
        attempt=attempt,
        started="2026-08-01T10:00:00+00:00",
        ended="2026-08-01T10:00:30+00:00",
        seconds=30.0,
        host="node-1",
        python="3.11.4",
    )
    store.log_path(trial.spec.id).write_text("the end of the log\n")
    store.finish(trial.spec.id, attempt, outcome, run)
    return outcome


def carry_out(store: Store, trial: PlannedTrial, num_steps: int = 3) -> None:
    """Run a trial as a worker would, without anybody listening."""
    store.write_spec(trial.spec)
    attempt = store.claim(trial.spec.id)
    for step in range(num_steps):
        report(store, trial, attempt, step)
        sample = SystemSample(
            attempt=attempt,
            time_ms=1_785_578_401_000 + 5000 * step,
            metrics={"cpu_utilization_percentage": 50.0 + step},
        )
        append_system(store, trial.spec.id, sample)
    figure = store.artifacts(trial.spec.id) / "figures" / "poses.svg"
    figure.parent.mkdir(parents=True)
    figure.write_text("<svg/>")
    end(store, trial, attempt)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its schema and nothing else: setting one up takes seconds."""
    from ablate.records.mlflow_client import Tracking

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    Tracking(f"sqlite:///{path}").find_experiment("none")
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Store:
    root = tmp_path / "runs"
    root.mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    return Store(root)


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    return build_plan


@pytest.fixture
def worker(store: Store) -> SimpleNamespace:
    """What a worker does to the store."""
    return SimpleNamespace(
        carry_out=lambda trial, **settings: carry_out(store, trial, **settings),
        report=lambda trial, attempt, step, value=None: report(store, trial, attempt, step, value),
        end=lambda trial, attempt, **changes: end(store, trial, attempt, **changes),
    )


@pytest.fixture
def dump(look: Callable[[], SimpleNamespace]) -> Callable[[], dict[str, Any]]:
    """Read all there is about the study: two dumps are equal when nothing was written in between."""

    def read() -> dict[str, Any]:
        found = look()
        told = {name: dump_run(found.client, run) for name, run in found.runs.items()}
        return {"experiment": dict(found.experiment.tags), "runs": told}

    return read


def dump_run(client: Any, run: Any) -> dict[str, Any]:
    histories = {
        name: [(point.step, point.timestamp, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    files = {
        str(path.relative_to(folder)): (path.read_text(), path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }
    inputs = sorted(
        (one.dataset.name, one.dataset.digest, one.dataset.source, [(tag.key, tag.value) for tag in one.tags])
        for one in run.inputs.dataset_inputs
    )
    return {
        "info": (run.info.run_id, run.info.status, run.info.start_time, run.info.end_time),
        "parameters": run.data.params,
        "tags": run.data.tags,
        "histories": histories,
        "files": files,
        "inputs": inputs,
    }


@pytest.fixture
def look(store: Store) -> Callable[[], SimpleNamespace]:
    """Read the study's experiment: the runs by name, and the client for more."""

    def read() -> SimpleNamespace:
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{store.root / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("weights")
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        names = [run.info.run_name for run in runs]
        assert len(names) == len(set(names)), names
        return SimpleNamespace(client=client, experiment=experiment, runs={run.info.run_name: run for run in runs})

    return read
