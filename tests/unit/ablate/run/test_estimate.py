import pytest

from ablate.run.estimate import TimeLeft, duration


def test_nothing_is_guessed_before_a_trial_has_finished():
    estimate = TimeLeft().estimate(["m:a", "m:b"], [], num_slots=2)
    assert str(estimate) == "time left: not known before a trial has finished"


def test_the_mean_of_each_task_is_spread_over_the_slots():
    time_left = TimeLeft()
    for seconds in (10.0, 20.0):
        time_left.learn("m:a", seconds)
    estimate = time_left.estimate(["m:a"] * 4, [], num_slots=2)
    assert estimate.seconds == 30.0
    assert str(estimate) == "about 30 s left (from 2 finished, 2 at a time)"


def test_what_a_running_trial_has_behind_it_is_not_counted_again():
    time_left = TimeLeft()
    time_left.learn("m:a", 100.0)
    assert time_left.estimate([], [("m:a", 40.0), ("m:a", 200.0)], num_slots=1).seconds == 60.0


def test_many_slots_do_not_shorten_the_longest_trial():
    time_left = TimeLeft()
    time_left.learn("m:a", 100.0)
    assert time_left.estimate(["m:a", "m:a"], [], num_slots=50).seconds == 100.0


def test_kinds_not_seen_yet_are_named_and_not_guessed():
    time_left = TimeLeft()
    time_left.learn("m:a", 10.0)
    estimate = time_left.estimate(["m:a", "m:b", "m:b"], [], num_slots=1)
    assert (estimate.seconds, estimate.num_unknown) == (10.0, 2)
    assert str(estimate) == "about 10 s and 2 trials of a kind not seen yet left (from 1 finished, 1 at a time)"


def test_no_seconds_are_told_where_only_new_kinds_are_left():
    time_left = TimeLeft()
    time_left.learn("m:a", 10.0)
    text = "time left: not known before one of 2 trials of a new kind has finished"
    assert str(time_left.estimate(["m:b", "m:b"], [], num_slots=1)) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_times_are_written_for_people(seconds, text):
    assert duration(seconds) == text
