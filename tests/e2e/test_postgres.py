"""PostgreSQL, on a private server: drivers that share one search, and MLflow's runs."""

import getpass
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from ablate.errors import ExitCode

psycopg = pytest.importorskip("psycopg", reason="needs psycopg")

STUDY = "studies/toy.yaml"
PASSWORD = "not-to-be-shown"
NUM_TRIALS = 16
START_S = 60.0
TRIALS = "SELECT value FROM tags WHERE key = 'ablate.trial_id'"
DOUBLED = "SELECT run_uuid, key, step FROM metrics WHERE key NOT LIKE 'system/%' GROUP BY 1, 2, 3 HAVING COUNT(*) > 1"
"""Where MLflow has more than one value at a step."""
SEARCH = """\
search:
  space:
    method.sigma_mm: {{type: float, low: 1, high: 100, log: true}}
    method.num_steps: {{type: int, low: 2, high: 8}}
  budget: {number}
  metric: error
  storage: {url}
"""


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int

    def new_database(self, name: str) -> str:
        """Make an empty database and give its URL."""
        with psycopg.connect(self._address("postgresql", "postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._address("postgresql+psycopg", name)

    def rows(self, name: str, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._address("postgresql", name)) as connection:
            return connection.execute(query).fetchall()

    def _address(self, scheme: str, name: str) -> str:
        return f"{scheme}://tester:{PASSWORD}@127.0.0.1:{self.port}/{name}"


def _program(name: str) -> str | None:
    """Find a program of the server: on PATH, or where Debian keeps those of each version."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(installed[-1]) if installed else shutil.which(name)


def _account() -> str:
    """Name who runs the server: it refuses root."""
    if os.getuid() != 0:
        return getpass.getuser()
    known = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in ("postgres", "nobody") if name in known), None)
    return found or pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own, which takes a password on a free port and ends with the tests of this file."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("needs PostgreSQL's initdb and postgres: on PATH, or below /usr/lib/postgresql")
    account = _account()
    other = {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="ablate-postgres-") as name:  # short, and others may pass through it
        folder, data = Path(name), Path(name) / "data"
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        data.mkdir(mode=0o700)
        if other:
            shutil.chown(data, account, other["group"])
        folder.chmod(0o711)
        how = ["-U", "tester", "-A", "scram-sha-256", "--pwfile", folder / "password", "-E", "UTF8", "-N"]
        made = subprocess.run([initdb, "-D", data, *how], cwd="/", capture_output=True, text=True, check=False, **other)
        if made.returncode:
            pytest.skip(f"initdb does not work here: {made.stderr.strip()}")
        yield from _serving(postgres, data, other)


def _serving(postgres: str, data: Path, other: dict[str, Any]) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ["listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=", "fsync=off"]
    command = [postgres, "-D", str(data), *(part for setting in settings for part in ("-c", setting))]
    process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **other)
    try:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                found = Server(port)
                found.rows("postgres", "SELECT 1")
                break
            except (OSError, psycopg.OperationalError):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline_s, "the server does not answer"
                time.sleep(0.05)
        yield found
    finally:
        process.send_signal(signal.SIGINT)  # ends at once, whoever is connected
        process.communicate(timeout=60)


@pytest.fixture
def share(toy_project: Any) -> Callable[[str], None]:
    """Give the toy project a search in a database."""
    split = '    evaluate_on: Literal["validation", "test"] = "test"\n'
    toy_project.edit("    num_steps: int = 4\n", f"    num_steps: int = 4\n{split}", "toy/tasks.py")
    toy_project.edit("replicates: 2", "replicates: 1")
    toy_project.edit("  rough: {method.sigma_mm: 20}\n", "")

    def edit(url: str, number: int = NUM_TRIALS) -> None:
        toy_project.edit("metrics:\n", SEARCH.format(url=url, number=number) + "metrics:\n")

    return edit


def notes(store: Path) -> list[dict[str, Any]]:
    """Read what a driver knows of its search, in order."""
    return [json.loads(path.read_text()) for path in sorted(store.glob("studies/toy/search/*/0*.json"))]


def shared(url: str) -> list[optuna.trial.FrozenTrial]:
    """Give all trials of the one search that is in the database."""
    (summary,) = optuna.get_all_study_summaries(storage=url)
    return optuna.load_study(study_name=summary.study_name, storage=url).trials


def in_short(trials: Iterable[optuna.trial.FrozenTrial]) -> Counter[str]:
    return Counter(json.dumps([trial.params, trial.values], sort_keys=True) for trial in trials)


def known(found: Iterable[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps([note["parameters"], note["values"]], sort_keys=True) for note in found)


def check_nothing_is_lost_or_doubled(url: str, stores: list[Path]) -> None:
    """Every configuration is in the database once, told, and was run by one driver alone."""
    trials = shared(url)
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert known(note for store in stores for note in notes(store) if not note.get("origin")) == in_short(trials)
    assert set(in_short(trials).values()) == {1}


def test_a_second_driver_goes_on_with_what_the_first_was_told(
    server: Server, share: Any, toy_project: Any, ablate: Any
) -> None:
    url = server.new_database("in_turn")
    share(url)
    first, second = toy_project.root / "first", toy_project.root / "second"
    options = ("--backend", "local", "--mlflow", "off", "--quiet")
    toy_project.edit(f"budget: {NUM_TRIALS}", f"budget: {NUM_TRIALS // 2}")
    done = ablate("run", STUDY, "--store", first, *options)
    assert done.returncode == ExitCode.DONE, done.stderr
    toy_project.edit(f"budget: {NUM_TRIALS // 2}", f"budget: {NUM_TRIALS}")
    done = ablate("run", STUDY, "--store", second, *options)
    assert done.returncode == ExitCode.DONE, done.stderr
    origins = [note.get("origin", "") for note in notes(second)]
    assert [bool(origin) for origin in origins] == [True] * (NUM_TRIALS // 2) + [False] * (NUM_TRIALS // 2)
    assert known(notes(second)) == in_short(shared(url))
    check_nothing_is_lost_or_doubled(url, [first, second])
    assert PASSWORD not in done.stdout + done.stderr


def test_two_drivers_at_a_time_learn_from_each_other(
    server: Server, share: Any, toy_project: Any, start_ablate: Any
) -> None:
    url = server.new_database("at_a_time")
    share(url)
    stores, both_began = [toy_project.root / name for name in ("first", "second")], toy_project.root / "both-began"
    step, sleep = "        error = state[", "__import__('time').sleep(0.02)"
    wait = f"        while not Path({str(both_began)!r}).exists():\n            {sleep}\n        {sleep}\n"
    toy_project.edit(step, wait + step, "toy/tasks.py")
    drivers = [
        start_ablate("run", STUDY, "--store", store, "--backend", "local", "--mlflow", "off", "--quiet")
        for store in stores
    ]
    while not all(notes(store) for store in stores) and all(driver.poll() is None for driver in drivers):
        time.sleep(0.02)
    both_began.touch()
    said = [driver.communicate(timeout=200)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [ExitCode.DONE] * 2, said
    check_nothing_is_lost_or_doubled(url, stores)
    assert NUM_TRIALS <= len(shared(url)) <= NUM_TRIALS + 1  # both may be at work on the last one
    for store in stores:
        learnt = [note for note in notes(store) if note.get("origin")]
        assert learnt, "each driver was told something by the other"
        assert known(notes(store)) <= in_short(shared(url))


def test_a_server_that_is_not_there_is_said_without_its_password(share: Any, ablate: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        share(f"postgresql+psycopg://tester:{PASSWORD}@127.0.0.1:{free.getsockname()[1]}/nothing")
        done = ablate("run", STUDY, "--backend", "local", "--mlflow", "off")
    assert done.returncode == ExitCode.INTERNAL
    assert re.search(r"storage postgresql\+psycopg://\.\.\.@127\.0\.0\.1:\d+/nothing cannot be used", done.stderr)
    assert PASSWORD not in done.stdout + done.stderr


def test_mlflow_keeps_its_runs_there(server: Server, toy_project: Any, ablate: Any) -> None:
    url = server.new_database("mlflow")
    done = ablate("run", STUDY, "--backend", "local", "--mlflow", url)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "MLflow" in done.stdout
    trials = {(path.name,) for path in (toy_project.root / "runs" / "trials").iterdir()}
    found = Counter(server.rows("mlflow", TRIALS))
    assert found == Counter(trials)
    assert server.rows("mlflow", DOUBLED) == []
    assert PASSWORD not in done.stdout + done.stderr
    again = ablate("sync", "--mlflow", url)
    assert again.returncode == ExitCode.DONE, again.stderr
    assert Counter(server.rows("mlflow", TRIALS)) == found
    assert PASSWORD not in again.stdout + again.stderr
    kept = [path for path in (toy_project.root / "runs").rglob("*") if path.is_file()]
    assert not [path for path in kept if PASSWORD.encode() in path.read_bytes()]
