"""What a store shows of a run that goes on, without disturbing it: who runs, what a kill would cost, first steps."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ablate.errors import StoreError
from ablate.store import Store
from ablate.trial import Status

_BEGUN = re.compile(rb"^--- attempt (\d+) at (\S+) ", re.MULTILINE)
_ENDED = re.compile(rb"^--- attempt (\d+) (?:finished|failed|interrupted|pruned)", re.MULTILINE)
_TAIL_BYTES = 20_000
_POINTER = "checkpoints/latest.json"
_SIGNS = (_POINTER, "curves.jsonl", "system.jsonl", "log.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A trial in work, as far as can be seen.

    Args:
        attempt: Its attempt.
        unsaved_s: Seconds since its start or its last checkpoint.
        silent_s: Seconds since its last sign of life; one that was killed leaves no other mark.
    """

    attempt: int
    unsaved_s: float
    silent_s: float = 0.0


class Watch:
    """Looks at the trials of a plan in a local store.

    Args:
        store: The store.
        trial_ids: The trials.
    """

    def __init__(self, store: Store, trial_ids: Iterable[str]) -> None:
        self._store = store
        self._ids = tuple(trial_ids)
        self._finished: set[str] = set()

    @property
    def num_trials(self) -> int:
        """How many there are."""
        return len(self._ids)

    def finished(self) -> set[str]:
        """Give the trials that have a finished record."""
        for trial_id in self._ids:
            if trial_id not in self._finished:
                try:
                    record = self._store.record(trial_id)
                except StoreError:
                    continue
                if record is not None and record.status is Status.FINISHED:
                    self._finished.add(trial_id)
        return set(self._finished)

    def attempts(self) -> dict[str, int]:
        """Give the newest attempt of each trial that was started."""
        found = {trial_id: self._store.last_attempt(trial_id) for trial_id in self._ids}
        return {trial_id: attempt for trial_id, attempt in found.items() if attempt}

    def running(self) -> dict[str, Running]:
        """Give the trials that are in work, as their logs say."""
        found, finished, now_s = {}, self.finished(), time.time()
        for trial_id, attempt in self.attempts().items():
            begun_s = None if trial_id in finished else _begun_s(self._store.log_path(trial_id), attempt)
            if begun_s is not None:
                folder = self._store.folder(trial_id)
                saved_s = max(begun_s, _changed_s(folder / _POINTER))
                alive_s = max(begun_s, *(_changed_s(folder / name) for name in _SIGNS))
                found[trial_id] = Running(
                    attempt=attempt, unsaved_s=max(0.0, now_s - saved_s), silent_s=max(0.0, now_s - alive_s)
                )
        return found

    def has_new_step(self, before: Mapping[str, int], among: Iterable[str] | None = None) -> bool:
        """Say whether an attempt newer than those of `before` has reported a point, or has finished.

        Args:
            before: Attempts by trial.
            among: The trials to look at; by default all.
        """
        newest = self.attempts() if among is None else {one: self._store.last_attempt(one) for one in among}
        return any(
            attempt > before.get(trial_id, 0) and self._has_step(trial_id, attempt)
            for trial_id, attempt in newest.items()
        )

    def _has_step(self, trial_id: str, attempt: int) -> bool:
        try:
            record = self._store.record(trial_id)
            if record is not None and record.run.attempt >= attempt:
                return True
            return any(point.attempt >= attempt for point in self._store.curves(trial_id)[-1:])
        except (StoreError, ValueError):
            return False


def _begun_s(log: Path, attempt: int) -> float | None:
    """Give when an attempt began, if it has begun and not ended."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read()
    except OSError:
        return None
    begun = [match[2] for match in _BEGUN.finditer(text) if int(match[1]) == attempt]
    has_ended = any(int(match[1]) == attempt for match in _ENDED.finditer(text))
    return datetime.fromisoformat(begun[-1].decode()).timestamp() if begun and not has_ended else None


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
