"""MLflow's server away for 30 s amid a run, and for good: in the end it has what it has where it was never away."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablate.errors import ExitCode
from ablate.records import mlflow_ui

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

OUTAGE_S = 30.0
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.+]+")
SLOW_STEP = "        error = state["
BY_CHANCE = ("mlflow.parentRunId", "ablate.told", "ablate.system", "ablate.files", "mlflow.note.content")


class Server:
    """A real server on localhost."""

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

    def terminate(self):
        self.signal(signal.SIGTERM)
        self.child.wait()


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path)
    yield running
    if running.child.poll() is None:
        running.signal(signal.SIGKILL)
        running.child.wait()


def ablate(command, project, store, *more):
    main = "from ablate.cli.app import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", main, command, *more, "--store", store],
        env={**os.environ, "HOME": str(project.root), "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(project, store, mlflow):
    options = ["--backend", "local", "--mlflow", mlflow]
    return ablate("run", project, store, "studies/toy.yaml", "method.num_steps=70", *options)


def ended(process):
    """Wait for a command; give what it said to people."""
    _, errors = process.communicate(timeout=300)
    assert process.returncode == ExitCode.DONE, errors
    return [line for line in errors.splitlines() if line.startswith("MLflow at")]


def wait_for_points(store):
    while not any(path.stat().st_size > 500 for path in Path(store).glob("trials/*/curves.jsonl")):
        time.sleep(0.1)


def seconds_of_trials(store):
    records = [json.loads(path.read_text()) for path in Path(store).glob("trials/*/record.json")]
    assert len(records) == 9
    return sum(record["run"]["seconds"] for record in records)


def dump(uri):
    """Read all that MLflow has, but for ids and the machine's facts; times count from the start of a run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("toy")
    found = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        id_, start_ms = run.info.run_id, run.info.start_time
        assert run.info.run_name not in found
        files = list(listed(client, id_))
        texts = {path: MOMENT.sub("then", Path(client.download_artifacts(id_, path)).read_text()) for path in files}
        points = {key: client.get_metric_history(id_, key) for key in run.data.metrics if not key.startswith("system/")}
        found[run.info.run_name] = {
            "status": run.info.status,
            "parameters": run.data.params,
            "tags": {key: value for key, value in run.data.tags.items() if key not in BY_CHANCE},
            "histories": {
                key: [(point.step, point.timestamp - start_ms, point.value) for point in history]
                for key, history in points.items()
            },
            "files": files if run.data.tags["role"] == "study" else texts,
            "inputs": sorted((one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs),
        }
    return found


def listed(client, run_id, folder=None):
    for one in client.list_artifacts(run_id, folder):
        if one.is_dir:
            yield from listed(client, run_id, one.path)
        else:
            yield one.path


def stopped(server):
    """Down, and started again by hand."""
    server.terminate()
    time.sleep(OUTAGE_S)
    server.start()


def hanging(server):
    """There, but answering nothing."""
    server.signal(signal.SIGSTOP)
    time.sleep(OUTAGE_S)
    server.signal(signal.SIGCONT)


def gone(server):
    """Down for good, as far as the run is concerned."""
    server.terminate()


def different(one, other):
    """List where two dumps differ."""
    names = sorted(one.keys() | other.keys())
    fields = [(name, key) for name in names for key in one.get(name, other.get(name))]
    found = [(*place, *(side.get(place[0], {}).get(place[1]) for side in (one, other))) for place in fields]
    return [(name, key, ours, theirs) for name, key, ours, theirs in found if ours != theirs]


def num_points(store):
    return sum(path.read_text().count("\n") for path in Path(store).glob("trials/*/curves.jsonl"))


def wait_until_there(server, num_wanted):
    """Wait until the server's database has so many points of the curves; give the seconds it took."""
    began = time.monotonic()
    while True:
        with sqlite3.connect(f"file:{server.root / 'mlflow.db'}?mode=ro", uri=True) as connection:
            query = "SELECT count(DISTINCT run_uuid || ' ' || step) FROM metrics WHERE key = 'error'"
            (num_there,) = connection.execute(query).fetchone()
        if num_there >= num_wanted:
            return time.monotonic() - began
        assert time.monotonic() - began < 60.0, f"{num_there} of {num_wanted}"
        time.sleep(0.2)


@pytest.mark.parametrize("outage", [stopped, hanging, gone])
def test_after_an_outage_mlflow_is_as_without_it(toy_project, server, outage, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    toy_project.edit(SLOW_STEP, "        __import__('time').sleep(0.15)\n" + SLOW_STEP, "toy/tasks.py")
    steady = run(toy_project, "steady", f"sqlite:///{toy_project.root / 'steady.db'}")
    driver = run(toy_project, "disturbed", server.uri)
    wait_for_points("disturbed")
    num_before = num_points("disturbed")
    outage(server)
    if outage is not gone:
        num_waiting = num_points("disturbed")
        took_s = wait_until_there(server, num_waiting)
        print(f"\n{outage.__name__}: {num_waiting - num_before} points of the outage came {took_s:.1f} s after it")
    lines = ended(driver)
    assert ended(steady) == []
    assert lines[0].endswith(": the run goes on, news wait for it")
    assert len(lines) == 2
    if outage is gone:
        assert re.search(r"is not up to date \(Connection refused; news of \d trials wait\)", lines[1])
        server.start()
        began = time.monotonic()
        ended(ablate("sync", toy_project, "disturbed", "--mlflow", server.uri))
        print(f"\n{outage.__name__}: a sync of {num_points('disturbed')} points took {time.monotonic() - began:.1f} s")
    else:
        assert lines[1].endswith("is back and up to date")
    disturbed, whole = dump(server.uri), dump(f"sqlite:///{toy_project.root / 'steady.db'}")
    curves = [one["histories"].get("error", []) for one in whole.values()]
    assert sorted(len(curve) for curve in curves) == [0, 0, 0, 0, 70, 70, 70, 70, 70, 70]
    assert different(disturbed, whole) == []
    slower = seconds_of_trials("disturbed") / seconds_of_trials("steady")
    print(f"{outage.__name__}: trials took {slower:.3f} of the undisturbed time")
    assert slower < 1.2
