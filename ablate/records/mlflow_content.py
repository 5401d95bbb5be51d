"""What MLflow is told about a trial: name, tags, parameters, times. Pure; MLflow itself is not needed here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ablate.ids import content_id
from ablate.store import CurvePoint, Record
from ablate.store.system import SystemSample
from ablate.trial import Json, Status, TrialSpec

if TYPE_CHECKING:
    from ablate.plan.model import Plan, PlannedTrial

TRIAL_TAG, STUDY_TAG = "ablate.trial_id", "ablate.study"
"""Tags by which a trial's and a study's run are found again."""
STEP_TAG, SYSTEM_TAG, OUTCOME_TAG = "ablate.step", "ablate.system", "ablate.outcome"
"""Tags that say how far a run is mirrored: last step of its curves, last sample of the machine, how the trial ended."""
TOLD_TAG, FILES_TAG = "ablate.told", "ablate.files"
"""Digests: of a run's name and tags, which an edited study may change, and of the files on a study's run."""
SYSTEM_PREFIX = "system/"
"""Begins the names of the metrics that MLflow shows on a page of their own."""

_LONGEST_VALUE = 250
_LONGEST_DESCRIPTION = 7900  # MLflow refuses tags beyond 8000
_LONGEST_LOG_BYTES = 65_536
_LONGEST_DIGEST = 36
_UNFIT = re.compile(r"[^\w\-./ :]")  # MLflow refuses names with other characters


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContent:
    """A trial's run as MLflow shows it from the start."""

    spec: TrialSpec
    role: str
    name: str
    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    inputs: tuple[DatasetInput, ...] = ()

    @property
    def digest(self) -> str:
        """Name what an edited study may change of the run: its name and its tags."""
        return content_id([self.name, dict(self.tags)])


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInput:
    """What a trial worked on: a folder (`files`), another trial's result (`stage`), or data it made (`generated`)."""

    name: str
    digest: str
    source: str
    kind: Literal["files", "stage", "generated"]


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


def run_contents(plan: Plan, tags: Mapping[str, Mapping[str, str]]) -> dict[str, RunContent]:
    """Describe each trial of the plan once, by id; a trial that several arms share is named after all of them.

    Args:
        plan: The plan.
        tags: More tags of a trial, by its id.
    """
    places: dict[str, list[PlannedTrial]] = {}
    for trial in plan.trials:
        places.setdefault(trial.spec.id, []).append(trial)
    return {trial_id: _content(plan, trials, tags.get(trial_id, {})) for trial_id, trials in places.items()}


def dataset_inputs(spec: TrialSpec) -> tuple[DatasetInput, ...]:
    """Name what a trial works on: what its parameters point at, the results it needs, or else its settings of `data`.

    A source says what was configured, without the folders of this machine.
    """
    files = [
        DatasetInput(name=path, digest=digest[:_LONGEST_DIGEST], source=_source(spec, path), kind="files")
        for path, digest in spec.data.items()
    ]
    stages = [
        DatasetInput(name=stage, digest=trial_id, source=f"trial {trial_id}", kind="stage")
        for stage, trial_id in spec.needs.items()
    ]
    settings = spec.parameters.get("data")
    if files or stages or not isinstance(settings, Mapping):
        return (*files, *stages)
    generated = DatasetInput(name="data", digest=content_id(settings), source=_source(spec, "data"), kind="generated")
    return (generated,)


def flat(values: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Flatten nested parameters to short dotted names (`method.weighting`)."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield _UNFIT.sub("_", f"{prefix}{key}"), _short(value)[:_LONGEST_VALUE]


def config_text(spec: TrialSpec) -> str:
    """Write what decides a trial as readable JSON."""
    return json.dumps(spec.content(), indent=2, ensure_ascii=False)


def curve_points(points: Iterable[CurvePoint], *, start_ms: int) -> list[Point]:
    """Give the points of the curves in their order."""
    return [
        Point(name=name, value=value, step=point.step, time_ms=_time_ms(start_ms, point.step))
        for point in points
        for name, value in point.metrics.items()
    ]


def system_points(samples: Mapping[int, SystemSample]) -> list[Point]:
    """Give the samples in their order."""
    return [
        Point(name=f"{SYSTEM_PREFIX}{name}", value=value, step=place, time_ms=sample.time_ms)
        for place, sample in samples.items()
        for name, value in sample.metrics.items()
    ]


def final_points(record: Record, curve: Sequence[CurvePoint], *, start_ms: int) -> list[Point]:
    """Give the record's metrics as the latest points: at the curves' last step, so that no step has two values.

    A metric that the curve has there already is left as it is if the value is the same, else it goes one step further.
    """
    last = curve[-1].step if curve else 0
    there = {name: value for point in curve if point.step == last for name, value in point.metrics.items()}
    steps = {name: last + (name in there) for name in record.metrics}
    return [
        Point(name=name, value=value, step=steps[name], time_ms=_time_ms(start_ms, steps[name]) + 1)
        for name, value in record.metrics.items()
        if name not in there or not _is_same(value, there[name])
    ]


def _is_same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


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


def _content(plan: Plan, places: list[PlannedTrial], more: Mapping[str, str]) -> RunContent:
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
        role=places[0].role,
        name=places[0].label if len(names) == 1 else ", ".join(dict.fromkeys(trial.label for trial in places)),
        tags={**tags, **seed, **more},
        parameters={**dict(flat(spec.parameters)), **seed},
        inputs=dataset_inputs(spec),
    )


def _source(spec: TrialSpec, path: str) -> str:
    """Write the configured value at a dotted parameter path; of an absolute path only its last part."""
    value: Json = spec.parameters
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_local(text)}" for name, text in flat(value) if text != "null")
    return "" if value is None else _local(_short(value))


def _local(text: str) -> str:
    return Path(text).name if Path(text).is_absolute() else text


def _short(value: Json) -> str:
    """Write a value without quotes, and a list of plain values without brackets: MLflow would spread it over lines."""
    if isinstance(value, list | tuple) and value and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(_short(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _time_ms(start_ms: int, step: int) -> int:
    return start_ms + 1000 * step
