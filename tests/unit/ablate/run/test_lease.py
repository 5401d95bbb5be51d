import json
import os
import socket
import subprocess
import sys
import time

import pytest

from ablate.errors import ExitCode
from ablate.run.lease import Lease, LeaseHeldError, check_no_driver, read_holder, working_driver
from ablate.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture
def foreign(store):
    """Write the note of a driver on another machine, whose last sign of life was `age_s` ago."""

    def write(age_s, **more):
        with Lease(store, "other"):
            content = json.loads((store.root / "studies/other/driver.json").read_text())
        content |= {"machine": "elsewhere", "host": "node7", "pid": 4321, "token": "theirs"}
        content |= {"renewed_s": time.time() - age_s, **more}
        store.write_note("studies/toy/driver.json", content)
        return content

    return write


def test_one_driver_at_a_time_and_the_next_one_afterwards(store):
    with Lease(store, "toy"):
        with pytest.raises(LeaseHeldError, match=f"host {socket.gethostname()}, pid {os.getpid()}, since 2") as refused:
            Lease(store, "toy").__enter__()
        with Lease(store, "another study"):
            pass
        assert working_driver(store.location, "toy").pid == os.getpid()
    assert refused.value.exit_code is ExitCode.WRONG_INPUT
    assert "kill -TERM" in str(refused.value)
    assert read_holder(store.location, "toy") is None
    with Lease(store, "toy"):
        pass


def test_a_driver_that_is_heard_of_elsewhere_keeps_the_lease(store, foreign):
    foreign(age_s=12)
    with pytest.raises(LeaseHeldError, match=r"host node7, pid 4321.*12 s ago.*on node7.*takes over in 18 s"):
        Lease(store, "toy").__enter__()
    with pytest.raises(LeaseHeldError, match="node7"):
        check_no_driver(store, "toy")


def test_a_stale_lease_is_taken_over(store, foreign):
    foreign(age_s=31)
    check_no_driver(store, "toy")
    with Lease(store, "toy", renew_s=0.1):
        assert read_holder(store.location, "toy").pid == os.getpid()


def test_a_holder_whose_clock_is_wrong_is_still_heard(store, foreign):
    content = foreign(age_s=3600)
    writing = Lease(store, "toy", renew_s=1.0)
    store.write_note("studies/toy/driver.json", content)
    script = (
        "import sys, json, time; from ablate.store.notes import read_note, write_note\n"
        "for _ in range(30):\n"
        "    time.sleep(0.1); note = read_note(sys.argv[1], 'studies/toy/driver.json')\n"
        "    write_note(sys.argv[1], 'studies/toy/driver.json', note | {'renewed_s': note['renewed_s'] + 0.1})\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, store.location])
    try:
        with pytest.raises(LeaseHeldError, match="node7"):
            writing.__enter__()
    finally:
        holder.kill()
        holder.wait()


def test_a_dead_process_of_this_machine_loses_the_lease_at_once(store):
    script = (
        "import os, sys; from ablate.run.lease import Lease; from ablate.store import Store\n"
        "Lease(Store(sys.argv[1]), 'toy').__enter__(); os._exit(0)"
    )
    ended = subprocess.Popen([sys.executable, "-c", script, store.location])
    ended.wait()
    assert read_holder(store.location, "toy").pid == ended.pid
    assert working_driver(store.location, "toy") is None
    begin_s = time.monotonic()
    with Lease(store, "toy"):
        assert time.monotonic() - begin_s < 3


def test_a_recycled_process_number_does_not_keep_a_lease(store):
    with Lease(store, "toy"):
        content = json.loads((store.root / "studies/toy/driver.json").read_text())
    store.write_note("studies/toy/driver.json", content | {"process_began": "1"})
    with Lease(store, "toy"):
        pass


def test_a_torn_note_is_nobodys(store):
    path = store.root / "studies/toy/driver.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"host": "no')
    with pytest.warns(UserWarning, match="damaged"), Lease(store, "toy"):
        assert read_holder(store.location, "toy").pid == os.getpid()


def test_the_lease_is_renewed_and_its_loss_is_noticed_and_told(store, foreign, caplog):
    with Lease(store, "toy", renew_s=0.05) as lease:
        first = read_holder(store.location, "toy")
        time.sleep(0.3)
        assert read_holder(store.location, "toy").renewed_s > first.renewed_s
        assert not lease.is_lost()
        foreign(age_s=0)
        deadline_s = time.monotonic() + 10
        while not lease.is_lost() and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert lease.is_lost()
    assert "another driver has taken over (host node7, pid 4321)" in caplog.text
    assert read_holder(store.location, "toy").token == "theirs"


def test_of_many_that_start_at_once_one_holds_the_lease(store):
    script = (
        "import sys, time; from ablate.run.lease import Lease, LeaseHeldError; from ablate.store import Store\n"
        "time.sleep(max(0.0, float(sys.argv[2]) - time.time()))\n"
        "try:\n    lease = Lease(Store(sys.argv[1]), 'toy').__enter__(); print('held', flush=True); time.sleep(3)\n"
        "except LeaseHeldError:\n    print('refused')\n"
    )
    at_s = str(time.time() + 4)
    command = [sys.executable, "-c", script, store.location, at_s]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = sorted(driver.communicate()[0].strip() for driver in drivers)
    assert said == ["held", "refused", "refused", "refused"]
