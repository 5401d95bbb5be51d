"""The settings of population based training in a study file, and what is wrong with them."""

from collections.abc import Iterator, Mapping

from ablate.errors import Fault
from ablate.search.model import POPULATION, SAMPLERS, Population
from ablate.study.search_schema import BudgetEntry, SamplerEntry, SearchEntry
from ablate.study.yaml_file import YamlFile
from ablate.trial import Json
from ablate.wording import quoted

QUANTILE = 0.25
_PLACE = "search.sampler"
_NEEDED = ("population", "generations", "length")
_EXAMPLE = "{name: pbt, population: 8, generations: 5, length: method.num_steps}"


def read_population(sampler: SamplerEntry) -> Population | None:
    """Give how a population is trained; the entry has no faults. Nothing for other samplers."""
    if sampler.name != POPULATION:
        return None
    assert sampler.population is not None
    assert sampler.generations is not None
    assert sampler.length is not None
    return Population(
        size=sampler.population,
        generations=sampler.generations,
        length=sampler.length,
        quantile=float(QUANTILE if sampler.quantile is None else sampler.quantile),
    )


def population_faults(sampler: SamplerEntry, given: SearchEntry, file: YamlFile) -> Iterator[Fault]:
    """Find settings of a population where there is none, and those with which there cannot be one."""
    settings: dict[str, Json] = {name: getattr(sampler, name) for name in (*_NEEDED, "quantile")}
    if sampler.name not in SAMPLERS:
        return
    if sampler.name != POPULATION:
        for name, value in settings.items():
            if value is not None:
                message = f"only {POPULATION} trains a population; the sampler is {sampler.name}"
                yield file.fault(f"{_PLACE}.{name}", message)
        if given.budget is None:
            yield file.fault("search.budget", "missing: it must be given")
        return
    missing = [name for name in _NEEDED if settings[name] is None]
    if missing:
        yield file.fault(_PLACE, f"{POPULATION} needs {' and '.join(missing)}, as in `sampler: {_EXAMPLE}`")
    yield from _number_faults(settings, file)
    if sampler.length is not None:
        for key in given.space:
            if f"{key}.".startswith(f"{sampler.length}.") or f"{sampler.length}.".startswith(f"{key}."):
                message = f"is how long {POPULATION} trains (`length`), which grows from generation to generation"
                yield file.fault(f"search.space.{key}", message)
    yield from _company_faults(given, file)
    yield from _budget_faults(sampler, given, file)


def _number_faults(settings: Mapping[str, Json], file: YamlFile) -> Iterator[Fault]:
    for name in ("population", "generations"):
        if settings[name] is not None and settings[name] < 2:
            yield file.fault(f"{_PLACE}.{name}", f"expected an integer >= 2, got {settings[name]}")
    quantile = settings["quantile"]
    if quantile is not None and not 0 < quantile <= 0.5:
        yield file.fault(f"{_PLACE}.quantile", f"expected a number > 0 and <= 0.5, got {quantile}")


def _company_faults(given: SearchEntry, file: YamlFile) -> Iterator[Fault]:
    """Find what does not go with a population."""
    pruner = given.pruner if isinstance(given.pruner, str) else given.pruner.name
    if pruner != "none":
        message = f"{POPULATION} ends its worst members itself, at the end of each generation: leave out '{pruner}'"
        yield file.fault("search.pruner", message)
    if given.warm_start:
        message = f"a population begins with states of its own, which other searches do not have: not with {POPULATION}"
        yield file.fault("search.warm_start", message)
    if given.storage is not None:
        message = f"drivers cannot share a population, whose generations come out together: not with {POPULATION}"
        yield file.fault("search.storage", message)


def _budget_faults(sampler: SamplerEntry, given: SearchEntry, file: YamlFile) -> Iterator[Fault]:
    """Find a budget that says something else than the population and its generations."""
    if given.budget is None or sampler.population is None or sampler.generations is None:
        return
    number = sampler.population * sampler.generations
    limits = given.budget if isinstance(given.budget, BudgetEntry) else BudgetEntry(trials=given.budget)
    rule = f"{sampler.population} x {sampler.generations} generations are {number} configurations: leave it out"
    for name in ("hours", "no_improvement"):
        if getattr(limits, name) is not None:
            yield file.fault(f"search.budget.{name}", f"{rule}, as a population is trained to its end")
    if limits.trials not in {None, number}:
        place = "search.budget.trials" if isinstance(given.budget, BudgetEntry) else "search.budget"
        yield file.fault(place, f"{rule}, or say so; got {quoted(limits.trials)}")
