"""A plan: the trials of a study, each with the place it takes in it. Written to the store as a list of ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ablate.study.model import Study
from ablate.trial import Json, TrialSpec


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a study needs run, stages before what needs them.

    Args:
        study: The study.
        scale: Name of the scale, for every claim made from it.
        seeds: The replicates of every arm.
        trials: In the order they are proposed.
        configuration: The composed configuration of the reference arm, for the report.
    """

    study: Study
    scale: str
    seeds: tuple[int, ...]
    trials: tuple[PlannedTrial, ...]
    configuration: Mapping[str, Json]

    @property
    def specs(self) -> dict[str, TrialSpec]:
        """Each trial once, by id, in order."""
        return {trial.spec.id: trial.spec for trial in self.trials}
