from types import SimpleNamespace

import pytest

from ablate.worker.rounds import Rounds


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr("time.monotonic", lambda: now.s)
    return now


@pytest.fixture
def asked() -> SimpleNamespace:
    """Whether to stop, and how often that was asked."""
    return SimpleNamespace(stop=False, times=0)


@pytest.fixture
def rounds(clock, asked) -> Rounds:
    def stopping() -> bool:
        asked.times += 1
        return asked.stop

    return Rounds(2, interval_s=10.0, stopping=stopping)


def test_what_is_due_for_the_first_is_due_for_the_second_at_that_step(rounds, clock) -> None:
    found = []
    for step in (1, 2, 3):
        for trial in ("a", "b"):
            rounds.enter(trial, step)
            found.append((step, trial, rounds.is_due))
            if rounds.is_due:
                rounds.saved()
            clock.s += 4.0
    assert found == [(1, "a", False), (1, "b", False), (2, "a", False), (2, "b", False), (3, "a", True), (3, "b", True)]


def test_the_second_does_not_save_when_the_first_did_not(rounds, clock) -> None:
    clock.s = 9.9
    rounds.enter("a", 1)
    clock.s = 10.1
    rounds.enter("b", 1)
    assert not rounds.is_due


def test_all_save_before_the_stack_ends(rounds, asked) -> None:
    asked.stop = True
    rounds.enter("a", 1)
    assert (rounds.is_due, rounds.is_last) == (True, False)
    rounds.enter("b", 1)
    assert (rounds.is_due, rounds.is_last) == (True, True)
    assert asked.times == 1


def test_a_wish_that_comes_in_the_middle_of_a_round_counts_from_the_next(rounds, asked) -> None:
    rounds.enter("a", 1)
    asked.stop = True
    rounds.enter("b", 1)
    assert not rounds.is_due
    rounds.enter("a", 2)
    assert not rounds.is_last
    rounds.enter("b", 2)
    assert rounds.is_last


def test_a_stack_whose_trials_report_one_after_the_other_ends_a_report_later(rounds, asked) -> None:
    asked.stop = True
    rounds.enter("a", 1)
    assert not rounds.is_last
    rounds.enter("a", 2)
    assert rounds.is_last


def test_a_trial_by_itself_is_asked_about_at_each_report(clock) -> None:
    answers = [False, False, True]
    rounds = Rounds(1, interval_s=10.0, stopping=lambda: answers.pop(0))
    for is_last in (False, False, True):
        rounds.enter("a", 1)
        assert rounds.is_last is is_last
