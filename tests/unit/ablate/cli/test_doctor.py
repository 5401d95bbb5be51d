"""What `doctor` says of libraries, the store, the disk and MLflow."""

import json
import sqlite3
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from ablate.cli.doctor import Check, State, configuration, disk, libraries, mlflow_mirror, store_checks
from ablate.errors import ExitCode
from ablate.store import Store
from ablate.trial import TrialSpec

Usage = namedtuple("Usage", "total used free")


def test_all_is_well_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ablate: Callable[..., Result]) -> None:
    monkeypatch.chdir(tmp_path)
    result = ablate("doctor", "--json")
    assert result.exit_code == ExitCode.DONE, result.output
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["libraries"]["state"] == "ok"
    assert checks["configuration"] == {
        "name": "configuration",
        "state": "warn",
        "found": "there is no conf/config.yaml",
        "advice": "go to your project, or begin one with `ablate new NAME`",
    }
    assert not (tmp_path / "runs").exists()


def test_a_failed_check_is_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ablate: Callable[..., Result]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(100, 100, 2**28))
    result = ablate("doctor")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert "fail  disk           0.2 GiB free for runs: make room, or choose another --store" in result.stdout


def test_a_library_that_is_missing_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["rich>=1000", "nosuchlibrary>=2", 'pytest>=1000; extra == "dev"', "typer"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: wanted)
    python, found = libraries()
    assert python.state is State.OK
    assert found.state is State.FAIL
    assert "(wanted >=1000); nosuchlibrary is missing (wanted >=2)" in found.found
    assert "pytest" not in found.found


def test_too_little_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(100, 100, 2**31))
    assert disk(tmp_path / "not" / "there").state is State.WARN


def test_damaged_trials_are_counted(tmp_path: Path) -> None:
    store = Store(tmp_path)
    specs = [TrialSpec(task="a:b", parameters={"x": x}, seed=0) for x in range(3)]
    for spec in specs:
        store.write_spec(spec)
    path = store.folder(specs[1].id) / "spec.json"
    path.write_text(path.read_text().replace('"x": 1', '"x": 7'))
    (store.folder(specs[2].id) / "record.json").write_text("{torn")
    (found,) = store_checks(tmp_path)
    assert found.state is State.WARN
    assert "3 trials, 0 finished, 2 damaged" in found.found
    assert found.advice.endswith("(and 1 more)")


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (found,) = store_checks(tmp_path / "file" / "runs")
    assert found.state is State.FAIL


def test_the_configuration_is_found_from_inside_the_project(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").touch()
    (tmp_path / "studies").mkdir()
    assert configuration(tmp_path / "studies").state is State.OK


def test_mlflow_is_looked_for_where_it_is(tmp_path: Path) -> None:
    assert "yet" in mlflow_mirror(tmp_path, None).found
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("create table runs (id)")
        database.execute("insert into runs values (1)")
    assert mlflow_mirror(tmp_path, None).found.endswith("mlflow.db: 1 runs")
    (tmp_path / "mlflow.db").write_text("no database, but long enough to be taken for one" * 30)
    assert mlflow_mirror(tmp_path, None).state is State.WARN


def test_a_server_that_does_not_answer_is_a_warning(tmp_path: Path) -> None:
    found = mlflow_mirror(tmp_path, "http://127.0.0.1:9")
    assert isinstance(found, Check)
    assert found.state is State.WARN
    assert "does not answer" in found.found
