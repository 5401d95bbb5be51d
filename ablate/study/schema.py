"""The shape of a study file: closed, strict and frozen pydantic models, one per kind of entry."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ablate.trial import Json

_NAME = r"^[a-z][a-z0-9_-]*$"
_STAGE = r"^[a-z][a-z0-9_]*$"
_METRIC = r"^[a-z][a-z0-9_./]*$"
_ARM = r"^\S(.*\S)?$"
_TASK = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
_PACKAGE = r"^[A-Za-z_]\w*$"
_PAPER = r"^[A-Za-z0-9_-]+/[A-Za-z0-9_.-]+$"

MEANINGS = {
    _NAME: "a name of lower-case letters, digits, _ and -, beginning with a letter",
    _STAGE: "a stage's name of lower-case letters, digits and _, beginning with a letter",
    _METRIC: "a metric's name of lower-case letters, digits and _ . /, beginning with a letter",
    _ARM: "an arm's name: one line of text without blanks around it",
    _TASK: "a task such as `package.module:function`",
    _PACKAGE: "the name of a package, without dots",
    _PAPER: "a published table such as `roy2022triangulation/table3`",
}
"""What each pattern demands, in words."""

Name = Annotated[str, Field(pattern=_NAME)]
StageName = Annotated[str, Field(pattern=_STAGE)]
MetricName = Annotated[str, Field(pattern=_METRIC)]
ArmName = Annotated[str, Field(pattern=_ARM)]
TaskPath = Annotated[str, Field(pattern=_TASK)]
Package = Annotated[str, Field(pattern=_PACKAGE)]
PaperTable = Annotated[str, Field(pattern=_PAPER)]
Words = Annotated[str, Field(min_length=1)]


class StrictModel(BaseModel):
    """Takes exactly the keys and types it declares."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ResourcesEntry(StrictModel):
    """`resources:` of the study or of a stage."""

    num_cpus: float = Field(default=1.0, gt=0)
    num_gpus: float = Field(default=0.0, ge=0)
    retries: int = Field(default=1, ge=0)
    deterministic: bool = False


class StageEntry(StrictModel):
    """One entry of `stages:`. Without resources of its own a stage takes the study's."""

    task: TaskPath
    needs: list[StageName] = []
    resources: ResourcesEntry | None = None


class MetricEntry(StrictModel):
    """One entry of `metrics:`."""

    name: MetricName
    unit: Words
    better: Literal["lower", "higher"]
    paper: Words | None = None


class CurveEntry(StrictModel):
    """One entry of `curves:`."""

    title: Words
    metrics: list[MetricName] = Field(min_length=1)
    arms: list[ArmName] = []
    x: Words = "step"
    unit: str = ""
    log: bool = False


class StudyFile(StrictModel):
    """The whole file."""

    study: Name
    title: Words
    paper: PaperTable | None = None
    base: list[Words] = []
    stages: dict[StageName, StageEntry] = {}
    task: TaskPath
    needs: list[StageName] = []
    arms: dict[ArmName, dict[str, Json] | None] = Field(min_length=1)
    paper_rows: dict[ArmName, Words] = {}
    reference: str | None = None
    replicates: int | None = Field(default=None, ge=1)
    metrics: list[MetricEntry] = Field(min_length=1)
    curves: list[CurveEntry] = []
    resources: ResourcesEntry = ResourcesEntry()
    plugins: list[Package] = []
    notes: str = ""
