import os
import signal

import pytest

from ablate.errors import ExitCode
from ablate.run.signals import STOP_SIGNALS, stop_on_signals


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_the_first_signal_asks_to_stop(number, capfd):
    with stop_on_signals() as stopping:
        assert not stopping()
        signal.raise_signal(number)
        assert stopping()
        assert stopping.signal_name == number.name
    assert f"{number.name}: running trials save their state" in capfd.readouterr().err


def test_the_second_signal_ends_the_process_at_once(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with stop_on_signals():
        signal.raise_signal(signal.SIGTERM)
        assert codes == []
        signal.raise_signal(signal.SIGUSR2)
        assert codes == [ExitCode.INTERRUPTED]


def test_afterwards_the_handlers_are_as_before():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop_on_signals():
        assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
