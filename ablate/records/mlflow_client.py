"""The door to mlflow: the calls that the mirror makes, in plain values."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.records.mlflow_content import DatasetInput, Point

MAX_POINTS, MAX_NAMED = 900, 50
"""Points, and each of parameters and tags, in one batch: MLflow takes 1000 entries in all."""
_DESCRIPTION = "mlflow.note.content"
_EXPERIMENT_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the page opens on runs, not on GenAI traces


def default_tracking_uri(root: Path) -> str:
    """Give the address of the store's own MLflow: SQLite under its root."""
    return f"sqlite:///{root / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    """Say whether artifacts go through a server, which decides where they lie."""
    return uri.startswith(("http://", "https://", "databricks"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A run as MLflow has it, with the last step of each metric; times in milliseconds since 1970."""

    run_id: str
    name: str
    status: str
    start_ms: int
    tags: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)


def load_mlflow() -> None:
    """Load the library, which takes seconds the first time, set so that it says, sends and repeats nothing."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # standard output is for results
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    # MLflow's own use of SQLAlchemy, once per process and nothing the user can change.
    warnings.filterwarnings("ignore", message="The ``noload`` loader", category=DeprecationWarning)
    import mlflow  # noqa: F401

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # tracebacks of what is raised as well


class Tracking:
    """MLflow at one address, without its telemetry, its log lines and its long waits for a server that is not there.

    Every method raises what MLflow raises, at the first failure: a request that MLflow itself repeats after its answer
    was lost may make a second run. Whoever tries again looks first what is there.

    Args:
        uri: A server or database.
    """

    def __init__(self, uri: str) -> None:
        load_mlflow()
        from mlflow import MlflowClient

        _check_database(uri)
        self._client: Any = _Noting(MlflowClient(tracking_uri=uri))
        self.logged_s = 0.0
        """When points, parameters or tags were taken last, on the monotonic clock."""

    @property
    def answered_s(self) -> float:
        """When MLflow took or gave something last, on the monotonic clock; 0 before."""
        return float(self._client.answered_s)

    def find_experiment(self, name: str) -> str | None:
        """Give an experiment's id, or nothing where there is none."""
        found = self._client.get_experiment_by_name(name)
        return None if found is None else str(found.experiment_id)

    def open_experiment(self, name: str, *, title: str, location: str | None) -> str:
        """Give an experiment's id; it is made, or brought back from the bin, and carries the title as description."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            tags = {**_EXPERIMENT_KIND, _DESCRIPTION: title}
            return str(self._client.create_experiment(name, artifact_location=location, tags=tags))
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        if found.tags.get(_DESCRIPTION) != title:
            self._client.set_experiment_tag(found.experiment_id, _DESCRIPTION, title)
        return str(found.experiment_id)

    def runs(self, experiment_id: str, tag: tuple[str, str] | None = None) -> list[FoundRun]:
        """Give the runs of an experiment, the oldest last; with `tag` only those that carry this value of it."""
        wanted = "" if tag is None else f"tags.`{tag[0]}` = '{tag[1]}'"
        found: list[FoundRun] = []
        token = None
        while True:
            page = self._client.search_runs([experiment_id], filter_string=wanted, max_results=1000, page_token=token)
            found += [_found(run) for run in page]
            token = page.token
            if not token:
                return found

    def points(self, run_id: str, *, without: str) -> list[Point]:
        """Give every point of a run but those of metrics whose names begin with `without`."""
        names = [name for name in self._client.get_run(run_id).data.metrics if not name.startswith(without)]
        return [
            Point(name=name, value=point.value, step=point.step, time_ms=point.timestamp)
            for name in names
            for point in self._client.get_metric_history(run_id, name)
        ]

    def create_run(self, experiment_id: str, *, name: str, start_ms: int, tags: Mapping[str, str]) -> FoundRun:
        """Make a run."""
        return _found(self._client.create_run(experiment_id, start_time=start_ms, run_name=name, tags=dict(tags)))

    def delete_run(self, run_id: str) -> None:
        """Put a run into the bin."""
        self._client.delete_run(run_id)

    def rename(self, run_id: str, name: str) -> None:
        """Call a run something else."""
        self._client.update_run(run_id, name=name)

    def resume(self, run_id: str) -> None:
        """Show a run as running."""
        self._client.update_run(run_id, status="RUNNING")

    def end(self, run_id: str, status: str, ended_ms: int | None = None) -> None:
        """End a run with one of MLflow's words, now or when it ended."""
        self._client.set_terminated(run_id, status, end_time=ended_ms)

    def describe(self, run_id: str, text: str) -> None:
        """Put Markdown on a run's page."""
        self._client.set_tag(run_id, _DESCRIPTION, text)

    def remove_tag(self, run_id: str, key: str) -> None:
        """Take a tag off a run."""
        self._client.delete_tag(run_id, key)

    def log(
        self,
        run_id: str,
        *,
        points: Sequence[Point] = (),
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send up to `MAX_POINTS` points, and up to `MAX_NAMED` parameters and tags each."""
        from mlflow.entities import Metric, Param, RunTag

        self._client.log_batch(
            run_id,
            metrics=[Metric(point.name, point.value, point.time_ms, point.step) for point in points],
            params=[Param(name, value) for name, value in (parameters or {}).items()],
            tags=[RunTag(key, value) for key, value in (tags or {}).items()],
        )
        self.logged_s = time.monotonic()

    def log_datasets(self, run_id: str, inputs: Sequence[DatasetInput]) -> None:
        """Name what a run worked on; the same twice is there once."""
        from mlflow.entities import Dataset, InputTag
        from mlflow.entities import DatasetInput as Input

        datasets = [
            Input(
                dataset=Dataset(
                    name=one.name, digest=one.digest, source_type=one.kind, source=json.dumps({"uri": one.source})
                ),
                tags=[InputTag("mlflow.data.context", one.kind)],
            )
            for one in inputs
        ]
        self._client.log_inputs(run_id, datasets)

    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Copy a file among a run's artifacts."""
        self._client.log_artifact(run_id, str(path), folder)

    def log_texts(self, run_id: str, texts: Mapping[str, str]) -> None:
        """Write small files among a run's artifacts, by name."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in texts.items():
                Path(folder, name).write_text(text, encoding="utf-8")
            self._client.log_artifacts(run_id, folder)


class _Noting:
    """MLflow's client; notes when a call was answered."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.answered_s = 0.0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **named: Any) -> Any:
            answer = method(*args, **named)
            self.answered_s = time.monotonic()
            return answer

        return call


def _check_database(uri: str) -> None:
    """Raise at once what is wrong with a SQLite file: MLflow tries for minutes to open one."""
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and path.exists():
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA schema_version")
        finally:
            connection.close()


def _found(run: Any) -> FoundRun:
    return FoundRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        start_ms=run.info.start_time,
        tags=dict(run.data.tags),
        steps={metric.key: metric.step for metric in run.data.to_proto().metrics},
    )
