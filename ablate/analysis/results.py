"""What a study's trials came to: a number per arm, metric and seed, and a reason for every number that is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ablate.store import Record, Store
from ablate.study.model import Metric, Study
from ablate.trial import Outcome, Status, TrialSpec

if TYPE_CHECKING:
    from ablate.plan.model import Plan, PlannedTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A planned number that is not there. `metric` is `None` where the whole trial is missing."""

    arm: str
    seed: int | None
    trial_id: str
    reason: str
    metric: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResults:
    """One arm's numbers.

    Args:
        name: The arm.
        values: `values[metric][seed]`, finite ones only. The seed is `None` for a task that takes none.
        planned: The seeds that are planned for it; `None` where that is not known.
        pending: Those of them whose trials have not ended yet: not run, interrupted, or waiting for a stage.
    """

    name: str
    values: Mapping[str, Mapping[int | None, float]]
    planned: tuple[int | None, ...] | None = None
    pending: frozenset[int | None] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All numbers of a study at one scale, and the gaps among them."""

    study: Study
    scale: str
    seeds: tuple[int, ...]
    arms: tuple[ArmResults, ...]
    gaps: tuple[Gap, ...]

    def arm(self, name: str) -> ArmResults:
        """Give the arm of this name.

        Raises:
            KeyError: The study has no such arm.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)

    def metric(self, name: str) -> Metric:
        """Give the metric of this name.

        Raises:
            KeyError: The study has no such metric.
        """
        for metric in self.study.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)


def gather(plan: Plan, store: Store) -> Results:
    """Read the records of every arm's trials; nothing that was planned is dropped without a `Gap` that names it.

    Restrict an adaptive plan first (`replication.reached`): a trial that it does not ask for is no gap.
    """
    return collect(plan, read_outcomes(plan, store))


def read_outcomes(plan: Plan, store: Store) -> dict[str, Outcome]:
    """Read how the trials of a plan ended, by id; those without a record are not in it."""
    records = {trial_id: store.record(trial_id) for trial_id in plan.specs}
    return {trial_id: record.outcome for trial_id, record in records.items() if record is not None}


def collect(plan: Plan, outcomes: Mapping[str, Outcome]) -> Results:
    """Do what `gather` does with outcomes that were read already, by trial id."""
    study = plan.study
    values: dict[str, dict[str, dict[int | None, float]]] = {
        arm.name: {metric.name: {} for metric in study.metrics} for arm in study.arms
    }
    planned: dict[str, dict[int | None, bool]] = {arm.name: {} for arm in study.arms}
    gaps: dict[tuple[str, int | None, str | None], Gap] = {}
    for trial in plan.trials:
        if trial.role != "arm":
            continue
        found, missing = _read(trial, outcomes.get(trial.spec.id), study.metrics)
        for name, value in found.items():
            values[trial.name][name][trial.spec.seed] = value
        gaps.update({(gap.arm, gap.seed, gap.metric): gap for gap in missing})
        planned[trial.name][trial.spec.seed] = has_ended(trial.spec.id, plan.specs, outcomes)
    return Results(
        study=study,
        scale=plan.scale,
        seeds=plan.seeds,
        arms=tuple(
            ArmResults(
                name=arm.name,
                values=values[arm.name],
                planned=tuple(planned[arm.name]),
                pending=frozenset(seed for seed, ended in planned[arm.name].items() if not ended),
            )
            for arm in study.arms
        ),
        gaps=tuple(gaps.values()),
    )


def has_ended(trial_id: str, specs: Mapping[str, TrialSpec], outcomes: Mapping[str, Outcome]) -> bool:
    """Say whether nothing more is to come of a trial: it finished, failed, or needs a stage that was lost."""
    outcome = outcomes.get(trial_id)
    if outcome is not None and outcome.status is Status.FINISHED:
        return True
    return _is_lost(trial_id, specs, outcomes)


def number_of(outcome: Outcome | None, metric: str) -> float | None:
    """Give the finite number that a finished trial has on a metric."""
    if outcome is None or outcome.status is not Status.FINISHED:
        return None
    value = outcome.metrics.get(metric)
    return value if value is not None and math.isfinite(value) else None


def why_unfinished(record: Record | Outcome | None) -> str:
    """Say how a trial without a result ended, with the last line of its traceback."""
    if record is None:
        return "not run"
    lines = (record.error or "").strip().splitlines()
    return f"{record.status}: {lines[-1].strip()}" if lines else str(record.status)


def _is_lost(trial_id: str, specs: Mapping[str, TrialSpec], outcomes: Mapping[str, Outcome]) -> bool:
    outcome = outcomes.get(trial_id)
    if outcome is not None and outcome.status in (Status.FINISHED, Status.FAILED, Status.PRUNED):
        return outcome.status is not Status.FINISHED
    spec = specs.get(trial_id)
    return spec is not None and any(_is_lost(need, specs, outcomes) for need in spec.needs.values())


def _read(
    trial: PlannedTrial, outcome: Outcome | None, metrics: tuple[Metric, ...]
) -> tuple[dict[str, float], list[Gap]]:
    """Give a trial's finite numbers, and a gap for each of the study's metrics that has none."""

    def gap(reason: str, metric: str | None = None) -> Gap:
        return Gap(arm=trial.name, seed=trial.spec.seed, trial_id=trial.spec.id, reason=reason, metric=metric)

    if outcome is None or outcome.status is not Status.FINISHED:
        return {}, [gap(why_unfinished(outcome))]
    found: dict[str, float] = {}
    gaps: list[Gap] = []
    for metric in metrics:
        value = number_of(outcome, metric.name)
        if value is not None:
            found[metric.name] = value
        elif metric.name in outcome.metrics:
            gaps.append(gap(f"it is {outcome.metrics[metric.name]}", metric.name))
        else:
            gaps.append(gap("the task did not return it", metric.name))
    return found, gaps
