import pytest

from ablate.plan.expand import expand
from ablate.plan.model import Plan
from ablate.plan.proposer import PlanProposer
from ablate.search.proposer import DONE, WAIT
from ablate.study.load import load_study
from ablate.trial import Outcome, Status, TrialSpec


@pytest.fixture
def plan(toy_project) -> Plan:
    return expand(load_study(toy_project.study))


@pytest.fixture
def label(plan):
    labels = {trial.spec.id: trial.label for trial in plan.trials}
    return lambda answer: labels[answer.id] if isinstance(answer, TrialSpec) else answer


def outcome(plan: Plan, label: str, status: Status = Status.FINISHED) -> Outcome:
    (id_,) = [trial.spec.id for trial in plan.trials if trial.label == label]
    return Outcome(trial_id=id_, attempt=1, status=status)


def test_a_trial_waits_until_what_it_needs_is_finished(plan, label) -> None:
    proposer = PlanProposer(plan, [])
    assert label(proposer.ask()) == "pretrained"
    assert proposer.ask() is WAIT
    proposer.tell(outcome(plan, "pretrained"))
    assert [label(proposer.ask()) for _ in range(3)] == ["adapted seed 0", "adapted seed 1", WAIT]
    proposer.tell(outcome(plan, "adapted seed 1"))
    assert [label(proposer.ask()) for _ in range(4)] == ["ours seed 1", "rough seed 1", "by weight seed 1", WAIT]
    proposer.tell(outcome(plan, "adapted seed 0"))
    assert label(proposer.ask()) == "ours seed 0"


def test_every_trial_is_proposed_once_and_then_all_is_done(plan) -> None:
    proposer = PlanProposer(plan, [])
    proposed = []
    while (answer := proposer.ask()) is not DONE:
        assert isinstance(answer, TrialSpec)
        proposed.append(answer.id)
        proposer.tell(Outcome(trial_id=answer.id, attempt=1, status=Status.FINISHED))
    assert proposed == list(plan.specs)
    assert proposer.unreachable == {}


def test_finished_trials_are_not_proposed_and_free_what_needs_them(plan, label) -> None:
    finished = [trial.spec.id for trial in plan.trials if trial.role == "stage" or trial.spec.seed == 0]
    proposer = PlanProposer(plan, finished)
    assert [label(proposer.ask()) for _ in range(4)] == ["ours seed 1", "rough seed 1", "by weight seed 1", WAIT]
    assert PlanProposer(plan, plan.specs).ask() is DONE


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (Status.FAILED, "needs adapted seed 0, which failed"),
        (Status.INTERRUPTED, "needs adapted seed 0, which was interrupted"),
        (Status.PRUNED, "needs adapted seed 0, which was pruned"),
    ],
)
def test_what_needs_a_lost_stage_is_never_proposed_and_named(plan, label, status: Status, reason: str) -> None:
    proposer = PlanProposer(plan, [])
    proposer.ask()
    proposer.tell(outcome(plan, "pretrained"))
    proposer.ask(), proposer.ask()
    proposer.tell(outcome(plan, "adapted seed 0", status))
    proposer.tell(outcome(plan, "adapted seed 1"))
    assert [label(proposer.ask()) for _ in range(4)] == ["ours seed 1", "rough seed 1", "by weight seed 1", WAIT]
    for name in ("ours", "rough", "by weight"):
        proposer.tell(outcome(plan, f"{name} seed 1"))
    assert proposer.ask() is DONE
    lost = {trial.spec.id for trial in plan.trials if trial.role == "arm" and trial.spec.seed == 0}
    assert proposer.unreachable == dict.fromkeys(lost, reason)


def test_a_lost_first_stage_puts_everything_out_of_reach(plan) -> None:
    proposer = PlanProposer(plan, [])
    proposer.ask()
    proposer.tell(outcome(plan, "pretrained", Status.FAILED))
    assert proposer.ask() is DONE
    assert len(proposer.unreachable) == len(plan.specs) - 1
    assert set(proposer.unreachable.values()) == {"needs pretrained, which failed"}


def test_a_failed_arm_takes_nothing_with_it(plan) -> None:
    proposer = PlanProposer(plan, [trial.spec.id for trial in plan.trials if trial.role == "stage"])
    answer = proposer.ask()
    assert isinstance(answer, TrialSpec)
    proposer.tell(Outcome(trial_id=answer.id, attempt=1, status=Status.FAILED))
    assert proposer.unreachable == {}
    assert isinstance(proposer.ask(), TrialSpec)
