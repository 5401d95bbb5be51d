"""A store in an object store, on a real S3 server on this machine: nothing hangs on the disk of the driver."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from ablate.errors import ExitCode
from ablate.store import Store
from ablate.trial import Status

STORE = "s3://bucket/some/where"
SLOW = '''
"""A task that only ends where it is told that it may, and says where it began."""

import itertools
import json
import os
import time

from toy.tasks import Data, Method


def run(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    """Endless for the rough arm; elsewhere over at once."""
    state = trial.restore() or {"step": 0}
    first = state["step"]
    start = json.loads((trial.inputs["adapted"] / "start.json").read_text())
    if not first:
        trial.artifact("early.txt").write_text("from before the first checkpoint")
    for step in itertools.count(first + 1):
        trial.report(step, {"error": 1.0}, state=lambda: {"step": step})
        if method.sigma_mm != 20 or "TOY_MAY_END" in os.environ:
            return {"error": start, "multi/error": float(first)}
        time.sleep(0.02)
'''


def _program() -> list[str] | None:
    """Find moto's server: an interpreter that has it, or the installed command."""
    python, command = os.environ.get("ABLATE_TEST_MOTO"), shutil.which("moto_server")
    if python and Path(python).is_file():
        return [python, "-m", "moto.server"]
    return [command] if command else None


@pytest.fixture(scope="module")
def server():
    """A server with one bucket."""
    program = _program()
    if program is None:
        pytest.skip("needs moto's S3 server: ABLATE_TEST_MOTO=<python that has moto[server]>, or moto_server on PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [*program, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT"), timeout=5)
                break
            except OSError:
                assert process.poll() is None, "the server ended"
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(server, environment, toy_project, tmp_path, monkeypatch):
    """The environment of a driver; gives the prefix of a store that nobody used."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    monkeypatch.setenv("PYTHONPATH", str(toy_project.root))
    for name in ("ABLATE_CACHE", "XDG_CACHE_HOME", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return f"{STORE}/{tmp_path.name}"


def _wipe(home: Path) -> None:
    """Take from a driver all that it had on its disk."""
    assert (home / ".cache" / "ablate").is_dir()
    shutil.rmtree(home)
    home.mkdir()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("backend", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_nothing_is_run_again_when_the_drivers_disk_is_gone(ablate, bucket, toy_project, tmp_path, backend):
    command = ("run", "studies/toy.yaml", "--store", bucket, "--backend", backend, "--mlflow", "off")
    first = ablate(*command, "-q")
    assert first.returncode == ExitCode.DONE, first.stderr
    assert "9 of 9 trials are done, 9 of them in this run" in first.stdout
    assert not (toy_project.root / "runs").exists()

    _wipe(tmp_path / "home")
    copy = tmp_path / "another place"
    shutil.copytree(toy_project.root, copy)
    os.chdir(copy)
    again = ablate(*command)
    assert again.returncode == ExitCode.DONE, again.stderr
    assert "all 9 trials were done before: nothing was run" in again.stdout

    if backend == "ray":
        return
    _wipe(tmp_path / "home")
    status = ablate("status", "toy", ABLATE_STORE=bucket)
    assert "9 finished" in status.stdout, status.stderr
    report = ablate("report", "toy", "--store", bucket)
    assert report.returncode == ExitCode.DONE, report.stderr
    table = [line for line in first.stdout.splitlines() if "reference" in line]
    assert table and all(line in report.stdout for line in table)
    assert "toy    9/9" in ablate("list", "--store", bucket).stdout
    assert "9 trials, 9 finished" in ablate("doctor", "--store", bucket).stdout
    assert "9 finished, 0 to run" in ablate("plan", "studies/toy.yaml", "--store", bucket).stdout


@pytest.mark.timeout(240)
def test_a_driver_that_was_killed_goes_on_from_its_checkpoint_on_another_disk(bucket, toy_project, tmp_path):
    toy_project.write("toy/slow.py", SLOW)
    toy_project.edit("task: toy.tasks:run", "task: toy.slow:run")
    program = str(Path(sys.executable).with_name("ablate"))
    command = [program, "run", "studies/toy.yaml", "--store", bucket, "--backend", "local", "--mlflow", "off", "-q"]
    killed = subprocess.Popen([*command, "--checkpoint-interval", "0.2"], stdout=subprocess.DEVNULL)
    store = Store(bucket)
    try:
        trial_id = _of_the_checkpoint(store)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    step = store.checkpoint_step(trial_id)
    points = {point.step for point in store.curves(trial_id)}
    assert points >= set(range(1, step + 1))

    _wipe(tmp_path / "home")
    environment = {**os.environ, "TOY_MAY_END": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=environment)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "9 of 9 trials are done, 5 of them in this run" in done.stdout
    seen = Store(bucket)  # what it fetches lies on this process's disk
    record = seen.record(trial_id)
    assert (record.status, record.run.attempt, record.metrics["multi/error"]) == (Status.FINISHED, 2, step)
    assert [(point.step, point.attempt) for point in seen.curves(trial_id)] == [
        *((number, 1) for number in range(1, step + 1)),
        (step + 1, 2),
    ]
    assert (seen.artifacts(trial_id) / "early.txt").read_text() == "from before the first checkpoint"
    assert seen.log_path(trial_id).read_text().count("--- attempt") == 3  # the first could not say how it ended
    assert seen.checkpoint_step(trial_id) is None


def _of_the_checkpoint(store: Store) -> str:
    """Wait for the first trial with a checkpoint of some steps."""
    deadline_s = time.monotonic() + 100.0
    while time.monotonic() < deadline_s:
        for trial_id in store.trial_ids():
            if (store.checkpoint_step(trial_id) or 0) >= 5:
                return trial_id
        time.sleep(0.2)
    raise AssertionError("no trial saved its state")
