"""The shape of a study's `search:` entry."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from ablate.search.model import FIRST_SEED
from ablate.study.strict import StrictModel, form_of
from ablate.trial import Json

Number = int | float
Key = Annotated[str, Field(min_length=1)]


class ParameterEntry(StrictModel):
    """What a parameter may be: a range with its `type`, or `choices`."""

    type: Literal["float", "int"] | None = Field(default=None, description="Kind of number of a range.")
    low: Number | None = Field(default=None, description="The smallest value.")
    high: Number | None = Field(default=None, description="The largest value.")
    log: bool = Field(default=False, description="Whether values are drawn on a logarithmic scale.")
    step: Number | None = Field(default=None, description="Distance of neighbouring values, counted from `low`.")
    choices: list[Json] | None = Field(default=None, description="The values themselves, in no order.")
    when: dict[Key, Json] = Field(
        default={}, description="Searched only where these other parameters are so: a choice, or a list of choices."
    )


class SamplerEntry(StrictModel):
    """Who proposes configurations."""

    name: Key = Field(description="tpe, random, grid, cmaes, gp, qmc, nsga2 or pbt.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of its random draws; every arm has the same.")
    population: int | None = Field(default=None, description="pbt: configurations that are trained side by side.")
    generations: int | None = Field(default=None, description="pbt: the parts that each training is cut into.")
    length: Key | None = Field(
        default=None, description="pbt: the task's parameter that says how long it trains in all, by dotted key."
    )
    quantile: Number | None = Field(
        default=None, description="pbt: the part of a generation that gives up for the best as large a part; 0.25."
    )


class PrunerEntry(StrictModel):
    """Who ends hopeless trials early."""

    name: Key = Field(description="none, asha, hyperband, median or wilcoxon.")
    metric: Key | None = Field(default=None, description="The reported metric it looks at; the search's without one.")
    min_steps: int = Field(default=1, ge=1, description="Steps that every trial gets.")
    reduction: int = Field(default=4, ge=2, description="asha, hyperband: one of so many goes on at each rung.")
    startup: int = Field(default=5, ge=0, description="median: configurations that run to their end in any case.")
    p_threshold: float = Field(default=0.1, gt=0, lt=1, description="wilcoxon: p value below which a trial ends.")


class BudgetEntry(StrictModel):
    """When a search ends: at the first of these."""

    trials: int | None = Field(default=None, ge=1, description="Configurations.")
    hours: float | None = Field(default=None, gt=0, description="Hours of work of all workers together.")
    no_improvement: int | None = Field(default=None, ge=1, description="Configurations in a row that improve nothing.")


class SeedsEntry(StrictModel):
    """The seeds that every configuration runs with."""

    number: int = Field(default=1, ge=1, description="How many.")
    first: int = Field(default=FIRST_SEED, ge=0, description="The first of them; none may be a seed of the table.")


class SearchEntry(StrictModel):
    """Hyperparameter search on validation data; the winner alone is measured on test data."""

    per: Literal["study", "arm"] = Field(
        default="study",
        description="study: tuned on the reference arm, for all arms. arm: each arm by itself, with equal budgets.",
    )
    space: dict[Key, ParameterEntry] = Field(min_length=1, description="What is searched, by dotted key.")
    sampler: Annotated[Annotated[Key, Tag("one")] | Annotated[SamplerEntry, Tag("many")], Discriminator(form_of)] = (
        Field(default="tpe", description="Who proposes configurations: a name, or a name with settings.")
    )
    pruner: Annotated[Annotated[Key, Tag("one")] | Annotated[PrunerEntry, Tag("many")], Discriminator(form_of)] = Field(
        default="none", description="Who ends hopeless trials early: a name, or a name with settings."
    )
    budget: (
        Annotated[Annotated[int, Field(ge=1), Tag("one")] | Annotated[BudgetEntry, Tag("many")], Discriminator(form_of)]
        | None
    ) = Field(
        default=None,
        description="Number of configurations, or several limits of which the first one counts; pbt needs none.",
    )
    metric: Annotated[
        Annotated[Key, Tag("one")] | Annotated[list[Key], Field(min_length=1), Tag("many")], Discriminator(form_of)
    ] = Field(description="The metric to improve, on validation data; several for nsga2.")
    seeds: Annotated[
        Annotated[int, Field(ge=1), Tag("one")] | Annotated[SeedsEntry, Tag("many")], Discriminator(form_of)
    ] = Field(default=1, description="Seeds of every configuration; its value is the mean over them.")
    parallel: int | None = Field(
        default=None, ge=1, description="Configurations at a time; without, as many as there is room for."
    )
    warm_start: list[Key] = Field(
        default=[], description="Studies of the store whose searches the sampler learns from."
    )
    storage: Key | None = Field(
        default=None, description="Database URL for Optuna; without, a journal file in the study's folder of the store."
    )
