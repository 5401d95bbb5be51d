"""The records of a store's trials: a finished one is made once and never replaced, others end with their attempt.

`record.json` is the finished record. That of an attempt that failed or was interrupted is `ended/<attempt>.json`;
earlier versions wrote it as `record.json`.
"""

import re
import warnings
from collections.abc import Iterable

from ablate.errors import StoreError
from ablate.store.files import json_text, parse_json
from ablate.store.medium import Medium, set_aside
from ablate.store.record import Record, RunFacts, is_of_newer_schema, read_record, record_content
from ablate.trial import Outcome, Status

ENDED = re.compile(r"(\d+)\.json")


class Records:
    """Reads and writes records.

    Args:
        medium: Where they lie.
    """

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._finished: dict[str, Record] = {}
        """Finished records of a remote store, which need not be fetched again."""
        self._warned: set[str] = set()

    def read(self, trial_id: str) -> Record | None:
        """Give the record of the last attempt that ended, or `None`; a damaged one is warned of and counts as none.

        Raises:
            StoreError: It cannot be read, or a newer version wrote it.
        """
        if trial_id in self._finished:
            return self._finished[trial_id]
        found = self._whole(record_name(trial_id), self._medium.read(record_name(trial_id)))
        if found is None or found.status is not Status.FINISHED:
            return max(filter(None, (found, self._ended(trial_id))), key=lambda one: one.run.attempt, default=None)
        return self._kept(found)

    def finished(self, trial_ids: Iterable[str]) -> set[str]:
        """Give those of the trials that are finished.

        Raises:
            StoreError: A record cannot be read, or a newer version wrote it.
        """
        asked = list(trial_ids)
        unknown = [trial_id for trial_id in asked if trial_id not in self._finished]
        names = [record_name(trial_id) for trial_id in unknown]
        found = set(asked) - set(unknown)
        for trial_id, name, data in zip(unknown, names, self._medium.read_many(names), strict=True):
            record = self._whole(name, data)
            if record is not None and record.status is Status.FINISHED:
                self._kept(record)
                found.add(trial_id)
        return found

    def check(self, trial_id: str) -> None:
        """Look whether a trial's record can be understood.

        Raises:
            StoreError: It cannot; says what was found.
        """
        name = record_name(trial_id)
        data = self._medium.read(name)
        if data is not None:
            read_record(parse_json(data, self._medium.where(name)), self._medium.where(name))

    def write(self, outcome: Outcome, run: RunFacts) -> None:
        """Write the record of an attempt; of several that finish a trial, one does.

        Raises:
            StoreError: The trial is finished already, or the store cannot be written.
        """
        trial_id = outcome.trial_id
        content = json_text(record_content(outcome, run))
        if outcome.status is not Status.FINISHED:
            self._refuse_second(trial_id, run.attempt)
            self._medium.write(_ended_name(trial_id, run.attempt), content)
            return
        while not self._medium.create(record_name(trial_id), content):
            self._refuse_second(trial_id, run.attempt)
            self.make_way(trial_id)

    def make_way(self, trial_id: str) -> str | None:
        """Let nothing but a finished record stand where that will be: a damaged one is set aside, an older one moved.

        Returns:
            What was done about damage, or `None`.
        """
        name = record_name(trial_id)
        data = self._medium.read(name)
        if data is None:
            return None
        try:
            record = read_record(parse_json(data, self._medium.where(name)), self._medium.where(name))
        except StoreError as error:
            if is_of_newer_schema(data):
                raise
            aside = set_aside(self._medium, name)
            return f"{error}: renamed to {aside.rpartition('/')[2]}, and the trial runs again" if aside else None
        if record.status is not Status.FINISHED:
            self._move_ended(name, _ended_name(trial_id, record.run.attempt))
        return None

    def put_aside(self, trial_id: str, name: str) -> None:
        """Take a trial's record away and keep it under another name."""
        record = self.read(trial_id)
        self._finished.pop(trial_id, None)
        if record is not None:
            is_finished = record.status is Status.FINISHED
            ended = _ended_name(trial_id, record.run.attempt)
            if is_finished or not self._medium.rename(ended, name):
                self._medium.rename(record_name(trial_id), name)

    def _refuse_second(self, trial_id: str, attempt: int) -> None:
        self._finished.pop(trial_id, None)
        found = self.read(trial_id)
        if found is not None and found.status is Status.FINISHED:
            where = self._medium.where(record_name(trial_id))
            raise StoreError(f"{where}: finished by attempt {found.run.attempt}; {attempt} came late")

    def _ended(self, trial_id: str) -> Record | None:
        """Give the newest record of an attempt that did not finish."""
        folder = f"trials/{trial_id}/ended"
        found = sorted((int(match[1]), name) for name in self._medium.names(folder) if (match := ENDED.fullmatch(name)))
        for _, last in reversed(found):
            name = f"{folder}/{last}"
            record = self._whole(name, self._medium.read(name))
            if record is not None:
                return record
        return None

    def _whole(self, name: str, data: bytes | None) -> Record | None:
        """Understand a record; a damaged one is warned of once, and is none."""
        if data is None:
            return None
        where = self._medium.where(name)
        try:
            return read_record(parse_json(data, where), where)
        except StoreError as error:
            if is_of_newer_schema(data):
                raise
            if name not in self._warned:
                self._warned.add(name)
                warnings.warn(f"{error}; the trial counts as not finished, and runs again", stacklevel=3)
            return None

    def _kept(self, record: Record) -> Record:
        if self._medium.is_remote:
            self._finished[record.trial_id] = record
        return record

    def _move_ended(self, name: str, to: str) -> None:
        """Move an earlier version's record of an unfinished attempt; a finished one that came in between goes back."""
        self._medium.rename(name, to)
        data = self._medium.read(to)
        record = self._whole(to, data)
        if data is not None and record is not None and record.status is Status.FINISHED:
            self._medium.create(name, data)


def record_name(trial_id: str) -> str:
    """Name a trial's record."""
    return f"trials/{trial_id}/record.json"


def _ended_name(trial_id: str, attempt: int) -> str:
    return f"trials/{trial_id}/ended/{attempt:04d}.json"
