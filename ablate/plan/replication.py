"""The plan as a proposer of more seeds: only what results still ask for is revealed."""

from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from ablate.plan.model import Plan
from ablate.plan.proposer import PlanProposer
from ablate.search.proposer import Answer
from ablate.trial import Outcome, Report, TrialSpec


class Replication(Protocol):
    """Knows which trials of a plan are worth running, from what came out so far."""

    def tell(self, outcome: Outcome) -> None:
        """Take an outcome."""
        ...

    def wanted(self) -> Collection[str]:
        """Give the ids of the trials that should run or have run."""
        ...


class ReplicationProposer:
    """Proposes the trials that are wanted now, and asks again what is wanted after each that has ended.

    It keeps no state that could be lost: a new one over the same records goes on where this one was. A trial that
    failed has ended; the next run tries it again.

    Args:
        plan: The plan, with the largest number of seeds.
        finished: Ids of finished trials.
        replication: Says what is wanted; has been told of the finished trials.
    """

    def __init__(self, plan: Plan, finished: Collection[str], replication: Replication) -> None:
        self._replication = replication
        self._proposer = PlanProposer(plan, finished, replication.wanted())

    @property
    def unreachable(self) -> dict[str, str]:
        """Why trials are out of reach, by trial id."""
        return self._proposer.unreachable

    def ask(self) -> TrialSpec | Answer:
        """Give the next trial, `WAIT` while results may ask for more, or `DONE` once nothing is wanted."""
        return self._proposer.ask()

    def reported(self, report: Report) -> bool:
        """Let every trial run to its end."""
        return False

    def tell(self, outcome: Outcome) -> None:
        """Take an outcome, and find out what is wanted now."""
        self._replication.tell(outcome)
        self._proposer.tell(outcome)
        self._proposer.want(self._replication.wanted())


def first_round(plan: Plan) -> Plan:
    """Restrict a plan to what runs before any result counts: the first seeds, and the stages behind them."""
    adaptive = plan.study.adaptive
    if adaptive is None:
        return plan
    first = set(plan.seeds[: adaptive.min])
    specs = plan.specs
    wanted = {trial.spec.id for trial in plan.trials if trial.role == "arm" and trial.spec.seed in first | {None}}
    waiting = list(wanted)
    while waiting:
        more = set(specs[waiting.pop()].needs.values()) - wanted
        wanted |= more
        waiting += more
    return replace(plan, trials=tuple(trial for trial in plan.trials if trial.spec.id in wanted))
