"""A search in Optuna's own storage: for optuna-dashboard, and for several drivers that feed one search.

The ledger in the study's store is the truth. A journal file is made from it and may be deleted at any time; a database
that drivers share is where each learns what the others were told.
"""

import json
import logging
import socket
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import IntegrityError, ProgrammingError

from ablate.errors import StoreError
from ablate.search.history import Entry, State
from ablate.search.model import Search
from ablate.search.optuna import decoded, direction, frozen, state_of
from ablate.wording import without_password

_log = logging.getLogger(__name__)

_DRIVER, _NUMBER, _SECONDS = "driver", "number", "seconds"
_PAUSES_S = (0.3, 1.0)


class Mirror:
    """One search in a storage of Optuna's.

    Args:
        search: The search.
        name: What it is called there.
        storage: A journal file, or a database URL.
        driver: Who we are among the drivers of a shared search.

    Raises:
        StoreError: The database cannot be reached.
    """

    def __init__(self, search: Search, name: str, storage: Path | str, *, driver: str) -> None:
        self._search = search
        self.is_shared = isinstance(storage, str)
        self.driver = driver
        try:
            self._storage = _open(storage)
            directions = [direction(one.better) for one in search.objectives]
            study = optuna.create_study(
                storage=self._storage, study_name=name, directions=directions, load_if_exists=True
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an experimental function
                study.set_metric_names([one.metric for one in search.objectives])
            study.set_user_attr(f"driver {self.driver}", socket.gethostname())
            self._study = self._storage.get_study_id_from_name(name)
            self._num_drivers = sum(key.startswith("driver ") for key in study.user_attrs)
        except Exception as error:
            shown = without_password(str(storage))
            raise StoreError(f"Optuna's storage {shown} cannot be used: {_first_line(error)}") from error
        self._ids: dict[int, int] = {}
        self._told: set[int] = set()
        self._others: set[int] = set()

    @property
    def seed(self) -> int:
        """A seed for our sampler if we begin now: the search's own for the first driver, others for those that join."""
        own = self._search.sampler.seed
        return own if self._num_drivers <= 1 else (own + crc32(self.driver.encode())) % 2**32

    def catch_up(self, entries: Sequence[Entry]) -> None:
        """Bring the storage to what the ledger says."""
        for trial in self._storage.get_all_trials(self._study, deepcopy=False):
            if trial.user_attrs.get(_DRIVER) == self.driver:
                number = int(trial.user_attrs[_NUMBER])
                self._ids[number] = trial._trial_id
                if trial.state.is_finished():
                    self._told.add(number)
        for entry in entries:
            self.write(entry)

    def write(self, entry: Entry) -> None:
        """Show a configuration as it stands; one that another driver put there is not ours to write."""
        if entry.origin and not entry.is_warm:
            return
        if entry.number not in self._ids:
            trial = frozen(self._search, entry)
            trial.user_attrs = {_DRIVER: self.driver, _NUMBER: entry.number, _SECONDS: entry.seconds}
            self._ids[entry.number] = self._storage.create_new_trial(self._study, trial)
        elif entry.state is not State.OPEN and entry.number not in self._told:
            trial_id = self._ids[entry.number]
            for step, value in entry.points.items():
                self._storage.set_trial_intermediate_value(trial_id, step, value)
            self._storage.set_trial_user_attr(trial_id, _SECONDS, entry.seconds)
            values = entry.values if entry.state is State.TOLD else None
            self._storage.set_trial_state_values(trial_id, state_of(entry.state), values)
        if entry.state is not State.OPEN:
            self._told.add(entry.number)

    def others(self, first: int) -> Iterator[Entry]:
        """Give what other drivers were told since the last time, numbered from `first` on."""
        if not self.is_shared:
            return
        for trial in self._storage.get_all_trials(self._study, deepcopy=False):
            driver = trial.user_attrs.get(_DRIVER)
            if trial.number in self._others or driver == self.driver or not trial.state.is_finished():
                continue
            self._others.add(trial.number)
            state = next(state for state in State if state_of(state) is trial.state)
            yield Entry(
                number=first,
                parameters=decoded(self._search.space, trial.params),
                state=state,
                values=tuple(trial.values) if state is State.TOLD and trial.values else None,
                points=dict(trial.intermediate_values),
                seconds=float(trial.user_attrs.get(_SECONDS, 0.0)),
                origin=f"driver {driver}, trial {trial.number}",
            )
            first += 1

    def know(self, entries: Sequence[Entry]) -> None:
        """Take note of what was learnt from other drivers before."""
        theirs = [entry.origin for entry in entries if entry.origin.startswith("driver ")]
        self._others |= {int(origin.rpartition(" ")[2]) for origin in theirs}


def _open(storage: Path | str) -> BaseStorage:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(storage, str):
            with _own_logging():
                return _database(storage)
        storage.parent.mkdir(parents=True, exist_ok=True)
        # The study has one driver at a time, so a lock that is there was left behind by one that was killed.
        storage.with_name(f"{storage.name}.lock").unlink(missing_ok=True)
        if not _is_whole(storage):
            _log.warning("%s was cut off and is made anew from the study's own notes", storage)
            storage.unlink()
        return JournalStorage(JournalFileBackend(str(storage)))


def _database(url: str) -> RDBStorage:
    """Open a database; of drivers that make its tables at the same moment all but one fail, and find them made."""
    for pause_s in _PAUSES_S:
        try:
            return RDBStorage(url)
        except (IntegrityError, ProgrammingError):
            time.sleep(pause_s)
    return RDBStorage(url)


@contextmanager
def _own_logging() -> Iterator[None]:
    """Keep the loggers as they are: where logging is not set up, Optuna's migrations do it, and mute all others."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _is_whole(journal: Path) -> bool:
    """Say whether every line of a journal was written to its end."""
    lines = journal.read_bytes().splitlines(keepends=True) if journal.is_file() else []
    try:
        return all(line.endswith(b"\n") and isinstance(json.loads(line), dict) for line in lines)
    except ValueError:
        return False


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
