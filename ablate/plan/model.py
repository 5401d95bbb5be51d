"""A plan: the trials of a study, each with the place it takes in it. Written to the store as a list of ids."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ablate.ids import content_id
from ablate.study.model import Study
from ablate.trial import Json, TrialSpec

PlaceInPlan = tuple[str, str, int | None]
"""Role, name and seed of a trial: what stays when its content changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """A trial and what it is in this study. Trials shared by arms appear once per arm, stages once per id."""

    spec: TrialSpec
    role: Literal["stage", "arm"]
    name: str
    """The stage's or the arm's name."""

    @property
    def label(self) -> str:
        """A readable name: `adapted seed 3`, `without weights seed 3`, `detector`."""
        return self.name if self.spec.seed is None else f"{self.name} seed {self.spec.seed}"

    @property
    def place(self) -> PlaceInPlan:
        """Where it stands in the study."""
        return self.role, self.name, self.spec.seed


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a study needs run, stages before what needs them.

    Args:
        study: The study.
        scale: Name of the scale, for every claim made from it.
        seeds: The replicates of every arm.
        trials: In the order they are proposed.
        configuration: The composed configuration of the reference arm, for the report.
        code: Digest of each source file by its path, for each code fingerprint of the trials.
    """

    study: Study
    scale: str
    seeds: tuple[int, ...]
    trials: tuple[PlannedTrial, ...]
    configuration: Mapping[str, Json]
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def specs(self) -> dict[str, TrialSpec]:
        """Each trial once, by id, in order."""
        return {trial.spec.id: trial.spec for trial in self.trials}

    @cached_property
    def labels(self) -> dict[str, str]:
        """A readable name of each trial, by id; that of the first arm where arms share it."""
        return {trial.spec.id: trial.label for trial in reversed(self.trials)}

    @cached_property
    def version(self) -> str:
        """Name this set of trials in 8 hex digits: another version of the code, data or parameters has another."""
        return content_id(sorted(self.specs))[:8]
