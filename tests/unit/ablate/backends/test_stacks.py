"""Which trials a backend is given together, and what becomes of them when that goes wrong."""

from collections import deque
from types import SimpleNamespace

import pytest

from ablate.backends.attempts import MAX_LOSSES, MAX_STACK_LOSSES, Attempts
from ablate.search.proposer import DONE, WAIT, Answer
from ablate.store import RunFacts, Store
from ablate.trial import Outcome, Resources, Status, TrialSpec


class Listener:
    def __init__(self) -> None:
        self.started_: list[tuple[int, int]] = []

    def started(self, spec, attempt):
        self.started_.append((spec.seed, attempt))

    def reported(self, report): ...

    def ended(self, spec, outcome): ...

    def close(self): ...


class OneByOne:
    """Proposes its answers in order, whatever comes back."""

    def __init__(self) -> None:
        self.answers: deque[TrialSpec | Answer] = deque()
        self.told: dict[str, Outcome] = {}
        self.hopeless: set[str] = set()

    def ask(self):
        return self.answers.popleft() if self.answers else DONE

    def reported(self, report):
        return report.trial_id in self.hopeless

    def tell(self, outcome):
        self.told[outcome.trial_id] = outcome


@pytest.fixture
def setting(tmp_path) -> SimpleNamespace:
    """Arms of up to three stacked seeds, and a way for their attempts to end."""
    store, listener, proposer, stop = Store(tmp_path), Listener(), OneByOne(), SimpleNamespace(asked=False)
    attempts = Attempts(proposer, listener, store=store, stopping=lambda: stop.asked)

    def propose(arm: str, *seeds: int | None, retries: int = 0, stack_seeds: int = 3) -> list[TrialSpec]:
        resources = Resources(stack_seeds=stack_seeds, retries=retries)
        specs = [TrialSpec(task="m:f", parameters={"arm": arm}, seed=seed, resources=resources) for seed in seeds]
        for spec in specs:
            store.write_spec(spec)
        proposer.answers.extend(specs)
        return specs

    def given() -> object:
        """Give the next stack in short: the arm and its seeds."""
        found = attempts.next()
        return found if isinstance(found, Answer) else "".join(f"{one.parameters['arm']}{one.seed} " for one in found)

    def start() -> tuple:
        stack = attempts.claim(attempts.next())
        attempts.started(stack)
        return stack

    def finish(stack: tuple, status: Status, error: str | None = None) -> None:
        for one in stack:
            outcome = Outcome(trial_id=one.spec.id, attempt=one.number, status=status, error=error)
            facts = RunFacts(attempt=one.number, started="", ended="", seconds=0.0, host="", python="")
            store.finish(one.spec.id, one.number, outcome, facts)

    def end(stack: tuple, status: Status, error: str | None = None) -> None:
        finish(stack, status, error)
        attempts.ended(stack)

    names = {"store": store, "listener": listener, "proposer": proposer, "attempts": attempts, "stop": stop}
    return SimpleNamespace(**names, propose=propose, given=given, start=start, finish=finish, end=end)


def test_what_is_ready_is_stacked_in_the_proposers_order(setting) -> None:
    setting.propose("a", 0, 1, 2, 3)
    setting.propose("b", 0, 1)
    assert [setting.given() for _ in range(4)] == ["a0 a1 a2 ", "a3 ", "b0 b1 ", WAIT]


def test_those_that_do_not_belong_wait_and_come_next(setting) -> None:
    setting.propose("a", 0)
    setting.propose("b", 0)
    setting.propose("a", 1)
    setting.propose("b", 1)
    assert [setting.given(), setting.given()] == ["a0 a1 ", "b0 b1 "]


def test_no_more_than_a_stack_takes_is_kept_waiting(setting) -> None:
    setting.propose("a", 0)
    for arm in ("b", "c", "d", "e"):
        setting.propose(arm, 0)
    setting.propose("a", 1)
    assert setting.given() == "a0 "
    assert [spec.parameters["arm"] for spec in setting.proposer.answers] == ["e", "a"]
    assert [setting.given() for _ in range(5)] == ["b0 ", "c0 ", "d0 ", "e0 ", "a1 "]


def test_who_waits_for_others_is_not_waited_for(setting) -> None:
    setting.propose("a", 0)
    setting.proposer.answers.append(WAIT)
    setting.propose("a", 1)
    assert setting.given() == "a0 "
    assert setting.given() == "a1 "


def test_by_default_the_proposer_is_asked_for_one(setting) -> None:
    setting.propose("a", 0, 1, stack_seeds=1)
    assert setting.given() == "a0 "
    assert len(setting.proposer.answers) == 1


def test_trials_without_a_seed_are_not_stacked(setting) -> None:
    setting.propose("a", None)
    setting.propose("b", None)
    assert [setting.given(), setting.given()] == ["aNone ", "bNone "]


def test_every_trial_of_a_stack_has_an_attempt_and_is_told(setting) -> None:
    specs = setting.propose("a", 0, 1)
    setting.store.claim(specs[1].id)
    stack = setting.start()
    assert setting.listener.started_ == [(0, 1), (1, 2)]
    setting.end(stack, Status.FINISHED)
    assert {trial_id: told.attempt for trial_id, told in setting.proposer.told.items()} == {
        specs[0].id: 1,
        specs[1].id: 2,
    }
    assert setting.given() is DONE


def test_a_stack_that_failed_is_tried_again_apart_and_that_counts_for_nobody(setting) -> None:
    specs = setting.propose("a", 0, 1, 2)
    setting.end(setting.start(), Status.FAILED, "odd")
    assert setting.proposer.told == {}
    for spec, status in zip(specs, (Status.FINISHED, Status.FAILED, Status.FINISHED), strict=True):
        (one,) = stack = setting.start()
        assert one.spec is spec
        setting.end(stack, status)
    assert [setting.proposer.told[spec.id].status for spec in specs] == [
        Status.FINISHED,
        Status.FAILED,
        Status.FINISHED,
    ]
    assert setting.given() is DONE


def test_apart_from_the_others_a_trial_has_its_retries(setting) -> None:
    (spec, _) = setting.propose("a", 0, 1, retries=1)
    setting.end(setting.start(), Status.FAILED, "odd")
    first = setting.start()
    setting.end(setting.start(), Status.FINISHED)
    setting.end(first, Status.FAILED)
    assert spec.id not in setting.proposer.told
    setting.end(setting.start(), Status.FAILED)
    assert setting.proposer.told[spec.id].attempt == 3


def test_a_stack_over_a_limit_is_tried_again_apart(setting) -> None:
    setting.propose("a", 0, 1)
    setting.end(setting.start(), Status.FAILED, "exceeded its memory limit of 5 MiB (it used 9)")
    assert [setting.given(), setting.given()] == ["a0 ", "a1 "]


def test_what_was_lost_together_starts_together_again(setting) -> None:
    setting.propose("a", 0, 1, 2)
    setting.propose("b", 0)
    stack = setting.start()
    setting.attempts.ended(stack)
    assert [setting.given(), setting.given()] == ["a0 a1 a2 ", "b0 "]


def test_only_trials_at_the_same_checkpoint_are_stacked(setting) -> None:
    setting.propose("a", 0, 1, 2)
    stack = setting.start()
    for one, step in zip(stack, (4, 3, 4), strict=True):
        setting.store.save_checkpoint(one.spec.id, one.number, step, {})
    setting.attempts.ended(stack)
    assert [setting.given(), setting.given(), setting.given()] == ["a0 a2 ", "a1 ", WAIT]


def test_a_trial_that_has_begun_is_not_stacked_with_new_ones(setting) -> None:
    (begun,) = setting.propose("a", 0)
    setting.store.save_checkpoint(begun.id, setting.store.claim(begun.id), 5, {})
    setting.propose("a", 1, 2)
    assert [setting.given(), setting.given()] == ["a0 ", "a1 a2 "]


def test_of_a_lost_stack_what_had_finished_is_believed(setting) -> None:
    specs = setting.propose("a", 0, 1, 2)
    stack = setting.start()
    setting.finish(stack[:1], Status.FINISHED)
    setting.attempts.ended(stack)
    assert setting.proposer.told.keys() == {specs[0].id}
    assert setting.given() == "a1 a2 "


def test_a_stack_lost_again_and_again_is_taken_apart_before_it_is_given_up(setting) -> None:
    specs = setting.propose("a", 0, 1)
    for _ in range(MAX_STACK_LOSSES):
        setting.attempts.ended(setting.start())
    first, second = setting.start(), setting.start()
    assert (len(first), len(second)) == (1, 1)
    setting.end(second, Status.FINISHED)
    setting.attempts.ended(first)
    for _ in range(MAX_LOSSES - MAX_STACK_LOSSES - 1):
        setting.attempts.ended(setting.start())
    assert [setting.proposer.told[spec.id].status for spec in specs] == [Status.FAILED, Status.FINISHED]


def test_once_stopping_those_that_wait_are_told_and_nothing_is_stacked(setting) -> None:
    specs = setting.propose("a", 0, 1) + setting.propose("b", 0)
    stack = setting.start()
    setting.stop.asked = True
    assert setting.given() is DONE
    setting.end(stack, Status.INTERRUPTED)
    setting.attempts.close([])
    assert {trial_id: told.status for trial_id, told in setting.proposer.told.items()} == {
        spec.id: Status.INTERRUPTED for spec in specs
    }


def test_stages_that_differ_in_their_seed_alone_do_not_keep_trials_apart(setting) -> None:
    stages = [TrialSpec(task="m:g", parameters={"x": x}, seed=seed) for x, seed in ((1, 0), (1, 1), (2, 2))]
    for stage in stages:
        setting.store.write_spec(stage)
    resources = Resources(stack_seeds=3)
    for stage in stages:
        spec = TrialSpec(task="m:f", parameters={}, seed=stage.seed, needs={"g": stage.id}, resources=resources)
        setting.proposer.answers.append(spec)
    assert [len(setting.attempts.next()) for _ in range(2)] == [2, 1]
