"""Every system call of the write protocol fails once in every way: nothing is lost but what was being written."""

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from ablate.errors import StoreError
from ablate.store import RunFacts, Store, TrialIndex
from ablate.store import remote as remote_module
from ablate.trial import Outcome, Report, Status, TrialSpec
from tests.unit.ablate.store.faults import CrashError, Fault, Faults

SPEC = TrialSpec(task="m:f", parameters={"a": 1}, seed=0)
NUM_STEPS = 4
CHECKPOINTS = (2, 3)
_PLACES = itertools.count()


@dataclass
class Done:
    """What a worker was told is written."""

    attempt: int = 0
    steps: list[int] = field(default_factory=list)
    checkpoint: int | None = None
    is_finished: bool = False


@pytest.fixture(params=["local", "memory"])
def location(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote_module, "_PAUSES_S", ())
    return str(tmp_path / "store") if request.param == "local" else "memory://faults"


def work(store: Store, done: Done) -> None:
    """Do what a run and its worker do: prepare, claim, go on from the checkpoint, finish."""
    store.repair()
    store.write_spec(SPEC)
    TrialIndex(store.location).note({SPEC.id: "0" * 20}, {"c0de": {"a.py": "1"}})
    if store.finished([SPEC.id]):
        return
    done.attempt = store.claim(SPEC.id)
    store.begin(SPEC.id, done.attempt)
    found = store.load_checkpoint(SPEC.id)
    first = found.step if found else 0
    store.rewind_curves(SPEC.id, done.attempt, first or None)
    value = found.state["value"] if found else torch.zeros(3)
    for step in range(first + 1, NUM_STEPS + 1):
        value = value + step
        metrics = {"value": float(value.sum())}
        store.append_report(Report(trial_id=SPEC.id, attempt=done.attempt, step=step, metrics=metrics))
        done.steps.append(step)
        if step == 1:
            path = store.artifact_folder(SPEC.id) / "early.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("early")
        if step in CHECKPOINTS:
            store.save_checkpoint(SPEC.id, done.attempt, step, {"value": value})
            done.checkpoint = step
    outcome = Outcome(
        trial_id=SPEC.id, attempt=done.attempt, status=Status.FINISHED, metrics={"value": float(value[0])}
    )
    facts = RunFacts(attempt=done.attempt, started="", ended="", seconds=0.0, host="", python="")
    store.finish(SPEC.id, done.attempt, outcome, facts)
    done.is_finished = True


def outcome_of(store: Store) -> dict[str, object]:
    """Give all that a finished trial leaves, but for who wrote it."""
    record = store.record(SPEC.id)
    assert record is not None
    return {
        "status": record.status,
        "metrics": dict(record.metrics),
        "curves": [(point.step, dict(point.metrics)) for point in store.curves(SPEC.id)],
        "files": {path.name: path.read_text() for path in store.artifacts(SPEC.id).iterdir()},
        "checkpoint": None if store.is_remote else store.load_checkpoint(SPEC.id),
        "spec": store.read_spec(SPEC.id),
        "subjects": TrialIndex(store.location).trials("0" * 20),
        "code": TrialIndex(store.location).code("c0de"),
    }


def fresh(location: str) -> str:
    """Give a place of its own for every try."""
    return f"{location}-{next(_PLACES)}"


def disturbed(place: str, number: int, fault: Fault) -> tuple[Done, Faults]:
    """Work until the fault ends it."""
    done = Done()
    faults = Faults(at=number, fault=fault, root=Path(place) if "://" not in place else None)
    with pytest.MonkeyPatch.context() as patch:
        faults.install(patch)
        try:
            work(Store(place), done)
        except StoreError as error:
            assert fault not in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
            assert "cannot be" in str(error) and place in str(error)
        except CrashError:
            assert fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
    return done, faults


def check_nothing_is_lost(place: str, done: Done) -> None:
    """A store that is opened again has all that the worker was told is written."""
    store = Store(place)
    steps = [point.step for point in store.curves(SPEC.id)]
    sure = done.steps if not store.is_remote or done.is_finished else range(1, (done.checkpoint or 0) + 1)
    assert steps[: len(sure)] == list(sure)
    assert len(steps) <= NUM_STEPS
    assert store.last_attempt(SPEC.id) >= done.attempt
    if done.is_finished:
        assert store.finished([SPEC.id]) == {SPEC.id}
    elif not store.finished([SPEC.id]):
        found = store.load_checkpoint(SPEC.id)
        assert (found.step if found else 0) >= (done.checkpoint or 0)
        assert store.checkpoint_step(SPEC.id) in (None, *CHECKPOINTS)


def finished_afterwards(place: str) -> dict[str, object]:
    work(Store(place), Done())
    shutil.rmtree(Store(place).root) if "://" in place else None
    return outcome_of(Store(place))


def undisturbed(location: str) -> tuple[dict[str, object], int]:
    place = fresh(location)
    done, faults = disturbed(place, 0, Fault.BROKEN)
    assert done.is_finished
    return outcome_of(Store(place)), len(faults.calls)


@pytest.mark.filterwarnings("ignore:checkpoints of a trial that has ended are left")
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
def test_at_every_call_nothing_is_lost_but_the_write_in_flight(location: str, fault: Fault) -> None:
    expected, num_calls = undisturbed(location)
    assert num_calls > 10
    for number in range(1, num_calls + 1):
        place = fresh(location)
        done, faults = disturbed(place, number, fault)
        what = f"call {number} of {num_calls}, {faults.calls[-1]}"
        assert len(faults.calls) >= number, what
        check_nothing_is_lost(place, done)
        assert finished_afterwards(place) == expected, what
        _check_no_litter(place, fault)


def _check_no_litter(place: str, fault: Fault) -> None:
    """Errors leave no temporary file behind; a crash may, and it is gone after a day."""
    if "://" in place:
        return
    root = Path(place)
    left = list(root.rglob(".*.tmp"))
    if fault in (Fault.CRASH_BEFORE, Fault.CRASH_AFTER):
        for path in left:
            os.utime(path, (1.0, 1.0))
        told = Store(place).repair()
        assert sum("removed 1 unfinished files of writers that died" in text for text in told) == len(left) <= 1
        assert not list(root.rglob(".*.tmp"))
    else:
        assert len(left) <= 1  # the removal itself may be what failed


@pytest.mark.parametrize("part", range(3))
def test_a_process_that_ends_at_a_call_leaves_a_store_that_goes_on(tmp_path: Path, part: int) -> None:
    location = str(tmp_path / "store")
    expected, num_calls = undisturbed(location)
    for number, fault in _some(num_calls, part):
        place = fresh(location)
        child = os.fork()
        if child == 0:
            faults = Faults(at=number, fault=fault, root=Path(place), die=lambda: os._exit(9))
            try:
                faults.install(pytest.MonkeyPatch())
                work(Store(place), Done())
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, f"call {number}"
        assert finished_afterwards(place) == expected, f"call {number}, {fault}"


def _some(num_calls: int, part: int) -> Iterator[tuple[int, Fault]]:
    for number in range(1 + part, num_calls + 1, 9):
        yield number, (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)[number % 2]
