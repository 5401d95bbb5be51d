"""Binding: a configuration becomes a task's parameters on the driver, and its arguments on the worker."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from ablate.errors import Fault, StudyError
from ablate.target.companion import load_companion
from ablate.target.fields import dataclass_in, declared, prune
from ablate.target.task import Task, load_task
from ablate.wording import Path, dotted, worded

Json = Any
"""A JSON value: what canonical JSON can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundTask:
    """What a task makes of a configuration.

    Args:
        parameters: Every parameter but `seed` and `trial`, all fields with their defaults, as JSON.
        fingerprints: What is behind the parameters that point at data, by dotted parameter path.
    """

    parameters: Mapping[str, Json]
    fingerprints: Mapping[str, str]


def bind(task: Task, configuration: Mapping[str, Json], *, fingerprints: dict[object, str] | None = None) -> BoundTask:
    """Convert the part of a configuration that a task declares.

    Conversion is strict, by declared type: `1` is a float where one is declared, `"1"` is not; a list becomes a
    tuple. Numbers are written as their type has them, so that `1` and `1.0` give the same id.

    Args:
        task: The task.
        configuration: May hold more than the task declares.
        fingerprints: Those found so far, by the value that points at the data: data is looked at once for all arms.

    Raises:
        StudyError: One fault per key that is missing or has the wrong type, and per data set that is not there. The
            faults carry the key only: where it was set is for the caller to find.
    """
    converted = _completed(task, configuration)
    parameters = _written(task, converted)
    faults: list[Fault] = []
    found: dict[str, str] = {}
    known = {} if fingerprints is None else fingerprints
    for place, value in _fingerprinted(converted, ()):
        try:
            found[dotted(place)] = _fingerprint(value, known)
        except (OSError, ValueError) as error:
            faults.append(Fault(message=str(error), key=dotted(place)))
        except Exception as error:  # the user's code: whatever it raises is told with its place
            message = f"fingerprint() of {type(value).__name__} failed: {type(error).__name__}: {error}"
            faults.append(Fault(message=message, key=dotted(place)))
    if faults:
        raise StudyError(faults)
    return BoundTask(parameters=parameters, fingerprints=found)


def data_parameters(task: Task, configuration: Mapping[str, Json]) -> dict[str, Any]:
    """Give the parameters that point at data, by dotted path, without looking at the data.

    Raises:
        StudyError: One fault per key that is missing or has the wrong type.
    """
    return {dotted(place): value for place, value in _fingerprinted(_completed(task, configuration), ())}


def _completed(task: Task, configuration: Mapping[str, Json]) -> Any:
    """Convert what a task declares of a configuration, with all defaults."""
    given = prune(task.parameters, configuration)
    for field in fields(task.parameters):
        if field.default is MISSING and field.default_factory is MISSING and dataclass_in(field.type) is not None:
            given.setdefault(field.name, {})
    # Twice: defaults are not converted at their first appearance.
    return _converted(task, _written(task, _converted(task, given)))


def _fingerprint(value: Any, known: dict[object, str]) -> str:
    """Ask a value for the fingerprint of its data, unless an equal one was asked before."""
    try:
        if value not in known:
            known[value] = str(value.fingerprint())
        return known[value]
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
    return str(value.fingerprint())


def instantiate(path: str, parameters: Mapping[str, Json], *, seed: int | None, trial: object) -> Callable[[], object]:
    """Make the call of a task from the JSON of its parameters; nothing is run yet.

    Args:
        path: Import path of the task.
        parameters: As `bind` gave them.
        seed: Given to a task that takes one.
        trial: Given to a task that takes one.

    Raises:
        StudyError: The task is not importable here, or no longer takes these parameters.
    """
    task = load_task(path)
    arguments = _arguments(task, parameters)
    if task.takes_seed:
        if seed is None:
            raise ValueError(f"task {path} takes a seed, got none")
        arguments["seed"] = seed
    if task.takes_trial:
        arguments["trial"] = trial
    return partial(task.function, **arguments)


def instantiate_stacked(
    path: str, parameters: Mapping[str, Json], *, seeds: Sequence[int], trials: Sequence[object]
) -> Callable[[], object]:
    """Make the call that runs several seeds of a task together; nothing is run yet.

    Args:
        path: Import path of the task, whose companion is called.
        parameters: As `bind` gave them.
        seeds: One per trial.
        trials: Given to the companion of a task that takes a trial.

    Raises:
        StudyError: The task or its companion is not importable here, or no longer takes these parameters.
    """
    task = load_task(path)
    arguments = _arguments(task, parameters) | {"seeds": tuple(seeds)}
    if task.takes_trial:
        arguments["trials"] = tuple(trials)
    return partial(load_companion(task), **arguments)


def _arguments(task: Task, parameters: Mapping[str, Json]) -> dict[str, Any]:
    bound = _converted(task, parameters)
    return {name: getattr(bound, name) for name in declared(task.parameters)}


def _converted(task: Task, parameters: Mapping[str, Json]) -> Any:
    """Convert JSON to the dataclass of a task's parameters."""
    adapter = task.adapter
    try:
        return adapter.validate_json(json.dumps(dict(parameters)))
    except ValidationError as error:
        sentences = worded(
            error.errors(),
            dict(parameters),
            keys_at=lambda place: task.keys_at([str(part) for part in place]),
        )
        faults = [Fault(message=message, key=dotted(place)) for place, message in sentences.items()]
        raise StudyError(faults) from error


def _written(task: Task, converted: Any) -> dict[str, Json]:
    """Write every value as its declared type has it, the defaults too."""
    return prune(task.parameters, task.adapter.dump_python(converted, mode="json", warnings=False))


def _fingerprinted(value: Any, place: Path) -> Iterator[tuple[Path, Any]]:
    """Find the dataclasses inside a value that say what data they point at."""
    if is_dataclass(value) and not isinstance(value, type):
        if callable(getattr(type(value), "fingerprint", None)):
            yield place, value
        for field in fields(value):
            yield from _fingerprinted(getattr(value, field.name), (*place, field.name))
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _fingerprinted(entry, (*place, index))
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _fingerprinted(entry, (*place, str(name)))
