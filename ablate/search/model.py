"""What a search is: the space, who proposes, who prunes, and when it ends. Checked where the study file is read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ablate.trial import Json

FIRST_SEED = 1000
"""First seed of a search: settings are chosen on seeds that no table shows."""

SAMPLERS: Mapping[str, str] = {
    "tpe": "",
    "random": "",
    "grid": "",
    "cmaes": "cmaes",
    "gp": "torch",
    "qmc": "scipy",
    "nsga2": "",
    "pbt": "",
}
"""Names of samplers, each with the library that it needs besides Optuna."""

OVER_SEEDS = "wilcoxon"
"""The pruner that compares configurations seed by seed, as trials end, and not step by step."""

PRUNERS = ("none", "asha", "hyperband", "median", OVER_SEEDS)

MULTI_OBJECTIVE = "nsga2"
"""The sampler that takes several metrics."""

POPULATION = "pbt"
"""The sampler whose configurations go on from each other's states (`ablate.search.population`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One searched parameter.

    Args:
        key: Dotted key in the configuration.
        kind: A range of numbers, or choices.
        low: Smallest value of a range.
        high: Largest value of a range.
        log: Whether it is drawn on a logarithmic scale.
        step: Distance of neighbouring values.
        choices: The values of `choices`.
        when: It is searched only where each of these other parameters has one of the values listed.
    """

    key: str
    kind: Literal["float", "int", "choices"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[Json, ...] = ()
    when: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)

    def is_active(self, chosen: Mapping[str, Json]) -> bool:
        """Say whether it is searched beside what was chosen for the parameters before it."""
        return all(key in chosen and chosen[key] in values for key, values in self.when.items())

    def probes(self) -> Iterator[tuple[str, Json]]:
        """Give the values that must fit the declared type, each with its place below the parameter."""
        if self.kind == "choices":
            for index, choice in enumerate(self.choices):
                yield f"choices.{index}", choice
            return
        for name, bound in (("low", self.low), ("high", self.high)):
            yield name, int(bound) if self.kind == "int" else float(bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Who proposes configurations, and the seed of its draws."""

    name: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Who ends hopeless trials early.

    Args:
        name: One of `PRUNERS`.
        metric: The reported metric that it looks at.
        min_steps: Steps that every trial gets.
        reduction: One of so many goes on at each rung.
        startup: Configurations that run to their end in any case.
        p_threshold: p value of the Wilcoxon test below which a configuration ends.
    """

    name: str
    metric: str
    min_steps: int = 1
    reduction: int = 4
    startup: int = 5
    p_threshold: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When a search ends: at the first of these limits.

    Args:
        trials: Configurations.
        hours: Hours of work of all workers together.
        no_improvement: Configurations in a row that improve nothing.
    """

    trials: int | None = None
    hours: float | None = None
    no_improvement: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A metric that the search improves, as measured on validation data."""

    metric: str
    better: Literal["lower", "higher"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """How a population is trained, generation by generation.

    Args:
        size: Its members.
        generations: The parts that a training is cut into.
        length: Dotted key of the parameter that says how long the task trains in all.
        quantile: The part of a generation that goes on from others, and the part that others go on from.
    """

    size: int
    generations: int
    length: str
    quantile: float

    def generation_of(self, number: int) -> int:
        """Give the generation of a configuration: each has `size` of them, in order."""
        return number // self.size

    def trained(self, generation: int, full: int) -> int:
        """Give how long a generation has trained at its end, of a full length."""
        return full * (generation + 1) // self.generations


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A study's search.

    Args:
        per: `study` tunes on the reference arm and gives the setting to all arms; `arm` tunes each by itself.
        space: The parameters, each after those that its condition names.
        sampler: Who proposes.
        pruner: Who ends trials early.
        budget: When it ends, for every arm the same.
        objectives: What it improves; several for `MULTI_OBJECTIVE`.
        seeds: Every configuration runs with these, and its value is the mean over them.
        parallel: Configurations at a time; `None` for as many as there is room for.
        warm_start: Studies of the store whose searches the sampler learns from.
        storage: Database URL for Optuna; `None` for a journal file in the store.
        population: How the sampler `POPULATION` trains; `None` with any other.
    """

    per: Literal["study", "arm"]
    space: tuple[Parameter, ...]
    sampler: Sampler
    pruner: Pruner
    budget: Budget
    objectives: tuple[Objective, ...]
    seeds: tuple[int, ...]
    parallel: int | None = None
    warm_start: tuple[str, ...] = ()
    storage: str | None = None
    population: Population | None = None

    @property
    def num_links(self) -> int:
        """How many trials, one after the other, measure a configuration with one seed on test data."""
        return self.population.generations if self.population else 1

    @property
    def first_to_win(self) -> int:
        """Number of the first configuration that may win: of a population, the last generation has trained in full."""
        return self.population.size * (self.population.generations - 1) if self.population else 0

    @property
    def num_configurations(self) -> int | None:
        """How many configurations there can be at most; `None` where other limits say when the search ends."""
        limits = (self.budget.trials, self._num_grid if self.sampler.name == "grid" else None)
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def _num_grid(self) -> int | None:
        number = 1
        for parameter in self.space:
            values = grid_values(parameter)
            if values is None:
                return None
            number *= len(values)
        return number


def grid_values(parameter: Parameter) -> tuple[Json, ...] | None:
    """List the values of a parameter; `None` for a range of floats without a step."""
    if parameter.kind == "choices":
        return parameter.choices
    step = parameter.step if parameter.step is not None else (1 if parameter.kind == "int" else None)
    if step is None:
        return None
    number = round((parameter.high - parameter.low) / step)
    values = [parameter.low + index * step for index in range(number + 1)]
    return tuple(int(value) for value in values) if parameter.kind == "int" else tuple(values)
