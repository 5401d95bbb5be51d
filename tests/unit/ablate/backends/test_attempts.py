from types import SimpleNamespace

import pytest

from ablate.backends.attempts import MAX_LOSSES, Attempts
from ablate.errors import BackendError
from ablate.search.proposer import DONE, WAIT
from ablate.store import RunFacts, Store
from ablate.trial import Outcome, Resources, Status, TrialSpec


class Listener:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def started(self, spec, attempt): ...

    def reported(self, report): ...

    def ended(self, spec, outcome):
        self.outcomes.append(outcome)

    def close(self): ...


class OneByOne:
    """Proposes its answers in order, whatever comes back."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.told: list[Outcome] = []
        self.hopeless: set[str] = set()

    def ask(self):
        return self.answers.pop(0) if self.answers else DONE

    def reported(self, report):
        return report.trial_id in self.hopeless

    def tell(self, outcome):
        self.told.append(outcome)


@pytest.fixture
def setting(tmp_path) -> SimpleNamespace:
    """A trial with one retry, its proposer, and a way for its attempts to end."""
    store, listener = Store(tmp_path), Listener()
    spec = TrialSpec(task="m:f", parameters={}, seed=None, resources=Resources(retries=1))
    store.write_spec(spec)
    proposer, stop = OneByOne(spec), SimpleNamespace(asked=False)
    attempts = Attempts(proposer, listener, store=store, stopping=lambda: stop.asked)

    def ends(attempt, status: Status) -> None:
        outcome = Outcome(trial_id=spec.id, attempt=attempt.number, status=status)
        facts = RunFacts(attempt=attempt.number, started="", ended="", seconds=0.0, host="", python="")
        store.finish(spec.id, attempt.number, outcome, facts)
        attempts.ended((attempt,))

    return SimpleNamespace(
        store=store, listener=listener, spec=spec, proposer=proposer, attempts=attempts, ends=ends, stop=stop
    )


def _start(setting):
    (attempt,) = setting.attempts.claim(setting.attempts.next())
    return attempt


def test_numbers_go_on_from_those_of_an_earlier_run(setting):
    setting.store.claim(setting.spec.id)
    assert _start(setting).number == 2


def test_while_a_trial_is_out_the_answer_is_wait_and_not_done(setting):
    attempt = _start(setting)
    assert setting.attempts.next() is WAIT
    setting.ends(attempt, Status.FINISHED)
    assert setting.attempts.next() is DONE


def test_a_trial_that_raised_is_given_again_before_others(setting):
    other = TrialSpec(task="m:f", parameters={"x": 1}, seed=None)
    setting.proposer.answers.append(other)
    setting.ends(_start(setting), Status.FAILED)
    assert setting.proposer.told == []
    assert setting.attempts.next() == (setting.spec,)
    assert setting.attempts.next() == (other,)


def test_losses_do_not_count_as_failures(setting):
    for _ in range(MAX_LOSSES - 1):
        setting.attempts.ended((_start(setting),))
    setting.ends(_start(setting), Status.FAILED)
    setting.ends(_start(setting), Status.FINISHED)
    assert [outcome.status for outcome in setting.proposer.told] == [Status.FINISHED]


def test_a_trial_lost_again_and_again_without_progress_has_failed(setting):
    for _ in range(MAX_LOSSES):
        setting.attempts.ended((_start(setting),))
    assert [outcome.status for outcome in setting.proposer.told] == [Status.FAILED]
    assert f"lost {MAX_LOSSES} times in a row" in setting.store.record(setting.spec.id).error


def test_a_newer_checkpoint_starts_the_count_of_losses_anew(setting):
    for step in range(2 * MAX_LOSSES):
        attempt = _start(setting)
        setting.store.save_checkpoint(setting.spec.id, attempt.number, step, {})
        setting.attempts.ended((attempt,))
    assert setting.proposer.told == []


def test_the_store_is_believed_when_a_finished_attempt_was_reported_lost(setting):
    attempt = _start(setting)
    outcome = Outcome(trial_id=setting.spec.id, attempt=1, status=Status.FINISHED, metrics={"x": 1.0})
    facts = RunFacts(attempt=1, started="", ended="", seconds=0.0, host="", python="")
    setting.store.finish(setting.spec.id, 1, outcome, facts)
    setting.attempts.ended((attempt,))
    assert setting.proposer.told == [outcome]


def test_once_stopping_nothing_is_given_and_an_interrupted_trial_is_told(setting):
    attempt = _start(setting)
    setting.stop.asked = True
    assert setting.attempts.next() is DONE
    setting.ends(attempt, Status.INTERRUPTED)
    assert [outcome.status for outcome in setting.proposer.told] == [Status.INTERRUPTED]


def test_what_still_ran_at_the_end_is_told_once(setting):
    attempt = _start(setting)
    setting.attempts.close([(attempt,)])
    setting.attempts.close([(attempt,)])
    assert [outcome.status for outcome in setting.proposer.told] == [Status.INTERRUPTED]
    assert [outcome.status for outcome in setting.listener.outcomes] == [Status.INTERRUPTED]


def test_a_trial_proposed_while_it_runs_is_a_fault_of_the_proposer(setting):
    setting.proposer.answers.append(setting.spec)
    setting.attempts.next()
    with pytest.raises(BackendError, match="was proposed while it is running"):
        setting.attempts.next()


def test_a_trial_that_exceeded_a_limit_is_not_tried_again(setting):
    attempt = _start(setting)
    error = "exceeded its time limit of 1 s"
    outcome = Outcome(trial_id=setting.spec.id, attempt=1, status=Status.FAILED, error=error)
    facts = RunFacts(attempt=1, started="", ended="", seconds=0.0, host="", python="")
    setting.store.finish(setting.spec.id, 1, outcome, facts)
    setting.attempts.ended((attempt,))
    assert setting.attempts.next() is DONE
    assert [told.error for told in setting.proposer.told] == [error]
