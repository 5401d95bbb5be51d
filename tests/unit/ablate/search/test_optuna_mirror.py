"""A search in Optuna's own storage: what a dashboard sees there, and what drivers that share it learn."""

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from sqlalchemy.exc import IntegrityError

from ablate.errors import StoreError
from ablate.search import optuna_mirror
from ablate.search.history import Entry, State
from ablate.search.optuna_mirror import Mirror

OPEN = Entry(number=0, parameters={"x": 1.0, "y": 2.0})
TOLD = replace(OPEN, state=State.TOLD, values=(0.5,), points={1: 0.9, 2: 0.5}, seconds=3.0)


def trials(storage: object) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="s", storage=storage).trials


def journal(path: Path) -> optuna.storages.BaseStorage:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))


def test_a_journal_shows_configurations_as_they_stand(known: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "studies" / "optuna.journal"
    mirror = Mirror(known.search(), "s", path, driver="store")
    mirror.write(OPEN)
    mirror.write(replace(OPEN, number=1, state=State.FAILED))
    assert [trial.state.name for trial in trials(journal(path))] == ["RUNNING", "FAIL"]
    mirror.write(TOLD)
    first = trials(journal(path))[0]
    assert (first.params, first.values, first.intermediate_values) == ({"x": 1.0, "y": 2.0}, [0.5], {1: 0.9, 2: 0.5})
    again = Mirror(known.search(), "s", path, driver="store")
    again.catch_up([TOLD, replace(OPEN, number=1, state=State.FAILED), replace(OPEN, number=2)])
    assert [trial.state.name for trial in trials(journal(path))] == ["COMPLETE", "FAIL", "RUNNING"]


def test_a_killed_driver_leaves_nothing_that_stops_the_next(known: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "optuna.journal"
    path.write_text('{"op_code": 99\n')  # cut off
    (tmp_path / "optuna.journal.lock").symlink_to(path)
    mirror = Mirror(known.search(), "s", path, driver="store")
    mirror.catch_up([TOLD])
    assert [trial.state.name for trial in trials(journal(path))] == ["COMPLETE"]


def test_drivers_that_share_a_database_learn_from_each_other(known: SimpleNamespace, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/optuna.db"
    search = known.search(seed=5)
    first = Mirror(search, "s", url, driver="a")
    second = Mirror(search, "s", url, driver="b")
    assert first.seed == 5
    assert second.seed != 5  # else both would try the same
    first.write(TOLD)
    first.write(replace(OPEN, number=1))
    (learnt,) = second.others(4)
    assert (learnt.number, learnt.parameters, learnt.values, learnt.seconds) == (4, TOLD.parameters, (0.5,), 3.0)
    assert learnt.origin == "driver a, trial 0"
    assert list(second.others(5)) == []
    assert list(first.others(2)) == []
    again = Mirror(search, "s", url, driver="b")
    again.know([learnt])
    assert list(again.others(5)) == []
    again.write(learnt)  # is there already
    assert len(trials(url)) == 2


def test_a_driver_that_finds_another_one_making_the_tables_comes_again(
    known: SimpleNamespace, tmp_path: Path, monkeypatch
) -> None:
    url, tries = f"sqlite:///{tmp_path}/optuna.db", []

    def open_once_made(storage: str) -> optuna.storages.RDBStorage:
        tries.append(storage)
        if len(tries) == 1:
            raise IntegrityError("CREATE TABLE studies", None, Exception("duplicate key"))
        return optuna.storages.RDBStorage(storage)

    monkeypatch.setattr(optuna_mirror, "RDBStorage", open_once_made)
    monkeypatch.setattr(optuna_mirror, "_PAUSES_S", (0.0,))
    Mirror(known.search(), "s", url, driver="a").write(TOLD)
    assert tries == [url, url]
    assert len(trials(url)) == 1


def test_a_database_leaves_the_loggers_as_they_are(known: SimpleNamespace, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as on the command line
    logger = logging.getLogger("ablate.some.module")
    Mirror(known.search(), "s", f"sqlite:///{tmp_path}/optuna.db", driver="a")
    assert not logger.disabled
    assert logging.getLogger().handlers == []


def test_a_database_that_is_not_there_is_said_without_its_password(known: SimpleNamespace) -> None:
    with pytest.raises(StoreError, match=r"Optuna's storage nonsense://\.\.\.@host/db cannot be used: ") as raised:
        Mirror(known.search(), "s", "nonsense://user:secret@host/db", driver="a")
    assert "secret" not in str(raised.value)
