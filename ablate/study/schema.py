"""The shape of a study file: closed, strict and frozen pydantic models, one per kind of entry.

Their descriptions are what an editor shows beside a key (`ablate schema`).
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from ablate.study.model import DesignKind
from ablate.study.search_schema import SearchEntry
from ablate.study.strict import StrictModel, form_of
from ablate.trial import Json

_NAME = r"^[a-z][a-z0-9_-]*$"
_STAGE = r"^[a-z][a-z0-9_]*$"
_METRIC = r"^[a-z][a-z0-9_./]*$"
_ARM = r"^\S(.*\S)?$"
_FACTOR = r"^[^\s=,]([^=,\n]*[^\s=,])?$"
_TASK = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
_PACKAGE = r"^[A-Za-z_]\w*$"
_PAPER = r"^[A-Za-z0-9_-]+/[A-Za-z0-9_.-]+$"

MEANINGS = {
    _NAME: "a name of lower-case letters, digits, _ and -, beginning with a letter",
    _STAGE: "a stage's name of lower-case letters, digits and _, beginning with a letter",
    _METRIC: "a metric's name of lower-case letters, digits and _ . /, beginning with a letter",
    _ARM: "a name: one line of text without blanks around it",
    _FACTOR: "a factor's name: one line of text without blanks around it, `=` or `,`",
    _TASK: "a task such as `package.module:function`",
    _PACKAGE: "the name of a package, without dots",
    _PAPER: "a published table such as `roy2022triangulation/table3`",
}
"""What each pattern demands, in words."""

Name = Annotated[str, Field(pattern=_NAME)]
StageName = Annotated[str, Field(pattern=_STAGE)]
MetricName = Annotated[str, Field(pattern=_METRIC)]
ArmName = Annotated[str, Field(pattern=_ARM)]
LevelName = Annotated[str, Field(pattern=_ARM)]
FactorName = Annotated[str, Field(pattern=_FACTOR)]
TaskPath = Annotated[str, Field(pattern=_TASK)]
Package = Annotated[str, Field(pattern=_PACKAGE)]
PaperTable = Annotated[str, Field(pattern=_PAPER)]
Words = Annotated[str, Field(min_length=1)]


class ResourcesEntry(StrictModel):
    """What a trial needs; no part of its id."""

    num_cpus: float = Field(default=1.0, gt=0, description="CPU cores; the number of threads follows it.")
    num_gpus: float = Field(default=0.0, ge=0, description="GPUs; a fraction shares one.")
    retries: int = Field(default=1, ge=0, description="How often a failed trial is tried again.")
    deterministic: bool = Field(default=False, description="Refuse operations whose result varies from run to run.")
    time_limit_s: float | None = Field(
        default=None,
        gt=0,
        description="Seconds that one attempt may take, from its start or resumption; more is a failure.",
    )
    memory_limit_mib: float | None = Field(
        default=None,
        gt=0,
        description="Resident memory, in MiB, of a trial's process with those it starts; more is a failure.",
    )
    stack_seeds: int = Field(
        default=1,
        ge=1,
        description="How many seeds one process may run together, by one call of the task's companion, which is named "
        "like it with `_stacked` behind; results equal those of separate runs up to the order of sums.",
    )


class StageEntry(StrictModel):
    """Work that several trials need, done once. Without resources of its own a stage takes the study's."""

    task: TaskPath = Field(description="The callable that does it, `package.module:function`.")
    needs: list[StageName] = Field(default=[], description="Stages that this one needs itself.")
    resources: ResourcesEntry | None = Field(default=None, description="What it needs, if not what the study says.")


class ArmEntry(StrictModel):
    """What an arm sets over the base: dotted keys with values, or a group with one of its options."""

    model_config = ConfigDict(extra="allow")

    parent: ArmName | None = Field(default=None, alias="from", description="The arm whose settings it starts from.")
    against: ArmName | None = Field(default=None, description="The arm it is compared to, if not the reference.")

    @property
    def settings(self) -> dict[str, Json]:
        """What it sets, by Hydra key."""
        return self.model_extra or {}


class FactorEntry(StrictModel):
    """What a design varies: named `levels` with what each sets, or one `key` with its `values`."""

    levels: dict[LevelName, dict[str, Json] | None] | None = Field(
        default=None, description="What each level sets, by its name; the first is the reference's."
    )
    key: Words | None = Field(default=None, description="The dotted key that takes the values.")
    values: list[Json] | None = Field(default=None, description="Its values; the first is the reference's.")


BaseArms = Annotated[
    Annotated[ArmName, Tag("one")] | Annotated[list[ArmName], Field(min_length=1), Tag("many")],
    Discriminator(form_of),
]


class DesignEntry(StrictModel):
    """Arms made of factors."""

    kind: DesignKind = Field(
        description="factorial: all combinations. leave_one_out: everything on, then each factor off in turn. "
        "one_at_a_time: each factor through its levels. sweep: one or two factors as the axis of a curve."
    )
    parent: BaseArms | None = Field(
        default=None, alias="from", description="The arm that the combinations start from; a sweep also takes several."
    )
    factors: dict[FactorName, FactorEntry] = Field(min_length=1, description="What is varied, by name.")
    generators: dict[FactorName, list[FactorName]] = Field(
        default={}, description="A regular fraction: each of these two-level factors is the product of others."
    )
    exclude: list[dict[FactorName, Json]] = Field(
        default=[], description="Combinations to leave out, each by factor: a level or a list of levels."
    )
    only: list[dict[FactorName, Json]] = Field(
        default=[], description="Combinations to keep, each by factor: a level or a list of levels."
    )


class ReplicatesEntry(StrictModel):
    """Seeds until the results decide."""

    min: int = Field(ge=2, description="Seeds of every arm before anything is decided.")
    max: int = Field(ge=2, description="Seeds at which an undecided arm is left as it is.")
    until: Literal["decided"] = Field(default="decided", description="Stop at an arm whose contrast is decided.")
    step: int = Field(default=1, ge=1, description="Seeds added at a time.")
    metric: MetricName | None = Field(default=None, description="The metric that decides; the first without one.")


Replicates = Annotated[
    Annotated[int, Field(ge=1), Tag("one")] | Annotated[ReplicatesEntry, Tag("many")], Discriminator(form_of)
]


class MetricEntry(StrictModel):
    """A number that the task returns."""

    name: MetricName = Field(description="Its key in what the task returns.")
    unit: Words = Field(description='Its unit; "1" for a number without one.')
    better: Literal["lower", "higher"] = Field(description="Which direction is an improvement.")
    paper: Words | None = Field(default=None, description="Its column in the published table.")
    equivalent_within: float | None = Field(
        default=None, gt=0, description="Differences up to this, in the metric's unit, do not matter in practice."
    )


class CurveEntry(StrictModel):
    """Reported values drawn over steps."""

    title: Words = Field(description="Title of the figure.")
    metrics: list[MetricName] = Field(min_length=1, description="Reported metrics; they share the y axis.")
    arms: list[ArmName] = Field(default=[], description="The arms to draw; all of them without.")
    x: Words = Field(default="step", description="Label of the x axis.")
    unit: str = Field(default="", description="Unit of the y axis.")
    log: bool = Field(default=False, description="Whether the y axis is logarithmic.")


class StudyFile(StrictModel):
    """An ablation study: a task, its variants (arms, or a design that makes them), and the metrics to compare."""

    study: Name = Field(description="The study's name: its folder in the store, its experiment in MLflow.")
    title: Words = Field(description="One line that says what is asked.")
    paper: PaperTable | None = Field(default=None, description="A published table, `<paper>/<table>` of `papers/`.")
    base: list[Words] = Field(default=[], description="Hydra overrides that all arms share.")
    stages: dict[StageName, StageEntry] = Field(default={}, description="Work that trials share, by name.")
    task: TaskPath = Field(description="The callable behind every trial, `package.module:function`.")
    needs: list[StageName] = Field(default=[], description="Stages that the task needs.")
    arms: dict[ArmName, ArmEntry | None] = Field(default={}, description="The variants by name.")
    design: DesignEntry | None = Field(default=None, description="Variants made of factors.")
    paper_rows: dict[ArmName, Words] = Field(default={}, description="Row of the published table by arm.")
    reference: str | None = Field(default=None, description="The arm that the others are compared to.")
    replicates: Replicates | None = Field(
        default=None, description="Seeds of every arm, or a rule that adds seeds until the results decide."
    )
    search: SearchEntry | None = Field(default=None, description="Tune parameters, for the study or inside each arm.")
    metrics: list[MetricEntry] = Field(min_length=1, description="The numbers to compare.")
    curves: list[CurveEntry] = Field(default=[], description="Figures of values reported over steps.")
    resources: ResourcesEntry = Field(default=ResourcesEntry(), description="What a trial needs.")
    plugins: list[Package] = Field(default=[], description="Packages whose tasks may be imported.")
    notes: str = Field(default="", description="Sentences for the report (Markdown).")
