"""A study as the rest of the platform sees it: frozen, checked, and each field knows its line in the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ablate.trial import Json, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number the task returns. `paper` is its column in the published table."""

    name: str
    unit: str
    better: Literal["lower", "higher"]
    paper: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Reported values drawn over steps, one line per arm. `metrics` share the figure's y axis; no `arms` means all."""

    title: str
    metrics: tuple[str, ...]
    arms: tuple[str, ...] = ()
    x: str = "step"
    unit: str = ""
    log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Work that several trials need, done once: a task, and the stages it needs itself."""

    name: str
    task: str
    needs: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A variant under study: what it sets over the base, as Hydra keys. `paper` is its row in the published table."""

    name: str
    overrides: Mapping[str, Json]
    paper: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study file, resolved up to (not including) its configuration.

    Args:
        path: The file.
        source: Its text, for the report.
        paper: `<paper key>/<table id>` of the published table, found in `papers/` beside the file.
        base: Hydra overrides over `conf/`.
        overrides: The command line's trailing overrides.
        reference: The arm every other is compared to.
        num_replicates: How many seeds; `None` leaves it to the scale.
        lines: Line of each dotted key in the file, 1-based.
        notes: Sentences the author wants in the report (Markdown).
    """

    path: Path
    source: str
    name: str
    title: str
    paper: str | None
    base: tuple[str, ...]
    overrides: tuple[str, ...]
    stages: Mapping[str, Stage]
    task: str
    needs: tuple[str, ...]
    arms: tuple[Arm, ...]
    reference: str
    num_replicates: int | None
    metrics: tuple[Metric, ...]
    curves: tuple[Curve, ...]
    resources: Resources
    plugins: tuple[str, ...]
    lines: Mapping[str, int]
    notes: str = ""
