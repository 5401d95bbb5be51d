"""A study's `search:` entry becomes a checked `Search`; what is wrong is told with its line."""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from math import log2

from ablate.errors import Fault
from ablate.search.model import (
    MULTI_OBJECTIVE,
    OVER_SEEDS,
    PRUNERS,
    SAMPLERS,
    Budget,
    Objective,
    Parameter,
    Population,
    Pruner,
    Sampler,
    Search,
)
from ablate.study.population import population_faults, read_population
from ablate.study.schema import StudyFile
from ablate.study.search_schema import (
    BudgetEntry,
    ParameterEntry,
    PrunerEntry,
    SamplerEntry,
    SearchEntry,
    SeedsEntry,
)
from ablate.study.settings import PLATFORM_KEYS
from ablate.study.yaml_file import YamlFile
from ablate.trial import Json
from ablate.wording import expected_one_of, quoted

IMPLIED_ARM = "base"
"""The one arm of a study that searches and names no arms."""

_PLACE = "search.space"
_TEST = re.compile(r"(^|[/._])test($|[/._])")


def read_search(entry: StudyFile, file: YamlFile, faults: list[Fault]) -> Search | None:
    """Read the search of a study.

    Args:
        entry: The file; it has a `search`.
        file: Where it was read.
        faults: What is wrong is added.

    Returns:
        Nothing where something is wrong.
    """
    given = entry.search
    assert given is not None
    found: list[Fault] = []
    for key, parameter in given.space.items():
        found += _range_faults(key, parameter, file)
    found += _when_faults(given.space, file)
    sampler = given.sampler if isinstance(given.sampler, SamplerEntry) else SamplerEntry(name=given.sampler)
    pruner = given.pruner if isinstance(given.pruner, PrunerEntry) else PrunerEntry(name=given.pruner)
    metrics = given.metric if isinstance(given.metric, list) else [given.metric]
    found += _sampler_faults(sampler, given, file)
    found += _metric_faults(entry, given, metrics, sampler.name, file)
    found += _other_faults(entry, given, pruner, file)
    found += population_faults(sampler, given, file)
    faults += found
    if found:
        return None
    better = {metric.name: metric.better for metric in entry.metrics}
    population = read_population(sampler)
    return Search(
        per=given.per,
        space=tuple(_in_order(given.space)),
        sampler=Sampler(name=sampler.name, seed=sampler.seed),
        pruner=_pruner(pruner, metrics[0]),
        budget=_budget(given.budget, population),
        objectives=tuple(Objective(metric=name, better=better[name]) for name in metrics),
        seeds=_seeds(given.seeds),
        parallel=given.parallel,
        warm_start=tuple(given.warm_start),
        storage=given.storage,
        population=population,
    )


def _range_faults(key: str, entry: ParameterEntry, file: YamlFile) -> Iterator[Fault]:
    """Find what keeps an entry from being a range or a list of choices."""
    place = f"{_PLACE}.{key}"
    if key.split(".", maxsplit=1)[0] in (*PLATFORM_KEYS, "seed"):
        yield file.fault(place, "belongs to the platform: a seed is a replicate, and a scale is chosen, never searched")
    is_range = not (entry.type is None and entry.low is None and entry.high is None)
    if (entry.choices is not None) == is_range or (is_range and None in (entry.type, entry.low, entry.high)):
        yield file.fault(place, "expected either `type` with `low` and `high`, or `choices`")
    elif entry.choices is not None:
        yield from _choice_faults(place, entry, file)
    else:
        yield from _bound_faults(place, entry, file)


def _choice_faults(place: str, entry: ParameterEntry, file: YamlFile) -> Iterator[Fault]:
    choices = entry.choices or []
    for name in ("log", "step"):
        if getattr(entry, name) not in (False, None):
            yield file.fault(f"{place}.{name}", "choices have no order: only a range takes it")
    if len(choices) < 2:
        yield file.fault(f"{place}.choices", f"expected at least two choices, got {len(choices)}")
    for index, choice in enumerate(choices):
        if any(choice == other and type(choice) is type(other) for other in choices[:index]):
            yield file.fault(f"{place}.choices.{index}", f"{quoted(choice)} is listed twice")


def _bound_faults(place: str, entry: ParameterEntry, file: YamlFile) -> Iterator[Fault]:
    low, high, step = entry.low, entry.high, entry.step
    assert low is not None
    assert high is not None
    if entry.type == "int":
        for name, value in (("low", low), ("high", high), ("step", step)):
            if isinstance(value, float):
                yield file.fault(f"{place}.{name}", f"expected an integer, as `type` says, got {value}")
    if low >= high:
        yield file.fault(f"{place}.high", f"expected more than `low`, which is {low}, got {high}")
    if entry.log and low <= 0:
        yield file.fault(f"{place}.low", f"a logarithmic range cannot reach zero or below: expected > 0, got {low}")
    if step is None or low >= high:
        return
    if entry.log:
        yield file.fault(f"{place}.step", "a logarithmic range has no step: leave out `log` or `step`")
    elif step <= 0:
        yield file.fault(f"{place}.step", f"expected a number > 0, got {step}")
    elif (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)):
        yield file.fault(f"{place}.step", f"steps of {step} from {low} do not end at `high`, which is {high}")


def _when_faults(space: Mapping[str, ParameterEntry], file: YamlFile) -> Iterator[Fault]:
    """Find conditions on what is no choice of the space, and conditions in a circle."""
    for key, entry in space.items():
        for other, wanted in entry.when.items():
            place = f"{_PLACE}.{key}.when.{other}"
            choices = space[other].choices if other in space else None
            if choices is None:
                known = [name for name, one in space.items() if one.choices is not None and name != key]
                what = "has no `choices`" if other in space else "is not in the space"
                yield file.fault(place, f"{quoted(other)} {what}; {expected_one_of(other, known)}")
                continue
            for value in wanted if isinstance(wanted, list) and wanted not in choices else [wanted]:
                if value not in choices:
                    yield file.fault(place, f"{quoted(value)} is none of the choices of {other}: {quoted(choices)}")
    try:
        TopologicalSorter({key: entry.when.keys() & space.keys() for key, entry in space.items()}).prepare()
    except CycleError as error:
        circle = " depends on ".join(reversed(error.args[1]))
        yield file.fault(f"{_PLACE}.{error.args[1][0]}.when", f"conditions in a circle: {circle}")


def _sampler_faults(sampler: SamplerEntry, given: SearchEntry, file: YamlFile) -> Iterator[Fault]:
    place = "search.sampler.name" if isinstance(given.sampler, SamplerEntry) else "search.sampler"
    if sampler.name not in SAMPLERS:
        message = f"no sampler is called {quoted(sampler.name)}; {expected_one_of(sampler.name, list(SAMPLERS))}"
        yield file.fault(place, message)
        return
    library = SAMPLERS[sampler.name]
    if library and find_spec(library) is None:
        yield file.fault(place, f"the sampler '{sampler.name}' needs the library {library}: pip install {library}")
    if sampler.name != "grid":
        return
    for key, entry in given.space.items():
        if entry.when:
            yield file.fault(f"{_PLACE}.{key}.when", "a grid has no conditions: take another sampler, or leave it out")
        if entry.type == "float" and entry.step is None:
            yield file.fault(f"{_PLACE}.{key}", "a grid needs a `step` here, or `choices`")


def _metric_faults(
    entry: StudyFile, given: SearchEntry, metrics: Sequence[str], sampler: str, file: YamlFile
) -> Iterator[Fault]:
    """Find metrics that the study does not have, that are measured on test data, or that are too many."""
    is_list = isinstance(given.metric, list)
    known = list(dict.fromkeys(metric.name for metric in entry.metrics))
    for index, name in enumerate(metrics):
        place = f"search.metric.{index}" if is_list else "search.metric"
        if _TEST.search(name):
            message = f"'{name}' is measured on test data: a search learns from validation data only"
            yield file.fault(place, message)
        elif name not in known:
            yield file.fault(place, f"no metric is called {quoted(name)}; {expected_one_of(name, known)}")
        elif name in metrics[:index]:
            yield file.fault(place, f"'{name}' is already listed")
    if len(metrics) > 1 and sampler in SAMPLERS and sampler != MULTI_OBJECTIVE:
        yield file.fault("search.metric", f"only {MULTI_OBJECTIVE} takes several metrics; the sampler is {sampler}")
    if len(metrics) > 1 and given.per == "arm":
        yield file.fault("search.metric", "`per: arm` needs one metric: it says which configuration of an arm wins")


def _other_faults(entry: StudyFile, given: SearchEntry, pruner: PrunerEntry, file: YamlFile) -> Iterator[Fault]:
    if pruner.name not in PRUNERS:
        place = "search.pruner.name" if isinstance(given.pruner, PrunerEntry) else "search.pruner"
        message = f"no pruner is called {quoted(pruner.name)}; {expected_one_of(pruner.name, PRUNERS)}"
        yield file.fault(place, message)
    elif pruner.name != "none":
        yield from _pruner_faults(given, pruner, file)
    if pruner.metric is not None and _TEST.search(pruner.metric):
        message = f"'{pruner.metric}' is measured on test data: a search learns from validation data only"
        yield file.fault("search.pruner.metric", message)
    if isinstance(given.budget, BudgetEntry) and given.budget == BudgetEntry():
        yield file.fault("search.budget", "expected one of trials, hours, no_improvement: nothing would end the search")
    if not (entry.replicates is None or isinstance(entry.replicates, int)):
        yield file.fault("replicates", "a search does not go with adaptive replication: give a number of seeds")


def _in_order(space: Mapping[str, ParameterEntry]) -> Iterator[Parameter]:
    """Give the parameters in the order of the file, but none before those that its condition names."""
    left, done = dict(space), set[str]()
    while left:
        key = next(key for key, entry in left.items() if done.issuperset(entry.when))
        yield _parameter(key, left.pop(key), space)
        done.add(key)


def _parameter(key: str, entry: ParameterEntry, space: Mapping[str, ParameterEntry]) -> Parameter:
    when: dict[str, tuple[Json, ...]] = {}
    for other, wanted in entry.when.items():
        choices = space[other].choices or []
        when[other] = tuple(wanted) if isinstance(wanted, list) and wanted not in choices else (wanted,)
    if entry.choices is not None:
        return Parameter(key=key, kind="choices", choices=tuple(entry.choices), when=when)
    assert entry.low is not None
    assert entry.high is not None
    return Parameter(
        key=key,
        kind="int" if entry.type == "int" else "float",
        low=entry.low,
        high=entry.high,
        log=entry.log,
        step=entry.step,
        when=when,
    )


def _pruner_faults(given: SearchEntry, pruner: PrunerEntry, file: YamlFile) -> Iterator[Fault]:
    """Find pruners that can do nothing: with several metrics, or with too few seeds for their test."""
    if isinstance(given.metric, list) and len(given.metric) > 1:
        yield file.fault("search.pruner", f"a pruner looks at one metric, and the search has {len(given.metric)}")
    if pruner.name != OVER_SEEDS:
        return
    number, needed = len(_seeds(given.seeds)), 2 + int(-log2(pruner.p_threshold))
    if number < needed:
        message = (
            f"{OVER_SEEDS} compares configurations seed by seed: of {number} seeds none could be saved, as its p value "
            f"comes below {pruner.p_threshold:g} after {needed - 1} at the earliest; expected at least {needed} seeds"
        )
        yield file.fault("search.pruner", message)


def _pruner(entry: PrunerEntry, metric: str) -> Pruner:
    return Pruner(
        name=entry.name,
        metric=entry.metric or metric,
        min_steps=entry.min_steps,
        reduction=entry.reduction,
        startup=entry.startup,
        p_threshold=entry.p_threshold,
    )


def _budget(entry: int | BudgetEntry | None, population: Population | None) -> Budget:
    if population is not None:
        return Budget(trials=population.size * population.generations)
    if entry is None or isinstance(entry, int):
        return Budget(trials=entry)
    return Budget(trials=entry.trials, hours=entry.hours, no_improvement=entry.no_improvement)


def _seeds(entry: int | SeedsEntry) -> tuple[int, ...]:
    one = SeedsEntry(number=entry) if isinstance(entry, int) else entry
    return tuple(range(one.first, one.first + one.number))
