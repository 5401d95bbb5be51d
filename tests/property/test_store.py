"""A store against a simple model: workers that report, save, are overtaken, finish, and die at any call."""

import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ablate.errors import StoreError
from ablate.store import RunFacts, Store
from ablate.trial import Outcome, Report, Status, TrialSpec
from tests.unit.ablate.store.faults import CrashError, Fault, Faults

SPEC = TrialSpec(task="m:f", parameters={}, seed=0)
_PLACES = itertools.count()


@dataclass
class Worker:
    """A process that runs an attempt."""

    store: Store
    attempt: int
    step: int
    held: list[tuple[int, int]] = field(default_factory=list)
    """Points that a remote store does not have yet."""


@dataclass
class Model:
    """What must be in the store: points as (step, attempt), the checkpoint's step, the record as (status, attempt)."""

    last_attempt: int = 0
    curves: list[tuple[int, int]] = field(default_factory=list)
    checkpoint: int | None = None
    finished: int | None = None
    ended: tuple[Status, int] | None = None


class StoreMachine(RuleBasedStateMachine):
    """Works on one trial with many workers; every state is looked at through a store opened anew."""

    is_remote = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ablate-property-"))
        self.place = f"memory://property-{next(_PLACES)}" if self.is_remote else str(self.folder / "store")
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("ABLATE_CACHE", str(self.folder / "cache"))
        self.patch.setattr(os, "fsync", lambda _: None)
        self.patch.setattr("ablate.store.remote._PAUSES_S", ())
        self.model = Model()
        self.workers: list[Worker] = []

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.folder)

    @initialize()
    def plan(self) -> None:
        Store(self.place).write_spec(SPEC)

    @rule()
    def start(self) -> None:
        """A new worker claims the trial and goes on from the checkpoint, whoever else is at work."""
        store = Store(self.place)
        attempt = store.claim(SPEC.id)
        self.model.last_attempt += 1
        assert attempt == self.model.last_attempt
        store.begin(SPEC.id, attempt)
        found = store.load_checkpoint(SPEC.id)
        assert (found.step if found else None) == self.model.checkpoint
        store.rewind_curves(SPEC.id, attempt, self.model.checkpoint)
        step = self.model.checkpoint or 0
        self.model.curves = [point for point in self.model.curves if point[0] <= step]
        self.workers.append(Worker(store, attempt, step))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        worker = self._worker(data)
        if self._is_current(worker) or self.is_remote:
            self._report(worker)
            self._reported(worker)
        else:
            with pytest.raises(StoreError, match="may not write"):
                self._report(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def save(self, data: st.DataObject) -> None:
        worker = self._worker(data)
        if self._is_current(worker):
            self._save(worker)
            self._saved(worker)
        else:
            with pytest.raises(StoreError, match="may not write"):
                self._save(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), status=st.sampled_from([Status.FINISHED, Status.FAILED, Status.INTERRUPTED]))
    def end(self, data: st.DataObject, status: Status) -> None:
        worker = self._worker(data)
        if self._is_current(worker) and self.model.finished is None:
            self._end(worker, status)
            self._flushed(worker)
            self._ended(worker, status)
        else:
            with pytest.raises(StoreError, match=r"may not write|came late"):
                self._end(worker, status)
            if self._is_current(worker):
                self._flushed(worker)
        self.workers.remove(worker)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A process is gone, with all it had not written."""
        self.workers.remove(self._worker(data))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), number=st.integers(1, 30), is_after=st.booleans())
    def die_while_writing(self, data: st.DataObject, number: int, is_after: bool) -> None:
        """A process is gone in the midst of a write: the store is as before it or as after it."""
        worker = self._worker(data)
        doing = data.draw(st.sampled_from([self._report, self._save, self._finish]))
        self.workers.remove(worker)
        fault = Fault.CRASH_AFTER if is_after else Fault.CRASH_BEFORE
        faults = Faults(at=number, fault=fault, root=None if self.is_remote else Path(self.place))
        with pytest.MonkeyPatch.context() as patch:
            faults.install(patch)
            try:
                doing(worker)
            except (CrashError, StoreError):
                pass
        if self._is_current(worker):
            self._look_what_came_of(worker, doing)

    @precondition(lambda self: self.model.finished is not None)
    @rule()
    def put_aside(self) -> None:
        Store(self.place).put_aside(SPEC.id)
        # What a remote store's worker holds back still comes.
        self.model = Model(last_attempt=self.model.last_attempt, ended=self.model.ended)
        self.workers = []

    @precondition(lambda self: self.model.checkpoint is not None and not self.is_remote)
    @rule()
    def lose_the_pointer(self) -> None:
        """The pointer to the newest checkpoint is damaged; the files speak for themselves."""
        (Store(self.place).folder(SPEC.id) / "checkpoints" / "latest.json").write_text("{")

    @invariant()
    def everybody_sees_what_was_written(self) -> None:
        store = Store(self.place)
        assert [(point.step, point.attempt) for point in store.curves(SPEC.id)] == self.model.curves
        assert store.last_attempt(SPEC.id) == self.model.last_attempt
        assert store.checkpoint_step(SPEC.id) == self.model.checkpoint
        assert store.finished([SPEC.id]) == ({SPEC.id} if self.model.finished is not None else set())
        record = store.record(SPEC.id)
        found = None if record is None else (record.status, record.run.attempt)
        finished = self.model.finished
        assert found == (self.model.ended if finished is None else (Status.FINISHED, finished))

    def _worker(self, data: st.DataObject) -> Worker:
        return data.draw(st.sampled_from(self.workers))

    def _is_current(self, worker: Worker) -> bool:
        return worker.attempt == self.model.last_attempt

    def _report(self, worker: Worker) -> None:
        worker.store.append_report(
            Report(trial_id=SPEC.id, attempt=worker.attempt, step=worker.step + 1, metrics={"x": 1.0})
        )

    def _save(self, worker: Worker) -> None:
        worker.store.save_checkpoint(SPEC.id, worker.attempt, worker.step, {"step": worker.step})

    def _end(self, worker: Worker, status: Status) -> None:
        outcome = Outcome(trial_id=SPEC.id, attempt=worker.attempt, status=status)
        facts = RunFacts(attempt=worker.attempt, started="", ended="", seconds=0.0, host="", python="")
        worker.store.finish(SPEC.id, worker.attempt, outcome, facts)

    def _finish(self, worker: Worker) -> None:
        self._end(worker, Status.FINISHED)

    def _reported(self, worker: Worker) -> None:
        worker.step += 1
        if self.is_remote:
            worker.held.append((worker.step, worker.attempt))
        else:
            self.model.curves.append((worker.step, worker.attempt))

    def _flushed(self, worker: Worker) -> None:
        self.model.curves += worker.held
        worker.held = []

    def _saved(self, worker: Worker) -> None:
        self._flushed(worker)
        self.model.checkpoint = worker.step

    def _ended(self, worker: Worker, status: Status) -> None:
        if status is Status.FINISHED:
            self.model.finished, self.model.checkpoint = worker.attempt, None
        else:
            self.model.ended = (status, worker.attempt)

    def _look_what_came_of(self, worker: Worker, doing: Callable[[Worker], None]) -> None:
        """Take over what the store shows, if it is one of the two states that there may be."""
        store, model = Store(self.place), self.model
        curves = [(point.step, point.attempt) for point in store.curves(SPEC.id)]
        more = [(worker.step + 1, worker.attempt)] if doing == self._report and not self.is_remote else []
        assert curves in (model.curves, model.curves + worker.held, model.curves + more)
        model.curves = curves
        step = store.checkpoint_step(SPEC.id)
        may_be = {model.checkpoint, worker.step if doing == self._save else model.checkpoint}
        if doing == self._save and step == worker.step:
            assert not worker.held or curves[-1] == worker.held[-1]
        if doing == self._finish and store.finished([SPEC.id]) and model.finished is None:
            model.finished = worker.attempt
            store.repair([SPEC.id])
            if self.is_remote:
                store._checkpoints(SPEC.id).drop()
            step, may_be = store.checkpoint_step(SPEC.id), {None}
        assert step in may_be
        model.checkpoint = step


class RemoteStoreMachine(StoreMachine):
    is_remote = True


_SETTINGS = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class TestLocalStore(StoreMachine.TestCase):
    settings = _SETTINGS


class TestRemoteStore(RemoteStoreMachine.TestCase):
    settings = _SETTINGS
