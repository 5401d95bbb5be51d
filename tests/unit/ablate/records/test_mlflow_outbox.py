"""The outbox: everything in order, whatever fails in between, and never more in memory than was agreed."""

import time
from threading import Thread

import pytest

from ablate.records import mlflow_outbox
from ablate.records.mlflow_outbox import Outbox
from ablate.trial import Report


@pytest.fixture
def outbox():
    return Outbox()


def point(step, trial_id="a"):
    return Report(trial_id=trial_id, attempt=1, step=step, metrics={"loss": 1.0})


def steps(news):
    return [point.step for point in news.points]


def test_news_come_by_trial_in_their_order(outbox):
    outbox.started("a", 5)
    outbox.reported(point(0))
    outbox.reported(point(0, "b"))
    outbox.reported(point(1))
    outbox.ended("a")
    with outbox.take(0.0) as news:
        assert list(news) == ["a", "b"]
        assert (news["a"].start_ms, news["a"].has_started, news["a"].has_ended) == (5, True, True)
        assert steps(news["a"]) == [0, 1]
    assert outbox.num_trials == 0


def test_what_was_not_delivered_comes_again_before_the_rest(outbox):
    outbox.started("a", 5)
    outbox.reported(point(0))
    with pytest.raises(ConnectionError), outbox.take(0.0):
        outbox.reported(point(1))
        raise ConnectionError
    assert outbox.num_trials == 1
    outbox.again()
    outbox.reported(point(2))
    with outbox.take(0.0) as news:
        assert news["a"].has_started
        assert steps(news["a"]) == [0, 1, 2]


def test_a_trial_that_ended_and_was_started_again_has_not_ended(outbox):
    outbox.started("a", 5)
    with pytest.raises(ConnectionError), outbox.take(0.0):
        raise ConnectionError
    outbox.ended("a")
    outbox.started("a", 9)
    outbox.again()
    with outbox.take(0.0) as news:
        assert (news["a"].has_ended, news["a"].start_ms) == (False, 5)
    assert outbox.running() == {"a": 9}


def test_an_end_in_hand_is_not_forgotten(outbox):
    outbox.ended("a")
    with pytest.raises(ConnectionError), outbox.take(0.0):
        raise ConnectionError
    outbox.again()
    with outbox.take(0.0) as news:
        assert news["a"].has_ended


def test_after_a_new_connection_what_runs_is_told_again(outbox):
    outbox.started("a", 5)
    outbox.started("b", 6)
    outbox.ended("b")
    with outbox.take(0.0):
        pass
    outbox.again()
    with outbox.take(0.0) as news:
        assert {trial_id: one.start_ms for trial_id, one in news.items()} == {"a": 5}


def test_memory_is_bounded_by_dropping_the_longest_curve(outbox, monkeypatch):
    monkeypatch.setattr(mlflow_outbox, "MAX_WAITING", 10)
    for step in range(3):
        outbox.reported(point(step, "short"))
    for step in range(100):
        outbox.reported(point(step, "long"))
    outbox.ended("long")
    with outbox.take(0.0) as news:
        assert steps(news["short"]) == [0, 1, 2]
        assert not news["short"].has_gap
        assert sum(len(one.points) for one in news.values()) <= 10
        assert news["long"].has_gap
        assert news["long"].is_doubtful


def test_the_bound_holds_over_failures(outbox, monkeypatch):
    monkeypatch.setattr(mlflow_outbox, "MAX_WAITING", 10)
    for _ in range(5):
        for step in range(8):
            outbox.reported(point(step))
        with pytest.raises(ConnectionError), outbox.take(0.0) as news:
            assert sum(len(one.points) for one in news.values()) <= 10
            raise ConnectionError
        outbox.again()


def test_starts_and_ends_are_told_at_once_and_points_after_a_while(outbox):
    def put_in():
        time.sleep(0.1)
        outbox.started("a", 5)

    Thread(target=put_in).start()
    began = time.monotonic()
    with outbox.take(30.0) as news:
        assert "a" in news
    assert time.monotonic() - began < 10.0
    outbox.reported(point(0))
    began = time.monotonic()
    with outbox.take(0.2) as news:
        assert "a" in news
    assert time.monotonic() - began >= 0.19
