"""What ran: cost per role, versions, code and hosts, and what did not finish, read from the store's records."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ablate.analysis.results import why_unfinished
from ablate.plan.model import Plan, PlannedTrial
from ablate.store import Record
from ablate.trial import Status

NOT_NEEDED = "not needed"
"""Status of a trial that adaptive replication has not asked for."""


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

    name: str
    seed: int | None
    trial_id: str
    reason: str
    has_run: bool

    @property
    def label(self) -> str:
        """A readable name: `adapted seed 3`, `detector`."""
        return self.name if self.seed is None else f"{self.name} seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTrial:
    """One planned trial of an arm and how it stands: a record's status, `not run`, or `not needed`."""

    arm: str
    seed: int | None
    trial_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a reader needs to judge or repeat the run.

    Args:
        costs: Per stage and arm, in the plan's order.
        num_trials: Distinct trials planned; where replication is adaptive, those that were asked for so far.
        num_finished: Of these, finished.
        versions: Every version of each library that appears in the records.
        code: Fingerprints of the code, by task.
        hosts: Names of the machines.
        first: When the first of the trials started (as recorded).
        last: When the last one ended.
        unfinished: In the plan's order.
        arm_trials: Every planned trial of every arm, in the plan's order.
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
    arm_trials: tuple[ArmTrial, ...] = ()

    @property
    def seconds(self) -> float:
        """Worker seconds of all trials."""
        return sum(cost.seconds for cost in self.costs)


def gather_facts(plan: Plan, records: Mapping[str, Record | None], wanted: Collection[str]) -> Facts:
    """Put together what the records of the planned trials say.

    Args:
        plan: The plan.
        records: Of every planned trial, by id.
        wanted: Ids of the trials that are asked for: all of them, or what adaptive replication has come to.
    """
    first_of: dict[str, PlannedTrial] = {}
    for trial in plan.trials:
        if _counts(records.get(trial.spec.id), trial.spec.id, wanted):
            first_of.setdefault(trial.spec.id, trial)
    runs = [record.run for trial_id in first_of if (record := records.get(trial_id)) is not None]
    versions: dict[str, list[str]] = {}
    for run in runs:
        for library, version in {"python": run.python, **run.versions}.items():
            versions.setdefault(library, []).append(version)
    code: dict[str, list[str]] = {}
    costs: dict[tuple[str, str], list[float]] = {}
    unfinished = []
    for trial_id, trial in first_of.items():
        record = records.get(trial_id)
        code.setdefault(trial.spec.task, []).append(trial.spec.code)
        costs.setdefault((trial.role, trial.group), []).append(record.run.own_seconds if record else 0.0)
        if record is None or record.status is not Status.FINISHED:
            unfinished.append(_unfinished(trial, record))
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
        arm_trials=tuple(_arm_trial(trial, records, wanted) for trial in plan.trials if trial.role == "arm"),
    )


def _unfinished(trial: PlannedTrial, record: Record | None) -> Unfinished:
    return Unfinished(
        name=trial.name,
        seed=trial.spec.seed,
        trial_id=trial.spec.id,
        reason=why_unfinished(record),
        has_run=record is not None,
    )


def _counts(record: Record | None, trial_id: str, wanted: Collection[str]) -> bool:
    """Say whether a trial is part of the study so far: it was asked for, or it ran anyway."""
    return trial_id in wanted or record is not None


def _arm_trial(trial: PlannedTrial, records: Mapping[str, Record | None], wanted: Collection[str]) -> ArmTrial:
    record = records.get(trial.spec.id)
    status = "not run" if _counts(record, trial.spec.id, wanted) else NOT_NEEDED
    return ArmTrial(
        arm=trial.name,
        seed=trial.spec.seed,
        trial_id=trial.spec.id,
        status=str(record.status) if record else status,
    )


def _distinct(values: list[str]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
