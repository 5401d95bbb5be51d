"""The sampler: it looks at the machine while a trial runs, ends with it, and never fails it."""

import logging
import threading
from types import SimpleNamespace

import pytest

from ablate.errors import StoreError
from ablate.store import Store
from ablate.store.system import system_samples
from ablate.worker import system
from ablate.worker.system import sampled

TRIAL = "0123456789abcdef0123"


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.claim(TRIAL)
    return store


@pytest.fixture
def written(monkeypatch):
    """Set after the second sample was written."""
    enough, whole, places = threading.Event(), system.append_system, []

    def append(store, trial_id, sample):
        whole(store, trial_id, sample)
        places.append(sample)
        if len(places) == 2:
            enough.set()

    monkeypatch.setattr(system, "append_system", append)
    return enough


def samplers():
    return [thread for thread in threading.enumerate() if thread.name == "system-sampler"]


def test_samples_are_written_while_the_body_runs_and_none_after(store, written):
    with sampled(store, [(TRIAL, 1)], first_s=0.0, interval_s=0.001):
        assert written.wait(60)
    assert samplers() == []
    first = system_samples(store, TRIAL)[0]
    assert first.attempt == 1
    assert set(first.metrics) >= {
        "cpu_utilization_percentage",
        "system_memory_usage_megabytes",
        "system_memory_usage_percentage",
        "process_cpu_utilization_percentage",
        "process_memory_mebibytes",
    }
    assert first.metrics["process_memory_mebibytes"] > 1
    assert 0 < first.metrics["system_memory_usage_percentage"] <= 100


def test_a_short_trial_leaves_no_file(store):
    with sampled(store, [(TRIAL, 1)]):
        pass
    assert not (store.folder(TRIAL) / "system.jsonl").exists()


def test_an_overtaken_attempt_stops_sampling(store, monkeypatch):
    tried = threading.Event()
    store.claim(TRIAL)
    whole = system.append_system

    def append(*args):
        try:
            whole(*args)
        except StoreError:
            tried.set()
            raise

    monkeypatch.setattr(system, "append_system", append)
    with sampled(store, [(TRIAL, 1)], first_s=0.0, interval_s=0.0):
        assert tried.wait(60)
        for thread in samplers():
            thread.join(60)
        assert samplers() == []
    assert system_samples(store, TRIAL) == {}


def test_a_machine_that_cannot_be_looked_at_fails_nothing(store, monkeypatch, caplog):
    monkeypatch.setattr(system, "_Probe", lambda: 1 / 0)
    with caplog.at_level(logging.INFO, "ablate"), sampled(store, [(TRIAL, 1)], first_s=0.0):
        for thread in samplers():
            thread.join(60)
    assert "the machine's load is not recorded" in caplog.text


def test_the_body_s_own_error_passes(store):
    with pytest.raises(KeyError), sampled(store, [(TRIAL, 1)]):
        raise KeyError("its own")


def test_asking_for_the_gpu_does_not_start_cuda():
    torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: False))
    assert system._gpu_metrics(torch) == {}
    assert system._gpu_metrics(None) == {}


def test_a_gpu_in_use_is_shown_also_where_its_load_cannot_be_asked():
    def utilization(index):
        raise ModuleNotFoundError("pynvml")

    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        current_device=lambda: 1,
        mem_get_info=lambda index: (3e9, 4e9),
        utilization=utilization,
    )
    found = {"gpu_1_memory_usage_megabytes": 1000.0, "gpu_1_memory_usage_percentage": 25.0}
    assert system._gpu_metrics(SimpleNamespace(cuda=cuda)) == found
    cuda.utilization = lambda index: 70
    assert system._gpu_metrics(SimpleNamespace(cuda=cuda)) == {**found, "gpu_1_utilization_percentage": 70.0}
