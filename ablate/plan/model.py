"""A plan: the trials of a study, each with the place it takes in it. Written to the store as a list of ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from ablate.ids import content_id
from ablate.study.model import Study
from ablate.trial import Json, TrialSpec

Role = Literal["stage", "arm", "search", "untuned"]
"""What a trial is in a study: shared work, a row of the table, a configuration that a search tries on validation data,
or an arm's own settings beside those that its search found."""

PlaceInPlan = tuple[str, str, int | None]
"""Role, name and seed of a trial: what stays when its content changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """A trial and what it is in this study. Trials shared by arms appear once per arm, stages once per id."""

    spec: TrialSpec
    role: Role
    name: str
    """The stage's or the arm's name."""

    @property
    def label(self) -> str:
        """A readable name: `adapted seed 3`, `without weights seed 3`, `detector`."""
        name = f"{self.name} untuned" if self.role == "untuned" else self.name
        return name if self.spec.seed is None else f"{name} seed {self.spec.seed}"

    @property
    def group(self) -> str:
        """The stage or the arm that it belongs to, where its name says which configuration it is."""
        return self.name.rpartition(" #")[0] if self.role == "search" else self.name

    @property
    def place(self) -> PlaceInPlan:
        """Where it stands in the study."""
        return self.role, self.name, self.spec.seed


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSearch:
    """One search of a study.

    Args:
        arm: The arm that it tunes.
        key: What decides its proposals, in hex digits: another space, sampler, code or data has another.
        arms: The arms that are measured with what it finds.
    """

    arm: str
    key: str
    arms: tuple[str, ...]


NO_PARENTS: Mapping[str, str] = {}


class Configurations(Protocol):
    """Makes the trials of a configuration."""

    def tried(
        self,
        arm: str,
        name: str,
        parameters: Mapping[str, Json],
        *,
        generation: int = 0,
        parents: Mapping[str, str] = NO_PARENTS,
    ) -> tuple[PlannedTrial, ...]:
        """Give the trials, stages first, that measure a configuration of an arm on validation data.

        Args:
            arm: The arm.
            name: What the configuration is called.
            parameters: What it sets.
            generation: Of a population, the one it belongs to.
            parents: Of a population, ids of the trials that its own go on from, by seed as text.
        """
        ...

    def measured(
        self, arm: str, parameters: Mapping[str, Json], *, before: Sequence[tuple[str, Mapping[str, Json]]] = ()
    ) -> tuple[PlannedTrial, ...]:
        """Give the trials, stages first, that measure a tuned arm on test data with fresh seeds.

        Args:
            arm: The arm.
            parameters: What was found.
            before: Of a population, name and parameters of all that this goes on from, the oldest first. The whole
                way is gone again, trial after trial, with the fresh seeds: what was found is the way, not its end.
        """
        ...


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
        searches: The study's searches. Their trials join the plan as they are proposed (`ablate.plan.grown`).
        configurations: Makes these trials; `None` in a plan that was read from a store, which is for looking at.
        grown_from: Version of the plan that this one has grown from.
    """

    study: Study
    scale: str
    seeds: tuple[int, ...]
    trials: tuple[PlannedTrial, ...]
    configuration: Mapping[str, Json]
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    searches: tuple[PlannedSearch, ...] = ()
    configurations: Configurations | None = field(default=None, repr=False, compare=False)
    grown_from: str = ""

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
        return self.grown_from or content_id([*sorted(self.specs), *(search.key for search in self.searches)])[:8]
