import subprocess
import sys
import threading
import time

import pytest

from ablate.trial import Outcome, Report, Resources, Status
from ablate.worker.limits import LimitExceeded, Limits, is_over_limit

REPORT = Report(trial_id="t", attempt=1, step=1, metrics={})


def _reports_until_stopped(limits: Limits) -> None:
    send = limits.after(lambda report: None)
    for _ in range(1000):
        send(REPORT)
        time.sleep(0.01)


def test_the_point_is_delivered_before_the_task_is_ended():
    heard = []
    with Limits(Resources(time_limit_s=0.01)) as limits, pytest.raises(LimitExceeded, match=r"time limit of 0\.01 s"):
        send = limits.after(heard.append)
        while len(heard) < 1000:
            send(REPORT)
            time.sleep(0.01)
    assert 1 <= len(heard) < 1000


def test_memory_of_started_processes_counts():
    hungry = "x = bytearray(200 * 2**20); print(len(x), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", hungry], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        child.stdout.readline()
        with Limits(Resources(memory_limit_mib=100)) as limits, pytest.raises(LimitExceeded) as raised:
            _reports_until_stopped(limits)
        used_mib = int(str(raised.value).partition("it used ")[2].rstrip(")"))
        assert used_mib > 200 + 20
    finally:
        child.kill()
        child.wait()


def test_a_deaf_task_is_given_up_after_its_grace_and_one_that_ended_is_not():
    given_up = []
    with Limits(Resources(time_limit_s=0.01), give_up=given_up.append, grace_s=0.05):
        time.sleep(0.5)
    assert given_up == ["exceeded its time limit of 0.01 s"]
    with Limits(Resources(time_limit_s=0.01), give_up=given_up.append, grace_s=0.2):
        time.sleep(0.05)
    time.sleep(0.4)
    assert len(given_up) == 1


def test_without_limits_nothing_is_started():
    before = threading.active_count()
    with Limits(Resources()) as limits:
        assert threading.active_count() == before
        limits.after(lambda report: None)(REPORT)


@pytest.mark.parametrize(
    ("status", "error", "is_over"),
    [
        (Status.FAILED, "exceeded its time limit of 3600 s", True),
        (Status.FAILED, "Traceback ...\nValueError: exceeded its time limit", False),
        (Status.INTERRUPTED, None, False),
    ],
)
def test_an_exceeded_limit_is_told_from_what_a_task_raised(status, error, is_over):
    assert is_over_limit(Outcome(trial_id="t", attempt=1, status=status, error=error)) is is_over
