"""Which part of a configuration declared types take: nested dataclasses take their fields and leave the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

Place = tuple[str, ...]
"""Keys from the outside in."""


def dataclass_in(annotation: Any) -> type[Any] | None:
    """Give the dataclass that an annotation is, also where it may be null or is annotated further.

    A union of several dataclasses is none: it takes its whole mapping, and one of its members must fit all of it.
    """
    if get_origin(annotation) is Annotated:
        return dataclass_in(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        options = [option for option in get_args(annotation) if option is not type(None)]
        return dataclass_in(options[0]) if len(options) == 1 else None
    return annotation if isinstance(annotation, type) and is_dataclass(annotation) else None


@cache
def declared(kind: Any) -> Mapping[str, Any]:
    """Give the annotation of each field of a dataclass that a configuration may set."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


def prune(kind: type[Any], values: Mapping[str, Any]) -> tuple[dict[str, Any], set[Place]]:
    """Keep what a dataclass declares.

    Returns:
        The kept mapping, and the place of each value that was kept whole (all below it is used).
    """
    kept: dict[str, Any] = {}
    used: set[Place] = set()
    for name, annotation in declared(kind).items():
        if name not in values:
            continue
        inner = dataclass_in(annotation)
        if inner is not None and isinstance(values[name], dict):
            kept[name], below = prune(inner, values[name])
            used |= {(name, *place) for place in below}
        else:
            kept[name] = values[name]
            used.add((name,))
    return kept, used


def fields_at(kind: type[Any], place: Sequence[str]) -> tuple[str, ...]:
    """List the fields of the dataclass at a place inside `kind`; empty where there is none."""
    if not place:
        return tuple(declared(kind))
    annotation = declared(kind).get(place[0])
    inner = dataclass_in(annotation)
    return fields_at(inner, place[1:]) if inner is not None else ()
