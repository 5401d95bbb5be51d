"""What MLflow is told about a trial: name, tags, parameters, times. Pure; MLflow itself is not needed here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.store import CurvePoint, Record
from ablate.trial import Json, Status, TrialSpec

if TYPE_CHECKING:
    from ablate.plan.model import Plan, PlannedTrial

TRIAL_TAG, STUDY_TAG = "ablate.trial_id", "ablate.study"
"""Tags by which a trial's and a study's run are found again."""
STEP_TAG, OUTCOME_TAG = "ablate.step", "ablate.outcome"
"""Tags that say how far a run is mirrored: the last step of its curves, and how the trial ended."""

_LONGEST_VALUE = 250
_LONGEST_DESCRIPTION = 7900  # MLflow refuses tags beyond 8000
_LONGEST_LOG_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContent:
    """A trial's run as MLflow shows it from the start."""

    spec: TrialSpec
    name: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of one metric. Its time follows from the step, so that the same point twice is one point."""

    name: str
    value: float
    step: int
    time_ms: int


def study_tag(plan: Plan) -> str:
    """Name the run of a study at one scale."""
    return f"{plan.study.name} {plan.scale}"


def run_contents(plan: Plan) -> dict[str, RunContent]:
    """Describe each trial of the plan once, by id; a trial that several arms share is named after all of them."""
    places: dict[str, list[PlannedTrial]] = {}
    for trial in plan.trials:
        places.setdefault(trial.spec.id, []).append(trial)
    return {trial_id: _content(plan, trials) for trial_id, trials in places.items()}


def flat(values: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested parameters to short dotted names (`method.weighting`)."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _short(value)[:_LONGEST_VALUE]


def curve_points(points: list[CurvePoint], *, after: int | None, start_ms: int) -> list[Point]:
    """Give the points of the curves beyond the step that is already mirrored."""
    return [
        Point(name=name, value=value, step=point.step, time_ms=_time_ms(start_ms, point.step))
        for point in points
        if after is None or point.step > after
        for name, value in point.metrics.items()
    ]


def final_points(record: Record, *, step: int | None, start_ms: int) -> list[Point]:
    """Give the record's metrics as points at the curves' last step, a millisecond after it: they are the latest."""
    last = step or 0
    return [
        Point(name=name, value=value, step=last, time_ms=_time_ms(start_ms, last) + 1)
        for name, value in record.metrics.items()
    ]


def outcome_tag(record: Record) -> str:
    """Name how and by which attempt a trial ended."""
    return f"{record.status} by attempt {record.run.attempt}"


def run_status(status: Status) -> str:
    """Translate to MLflow's words."""
    return {Status.FINISHED: "FINISHED", Status.FAILED: "FAILED"}.get(status, "KILLED")


def milliseconds(moment: str) -> int:
    """Read an ISO 8601 time as milliseconds since 1970."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def fitting(description: str) -> str:
    """Cut a description at a blank line so that MLflow takes it, and say that it was cut."""
    if len(description) <= _LONGEST_DESCRIPTION:
        return description
    note = "\n\n(cut: the whole table is in the report among the artifacts)"
    return description[: _LONGEST_DESCRIPTION - len(note)].rpartition("\n\n")[0] + note


def log_tail(path: Path) -> str:
    """Read the end of a trial's log; empty where there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LONGEST_LOG_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _content(plan: Plan, places: list[PlannedTrial]) -> RunContent:
    spec = places[0].spec
    names = list(dict.fromkeys(trial.name for trial in places))
    tags = {
        TRIAL_TAG: spec.id,
        "role": places[0].role,
        places[0].role: ", ".join(names),
        "scale": plan.scale,
        "mlflow.source.name": plan.study.path.name,
        "mlflow.source.type": "LOCAL",
    }
    seed = {} if spec.seed is None else {"seed": str(spec.seed)}
    return RunContent(
        spec=spec,
        name=places[0].label if len(names) == 1 else ", ".join(dict.fromkeys(trial.label for trial in places)),
        tags={**tags, **seed},
        parameters={**dict(flat(spec.parameters)), **seed},
    )


def _short(value: Json) -> str:
    """Write a value without quotes, and a list of plain values without brackets: MLflow would spread it over lines."""
    if isinstance(value, list | tuple) and value and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(_short(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _time_ms(start_ms: int, step: int) -> int:
    return start_ms + 1000 * step
