"""What ran: cost per role, versions, code and hosts, and what did not finish, read from the store's records."""

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.analysis.results import why_unfinished
from ablate.plan.model import Plan, PlannedTrial
from ablate.store import Store
from ablate.trial import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Worker seconds of a stage, or of an arm. A trial that several arms share counts for the first."""

    role: str
    name: str
    num_trials: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A planned trial without a result, and how it ended."""

    label: str
    trial_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a reader needs to judge or repeat the run.

    Args:
        costs: Per stage and arm, in the plan's order.
        num_trials: Distinct trials planned.
        num_finished: Of these, finished.
        versions: Every version of each library that appears in the records.
        code: Fingerprints of the code, by task.
        hosts: Names of the machines.
        first: When the first of the trials started (as recorded).
        last: When the last one ended.
        unfinished: In the plan's order.
    """

    costs: tuple[Cost, ...]
    num_trials: int
    num_finished: int
    versions: Mapping[str, tuple[str, ...]]
    code: Mapping[str, tuple[str, ...]]
    hosts: tuple[str, ...]
    first: str
    last: str
    unfinished: tuple[Unfinished, ...]

    @property
    def seconds(self) -> float:
        """Worker seconds of all trials."""
        return sum(cost.seconds for cost in self.costs)


def gather_facts(plan: Plan, store: Store) -> Facts:
    """Read the records of every planned trial once."""
    first_of: dict[str, PlannedTrial] = {}
    for trial in plan.trials:
        first_of.setdefault(trial.spec.id, trial)
    records = {trial_id: store.record(trial_id) for trial_id in first_of}
    runs = [record.run for record in records.values() if record is not None]
    versions: dict[str, list[str]] = {}
    for run in runs:
        for library, version in {"python": run.python, **run.versions}.items():
            versions.setdefault(library, []).append(version)
    code: dict[str, list[str]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    unfinished = []
    for trial_id, trial in first_of.items():
        record = records[trial_id]
        code.setdefault(trial.spec.task, []).append(trial.spec.code)
        costs.setdefault((trial.role, trial.name), []).append(record.run.seconds if record else 0.0)
        if record is None or record.status is not Status.FINISHED:
            unfinished.append(Unfinished(label=trial.label, trial_id=trial_id, reason=why_unfinished(record)))
    return Facts(
        costs=tuple(
            Cost(role=role, name=name, num_trials=len(seconds), seconds=sum(seconds))
            for (role, name), seconds in costs.items()
        ),
        num_trials=len(first_of),
        num_finished=len(first_of) - len(unfinished),
        versions={library: _distinct(found) for library, found in sorted(versions.items())},
        code={task: _distinct(found) for task, found in code.items()},
        hosts=_distinct([run.host for run in runs]),
        first=min((run.started for run in runs), default=""),
        last=max((run.ended for run in runs), default=""),
        unfinished=tuple(unfinished),
    )


def _distinct(values: list[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
