"""Samples of the machine: appended across attempts, fenced, and whole after a torn line."""

import pytest

from ablate.errors import StoreError
from ablate.store import Store
from ablate.store.system import SystemSample, append_system, system_samples

TRIAL = "0123456789abcdef0123"


def sample(attempt, load=50.0):
    return SystemSample(attempt=attempt, time_ms=1000 * attempt, metrics={"cpu_utilization_percentage": load})


def test_samples_of_all_attempts_are_kept_in_order(tmp_path):
    store = Store(tmp_path)
    assert system_samples(store, TRIAL) == {}
    for attempt in (1, 2):
        assert store.claim(TRIAL) == attempt
        append_system(store, TRIAL, sample(attempt))
    assert system_samples(store, TRIAL) == {0: sample(1), 1: sample(2)}


def test_an_overtaken_attempt_adds_nothing(tmp_path):
    store = Store(tmp_path)
    store.claim(TRIAL)
    store.claim(TRIAL)
    with pytest.raises(StoreError, match="attempt 1 may not write"):
        append_system(store, TRIAL, sample(1))
    assert system_samples(store, TRIAL) == {}


def test_a_line_torn_by_a_crash_is_left_out_and_moves_no_other(tmp_path):
    store = Store(tmp_path)
    store.claim(TRIAL)
    append_system(store, TRIAL, sample(1))
    with (store.folder(TRIAL) / "system.jsonl").open("a") as file:
        file.write('{"attempt": 1, "ti')
    assert list(system_samples(store, TRIAL)) == [0]
    append_system(store, TRIAL, sample(1))
    append_system(store, TRIAL, sample(1, float("nan")))
    assert list(system_samples(store, TRIAL)) == [0, 2]
