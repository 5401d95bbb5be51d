"""However MLflow is away, trials go on at full speed, and it has everything once when it is back."""

import logging
import os
import shutil
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock

from ablate.plan.model import Plan, PlannedTrial
from ablate.records import mlflow_runs, mlflow_ui
from ablate.records.mlflow import MlflowMirror, mirror_report
from ablate.records.mlflow_client import Tracking
from ablate.records.mlflow_sync import sync_study
from ablate.store import RunFacts, Store
from ablate.trial import Outcome, Report, Status, TrialSpec
from tests.studies import bare_study

AT_ONCE_S = 0.5  # shorter than any wait for MLflow here
NOWHERE = "http://127.0.0.1:9"
BY_CHANCE = ("mlflow.parentRunId", "ablate.told")  # tags that carry an id of a run


class Server:
    """A real server on localhost that can be stopped, killed and started again over the same database."""

    def __init__(self, root):
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.child = mlflow_ui._start(f"sqlite:///{self.root / 'mlflow.db'}", self.root, "127.0.0.1", self.port)
        mlflow_ui._wait_until_up(self.child, self.uri)

    def signal(self, number):
        os.killpg(self.child.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.kill()


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
    for name in ("mlflow.db", "steady.db", "whole.db"):
        shutil.copy(empty_database, root / name)
    return Store(root)


@pytest.fixture
def study(request):
    """A plan of three trials; an experiment of its own for each test that shares the server."""
    spec = TrialSpec(task="toy:run", parameters={"x": 1}, seed=0)
    study = bare_study(name=request.node.name)
    seeds = (0, 1, 2)
    trials = tuple(PlannedTrial(spec=replace(spec, seed=seed), role="arm", name="ours") for seed in seeds)
    return Plan(study=study, scale="quick", seeds=seeds, trials=trials, configuration={})


def carry_out(store, study, recorders, at=None, *, num_steps=8, pause_s=0.05):
    """Run the trials as a worker and a driver would; give the longest time that a recorder held them up.

    `at` may do something at a place, (seed, step), of the run.
    """
    longest_s = 0.0

    def tell(call):
        nonlocal longest_s
        for recorder in recorders:
            began = time.monotonic()
            call(recorder)
            longest_s = max(longest_s, time.monotonic() - began)

    for trial in study.trials:
        spec = trial.spec
        store.write_spec(spec)
        attempt = store.claim(spec.id)
        tell(lambda recorder, spec=spec, attempt=attempt: recorder.started(spec, attempt))
        for step in range(num_steps):
            if at and (spec.seed, step) in at:
                at[spec.seed, step]()
            metrics = {"loss": spec.seed + 1 / (1 + step), "rate": 0.1 * step}
            found = Report(trial_id=spec.id, attempt=attempt, step=step, metrics=metrics)
            store.append_report(found)
            tell(lambda recorder, found=found: recorder.reported(found))
            time.sleep(pause_s)
        path = store.artifacts(spec.id) / "figures" / "poses.svg"
        path.parent.mkdir(parents=True)
        path.write_text(f"<svg>{spec.seed}</svg>")
        store.log_path(spec.id).write_text("the end of the log")
        ended = Outcome(trial_id=spec.id, attempt=attempt, status=Status.FINISHED, metrics={"error": 60.0 + spec.seed})
        moments = {"started": "2026-08-01T10:00:00+00:00", "ended": "2026-08-01T10:00:30+00:00"}
        facts = RunFacts(attempt=attempt, **moments, seconds=30.0, host="node-1", python="3.11.4")
        store.finish(spec.id, attempt, ended, facts)
        tell(lambda recorder, spec=spec, ended=ended: recorder.ended(spec, ended))
    return longest_s


def dump(uri, name):
    """Read all that MLflow has of a study, but for ids; times count from the start of the run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(name)
    found = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        assert run.info.run_name not in found
        id_, start_ms = run.info.run_id, run.info.start_time
        points = {key: client.get_metric_history(id_, key) for key in run.data.metrics}
        found[run.info.run_name] = {
            "status": run.info.status,
            "parameters": run.data.params,
            "tags": {key: value for key, value in run.data.tags.items() if key not in BY_CHANCE},
            "histories": {
                key: sorted((point.step, point.timestamp - start_ms, point.value) for point in history)
                for key, history in points.items()
            },
            "files": {path: Path(client.download_artifacts(id_, path)).read_text() for path in files(client, id_)},
            "inputs": sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs),
        }
    return {"tags": experiment.tags, "runs": found}


def files(client, run_id, folder=None):
    for one in client.list_artifacts(run_id, folder):
        if one.is_dir:
            yield from files(client, run_id, one.path)
        else:
            yield one.path


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("ablate")]


def undisturbed(study, store, *, num_steps=8):
    """What MLflow looks like where it was never away: filled from the store in one go."""
    uri = f"sqlite:///{store.root / 'whole.db'}"
    sync_study(study, store, uri, description=None)
    found = dump(uri, study.study.name)
    assert len(found["runs"]) == len(study.trials) + 1
    curves = [run["histories"]["loss"] for name, run in found["runs"].items() if name.startswith("ours")]
    assert all([step for step, _, _ in curve] == list(range(num_steps)) for curve in curves)
    return found


def in_background(*calls):
    thread = Thread(target=lambda: [call() for call in calls])
    thread.start()
    return thread


def test_a_server_that_is_killed_and_comes_back_has_everything(server, study, store, caplog):
    mirror = MlflowMirror(study, store, server.uri)
    steady = MlflowMirror(study, store, f"sqlite:///{store.root / 'steady.db'}")
    threads = []
    away = {(1, 2): server.kill, (1, 4): lambda: threads.append(in_background(lambda: time.sleep(2.0), server.start))}
    with caplog.at_level(logging.WARNING, "ablate"):
        longest_s = carry_out(store, study, [mirror, steady], away, pause_s=0.15)
        threads[0].join()
        mirror.close()
        steady.close()
    assert longest_s < AT_ONCE_S
    first, second = lines(caplog)
    assert first.startswith(f"MLflow at {server.uri} is away (")
    assert second == f"MLflow at {server.uri} is back and up to date"
    assert dump(server.uri, study.study.name) == undisturbed(study, store)
    assert dump(f"sqlite:///{store.root / 'steady.db'}", study.study.name) == undisturbed(study, store)


def test_a_server_that_hangs_for_a_while_has_everything_once(server, study, store, caplog, monkeypatch):
    """Requests that were given up are carried out all the same when it goes on."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    mirror = MlflowMirror(study, store, server.uri)
    away = {(0, 1): lambda: server.signal(signal.SIGSTOP)}
    thread = in_background(lambda: time.sleep(4.5), lambda: server.signal(signal.SIGCONT))
    with caplog.at_level(logging.WARNING, "ablate"):
        longest_s = carry_out(store, study, [mirror], away)
        thread.join()
        mirror.close()
    assert longest_s < AT_ONCE_S
    assert [line.partition(" is ")[2] for line in lines(caplog)] == [
        "away (no answer): the run goes on, news wait for it",
        "back and up to date",
    ]
    assert dump(server.uri, study.study.name) == undisturbed(study, store)


def test_a_server_that_comes_only_after_the_run_is_filled_by_a_sync(server, study, store, caplog):
    mirror = MlflowMirror(study, store, NOWHERE, patience_s=0.5)
    with caplog.at_level(logging.WARNING, "ablate"):
        longest_s = carry_out(store, study, [mirror], pause_s=0.0)
        mirror.close()
        assert not mirror_report(study, store, NOWHERE, description="", files=())
    assert longest_s < AT_ONCE_S
    first, second = lines(caplog)
    assert first == f"MLflow at {NOWHERE} is away (Connection refused): the run goes on, news wait for it"
    assert second.startswith(f"MLflow at {NOWHERE} is not up to date (Connection refused; news of 3 trials wait); ")
    sync_study(study, store, server.uri, description=None)
    assert dump(server.uri, study.study.name) == undisturbed(study, store)


def test_closing_is_bounded_when_nobody_ever_answers(study, store, caplog):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        mirror = MlflowMirror(study, store, f"http://127.0.0.1:{deaf.getsockname()[1]}", patience_s=1.0)
        longest_s = max(time.monotonic() - began, carry_out(store, study, [mirror], pause_s=0.0))
        assert longest_s < AT_ONCE_S  # the first trial starts at once
        began = time.monotonic()
        with caplog.at_level(logging.WARNING, "ablate"):
            mirror.close()
        assert time.monotonic() - began < 2.0
    (line,) = lines(caplog)
    assert "is not up to date (it takes too long; news of 3 trials wait); results are safe in" in line


def test_waiting_at_the_end_can_be_broken_off(study, store, caplog):
    mirror = MlflowMirror(study, store, NOWHERE, patience_s=60.0)
    carry_out(store, study, [mirror], pause_s=0.0)
    thread = in_background(lambda: time.sleep(0.5), lambda: os.kill(os.getpid(), signal.SIGINT))
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "ablate"):
        mirror.close()
    thread.join()
    assert time.monotonic() - began < 10.0
    assert "is not up to date" in lines(caplog)[-1]


@pytest.fixture
def disk():
    """A database file grows by at most this many pages."""
    from sqlalchemy import Pool, event

    found = {"most_pages": 1_000_000}

    def limit(connection, record, proxy):
        connection.execute(f"PRAGMA max_page_count = {found['most_pages']}")

    event.listen(Pool, "checkout", limit)
    yield found
    event.remove(Pool, "checkout", limit)


def test_a_full_disk_is_waited_for(study, store, caplog, disk):
    mirror = MlflowMirror(study, store, None)
    away = {(1, 0): lambda: disk.update(most_pages=1), (2, 119): lambda: disk.update(most_pages=1_000_000)}
    with caplog.at_level(logging.WARNING):
        longest_s = carry_out(store, study, [mirror], away, num_steps=120, pause_s=0.01)
        mirror.close()
    assert longest_s < AT_ONCE_S
    uri = f"sqlite:///{store.root / 'mlflow.db'}"
    assert [record.getMessage() for record in caplog.records] == [
        f"MLflow at {uri} is away (database or disk is full): the run goes on, news wait for it",
        f"MLflow at {uri} is back and up to date",
    ]
    assert dump(uri, study.study.name) == undisturbed(study, store, num_steps=120)


def test_another_driver_that_hangs_with_the_lock_holds_up_nothing(study, store, caplog, monkeypatch):
    monkeypatch.setattr(mlflow_runs, "_LOCK_SECONDS", 0.7)
    mirror = MlflowMirror(study, store, None)
    lock = FileLock(store.root / "mlflow.lock")
    with caplog.at_level(logging.WARNING, "ablate"):
        longest_s = carry_out(store, study, [mirror], {(0, 1): lock.acquire, (2, 7): lock.release}, pause_s=0.15)
        mirror.close()
    assert longest_s < AT_ONCE_S
    first, second = lines(caplog)
    assert "is away (" in first
    assert "mlflow.lock" in first
    assert second.endswith("is back and up to date")
    assert dump(f"sqlite:///{store.root / 'mlflow.db'}", study.study.name) == undisturbed(study, store)


def test_what_no_retry_cures_is_told_once(study, store, caplog, monkeypatch):
    (store.root / "mlflow.db").write_text("this is no database, and long enough to be read as one" * 10)
    mirror = MlflowMirror(study, store, None, patience_s=60.0)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "ablate"):
        carry_out(store, study, [mirror])
        mirror.close()
    assert time.monotonic() - began < 30.0
    (line,) = lines(caplog)
    assert "is not up to date (file is not a database); results are safe in" in line
