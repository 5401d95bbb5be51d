"""A study as the rest of the platform sees it: frozen, checked, and each field knows its line in the file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from ablate.search.model import Search
from ablate.trial import Json, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A number the task returns.

    `paper` is its column in the published table. Differences up to `equivalent_within` (in the metric's unit) do not
    matter in practice: the region of practical equivalence.
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]
    paper: str | None = None
    equivalent_within: float | None = None


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
    """A variant under study.

    Args:
        name: What it is called.
        overrides: What it sets over the base, as Hydra keys; what it inherits is already in it.
        paper: Its row in the published table.
        against: The arm it is compared to: `None` for the study's reference, its own name for none at all.
        levels: Level of each of the design's factors, for an arm that a design made.
        spots: Where each override stands in the study file, as a dotted key.
    """

    name: str
    overrides: Mapping[str, Json]
    paper: str | None = None
    against: str | None = None
    levels: Mapping[str, str] = field(default_factory=dict)
    spots: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """What a design varies: its levels by name, the reference's first.

    `numbers` are the levels as numbers where all of them are: the axis of a sweep's curve.
    """

    name: str
    levels: tuple[str, ...]
    numbers: tuple[float, ...] | None = None


DesignKind = Literal["factorial", "leave_one_out", "one_at_a_time", "sweep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How arms were made of factors.

    Args:
        kind: Which combinations of levels became arms.
        factors: In the order of the file.
        bases: The named arms that the combinations start from; none where they start from the base.
        generators: For a regular fraction of a two-level factorial: each added factor as the product of others.
    """

    kind: DesignKind
    factors: tuple[Factor, ...]
    bases: tuple[str, ...] = ()
    generators: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptive:
    """Replication until every contrast on `metric` is decided: seeds go to the arms that still need them.

    Args:
        min: Seeds of every arm before anything is decided.
        max: Seeds at which an undecided arm is left as it is.
        step: Seeds added at a time.
        metric: The metric that decides.
    """

    min: int
    max: int
    step: int
    metric: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study file, resolved up to (not including) its configuration.

    Args:
        path: The file.
        source: Its text, for the report.
        paper: `<paper key>/<table id>` of the published table, found in `papers/` beside the file.
        base: Hydra overrides over `conf/`.
        overrides: The command line's trailing overrides.
        reference: The arm that arms are compared to unless they name another (`reference_of`).
        num_replicates: How many seeds, at most where replication is adaptive; `None` leaves it to the scale.
        design: How arms were made of factors, where they were.
        adaptive: When to stop adding seeds, where results decide that.
        search: What is tuned before the arms are measured, where anything is.
        lines: Line of each dotted key in the file, 1-based.
        columns: Column of each, 1-based.
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
    design: Design | None = None
    adaptive: Adaptive | None = None
    search: Search | None = None
    columns: Mapping[str, int] = field(default_factory=dict)

    def reference_of(self, arm: str) -> str | None:
        """Give the arm that an arm is compared to, nothing for one that is not compared.

        Raises:
            KeyError: The study has no such arm.
        """
        found = self._against[arm]
        return None if found == arm else found

    @cached_property
    def _against(self) -> Mapping[str, str]:
        return {arm.name: arm.against or self.reference for arm in self.arms}
