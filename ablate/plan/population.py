"""Trials of a population: how long each generation trains, and what a task needs for it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ablate.errors import Fault, StudyError
from ablate.plan.binding import MAIN, Binder, Step, bind_arms
from ablate.search.model import POPULATION, Population, Search
from ablate.study.compose import Composition
from ablate.study.model import Study
from ablate.study.settings import study_spot
from ablate.target import BoundTask, Task
from ablate.trial import Json

_LENGTH = "search.sampler.length"


def population_faults(search: Search, study: Study, steps: Mapping[str, Step]) -> Iterator[Fault]:
    """Find what keeps a task from being trained as a population; nothing where it is not to be."""
    population = search.population
    if population is None:
        return
    task, place = steps[MAIN].task, population.length.split(".")
    if task.type_at(place) is not int:
        found = f"it is of type {_shown(task.type_at(place))}" if task.num_declared(place) == len(place) else "none"
        message = (
            f"expected a parameter of type int that says how long task {task.path} trains, in its steps or epochs; "
            f"'{population.length}': {found if found != 'none' else 'it has no such parameter'}"
        )
        yield study_spot(study, _LENGTH).fault(message)
    if not task.takes_trial:
        message = (
            f"task {task.path} takes no `trial`: {POPULATION} needs `trial.restore()` and reports with their state"
        )
        yield study_spot(study, "search.sampler").fault(message)
    for parameter in search.space:
        place = parameter.key.split(".")
        for name, step in steps.items():
            if name != MAIN and step.task.num_declared(place) == len(place):
                message = (
                    f"stage '{name}' takes it too: {POPULATION} changes settings while a training goes on, "
                    "so only what the study's own task takes can be searched"
                )
                yield study_spot(study, f"search.space.{parameter.key}").fault(message)


def bind_generations(search: Search, composition: Composition, steps: Mapping[str, Step], binder: Binder) -> None:
    """Bind every arm with the length of every generation, to see whether the task takes them.

    Raises:
        StudyError: It does not, or the arm trains too short for so many generations.
    """
    population = search.population
    if population is None:
        return
    spot, faults = study_spot(composition.study, _LENGTH), list[Fault]()
    for arm, parts in bind_arms(composition, steps, binder).items():
        full = _value_at(parts[MAIN].parameters, population.length.split("."))
        if full < population.generations:
            message = (
                f"arm '{arm}' has {population.length} = {full}: too short for {population.generations} generations"
            )
            faults.append(spot.fault(message))
            continue
        try:
            for generation in range(population.generations):
                shortened(population, generation, parts[MAIN], steps[MAIN].task, binder)
        except StudyError as error:
            faults += [spot.fault(f"arm '{arm}': {one.key}: {one.message}") for one in error.faults]
    if faults:
        raise StudyError(faults)


def shortened(population: Population, generation: int, bound: BoundTask, task: Task, binder: Binder) -> BoundTask:
    """Give what a task takes in a generation: the same, but for the length.

    Raises:
        StudyError: The task does not take that length.
    """
    place = population.length.split(".")
    length = population.trained(generation, _value_at(bound.parameters, place))
    return binder.bind(task, _with(bound.parameters, place, length))


def _value_at(parameters: Mapping[str, Json], place: Sequence[str]) -> Any:
    found: Any = parameters
    for key in place:
        found = found[key]
    return found


def _with(parameters: Mapping[str, Json], place: Sequence[str], value: Json) -> dict[str, Json]:
    """Copy parameters with another value at a place."""
    inner = value if len(place) == 1 else _with(parameters[place[0]], place[1:], value)
    return {**parameters, place[0]: inner}


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
