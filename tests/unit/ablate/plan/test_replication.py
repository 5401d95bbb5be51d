import pytest

from ablate.plan.expand import expand
from ablate.plan.model import Plan
from ablate.plan.replication import ReplicationProposer, first_round
from ablate.search.proposer import DONE, WAIT
from ablate.study.load import load_study
from ablate.trial import Outcome, Status, TrialSpec


class UntilEnough:
    """Wants two seeds of `ours`, and a further one for as long as fewer than `enough` finished."""

    def __init__(self, plan: Plan, enough: int) -> None:
        self.ids = [trial.spec.id for trial in plan.trials if trial.name == "ours"]
        self.enough = enough
        self.ended: dict[str, Status] = {}

    def tell(self, outcome: Outcome) -> None:
        self.ended[outcome.trial_id] = outcome.status

    def wanted(self) -> set[str]:
        ended = [id_ for id_ in self.ids if id_ in self.ended]
        num_finished = sum(self.ended[id_] is Status.FINISHED for id_ in ended)
        return set(self.ids[: max(2, len(ended) + (num_finished < self.enough))])


@pytest.fixture
def plan(toy_project) -> Plan:
    toy_project.edit("replicates: 2", "replicates: {min: 2, max: 6, until: decided}")
    return expand(load_study(toy_project.study))


def run(plan: Plan, proposer: ReplicationProposer, failing: tuple[str, ...] = ()) -> list[str]:
    """Run what is proposed, one after the other, and give the labels."""
    labels = []
    while isinstance(spec := proposer.ask(), TrialSpec):
        labels.append(plan.labels[spec.id])
        status = Status.FAILED if plan.labels[spec.id] in failing else Status.FINISHED
        proposer.tell(Outcome(trial_id=spec.id, attempt=1, status=status))
    assert spec is DONE
    return labels


def test_only_what_is_wanted_and_what_that_needs_is_proposed(plan) -> None:
    assert run(plan, ReplicationProposer(plan, [], UntilEnough(plan, 0))) == [
        "pretrained",
        "adapted seed 0",
        "adapted seed 1",
        "ours seed 0",
        "ours seed 1",
    ]


def test_more_is_revealed_as_results_ask_for_it(plan) -> None:
    labels = run(plan, ReplicationProposer(plan, [], UntilEnough(plan, 4)))
    assert labels[-4:] == ["adapted seed 2", "ours seed 2", "adapted seed 3", "ours seed 3"]


def test_it_waits_only_while_something_runs(plan) -> None:
    proposer = ReplicationProposer(plan, [], UntilEnough(plan, 0))
    first = proposer.ask()
    assert proposer.ask() is WAIT
    proposer.tell(Outcome(trial_id=first.id, attempt=1, status=Status.FAILED))
    assert proposer.ask() is DONE
    assert proposer.unreachable[UntilEnough(plan, 0).ids[0]] == "needs pretrained, which failed"


def test_a_failed_trial_has_ended_and_is_not_proposed_again(plan) -> None:
    labels = run(plan, ReplicationProposer(plan, [], UntilEnough(plan, 3)), failing=("ours seed 1",))
    assert [label for label in labels if label.startswith("ours")] == [f"ours seed {seed}" for seed in range(4)]


def test_what_is_no_longer_wanted_is_not_started(plan) -> None:
    replication = UntilEnough(plan, 9)
    proposer = ReplicationProposer(plan, [trial.spec.id for trial in plan.trials if trial.role == "stage"], replication)
    spec = proposer.ask()
    replication.ids = replication.ids[:1]
    proposer.tell(Outcome(trial_id=spec.id, attempt=1, status=Status.FINISHED))
    assert proposer.ask() is DONE


@pytest.mark.parametrize("num_before", range(10))
def test_killed_at_any_moment_it_goes_on_from_the_records_alone(plan, num_before: int) -> None:
    whole = run(plan, ReplicationProposer(plan, [], UntilEnough(plan, 4)))
    first, again = UntilEnough(plan, 4), UntilEnough(plan, 4)
    proposer, finished = ReplicationProposer(plan, [], first), []
    for _ in range(min(num_before, len(whole))):
        finished.append(proposer.ask().id)
        outcome = Outcome(trial_id=finished[-1], attempt=1, status=Status.FINISHED)
        proposer.tell(outcome)
        again.tell(outcome)
    assert run(plan, ReplicationProposer(plan, finished, again)) == whole[num_before:]


def test_the_first_round_holds_the_least_seeds_and_their_stages(plan) -> None:
    found = first_round(plan)
    assert {trial.spec.seed for trial in found.trials} == {None, 0, 1}
    assert len(found.specs) == 1 + 2 + 6
    assert [id_ for id_ in plan.specs if id_ in found.specs] == list(found.specs)
