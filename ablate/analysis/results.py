"""What a study's trials came to: a number per arm, metric and seed, and a reason for every number that is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.store import Record, Store
from ablate.study.model import Metric, Study
from ablate.trial import Status

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
    """One arm's numbers: `values[metric][seed]`, finite ones only. The seed is `None` for a task that takes none."""

    name: str
    values: Mapping[str, Mapping[int | None, float]]


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
    """Read the records of every arm's trials; nothing that was planned is dropped without a `Gap` that names it."""
    values: dict[str, dict[str, dict[int | None, float]]] = {
        arm.name: {metric.name: {} for metric in plan.study.metrics} for arm in plan.study.arms
    }
    gaps: dict[tuple[str, int | None, str | None], Gap] = {}
    for trial in plan.trials:
        if trial.role != "arm":
            continue
        found, missing = _read(trial, store, plan.study.metrics)
        for name, value in found.items():
            values[trial.name][name][trial.spec.seed] = value
        gaps.update({(gap.arm, gap.seed, gap.metric): gap for gap in missing})
    return Results(
        study=plan.study,
        scale=plan.scale,
        seeds=plan.seeds,
        arms=tuple(ArmResults(name=arm.name, values=values[arm.name]) for arm in plan.study.arms),
        gaps=tuple(gaps.values()),
    )


def why_unfinished(record: Record | None) -> str:
    """Say how a trial without a result ended, with the last line of its traceback."""
    if record is None:
        return "not run"
    lines = (record.error or "").strip().splitlines()
    return f"{record.status}: {lines[-1].strip()}" if lines else str(record.status)


def _read(trial: PlannedTrial, store: Store, metrics: tuple[Metric, ...]) -> tuple[dict[str, float], list[Gap]]:
    """Give a trial's finite numbers, and a gap for each of the study's metrics that has none."""

    def gap(reason: str, metric: str | None = None) -> Gap:
        return Gap(arm=trial.name, seed=trial.spec.seed, trial_id=trial.spec.id, reason=reason, metric=metric)

    record = store.record(trial.spec.id)
    if record is None or record.status is not Status.FINISHED:
        return {}, [gap(why_unfinished(record))]
    found: dict[str, float] = {}
    gaps: list[Gap] = []
    for metric in metrics:
        value = record.metrics.get(metric.name)
        if value is None:
            gaps.append(gap("the task did not return it", metric.name))
        elif not math.isfinite(value):
            gaps.append(gap(f"it is {value}", metric.name))
        else:
            found[metric.name] = value
    return found, gaps
