"""Which part of a configuration declared types take: nested dataclasses take their fields and leave the rest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints


def dataclass_in(annotation: Any) -> type[Any] | None:
    """Give the dataclass that an annotation is, also where it may be null or is annotated further.

    A union of several dataclasses is none: it takes its whole mapping, and one of its members must fit all of it.
    """
    options = _dataclasses(annotation)
    return options[0] if len(options) == 1 else None


def _dataclasses(annotation: Any) -> list[type[Any]]:
    """Give the dataclasses that an annotation is a union of; none where something else but null is in it."""
    if get_origin(annotation) is Annotated:
        return _dataclasses(get_args(annotation)[0])
    is_union = get_origin(annotation) in {Union, UnionType}
    options = [option for option in get_args(annotation) if option is not type(None)] if is_union else [annotation]
    return options if all(isinstance(option, type) and is_dataclass(option) for option in options) else []


def _declared(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind) if field.init}


declared: Callable[[Any], Mapping[str, Any]] = cache(_declared)
"""Gives the annotation of each field of a dataclass that a configuration may set."""


def prune(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what a dataclass declares, also inside the dataclasses within it."""
    kept: dict[str, Any] = {}
    for name, inner in _inner(kind).items():
        if name in values:
            value = values[name]
            kept[name] = value if inner is None or not isinstance(value, dict) else prune(inner, value)
    return kept


def _dataclasses_inside(kind: Any) -> Mapping[str, type[Any] | None]:
    return {name: dataclass_in(annotation) for name, annotation in declared(kind).items()}


_inner: Callable[[Any], Mapping[str, type[Any] | None]] = cache(_dataclasses_inside)
"""Gives the dataclass that each declared field takes, `None` where it takes none."""


def fields_at(kind: type[Any], place: Sequence[str]) -> tuple[str, ...]:
    """List the fields of the dataclass, or of the union of dataclasses, at a place inside `kind`."""
    if not place:
        return tuple(declared(kind))
    names = [name for inner in _dataclasses(declared(kind).get(place[0])) for name in fields_at(inner, place[1:])]
    return tuple(dict.fromkeys(names))


def num_declared(kind: type[Any], place: Sequence[str]) -> int:
    """Count how many keys of a place are declared, from the outside in; all of them where a field takes the rest."""
    if not place or place[0] not in declared(kind):
        return 0
    inner = dataclass_in(declared(kind)[place[0]])
    return 1 + num_declared(inner, place[1:]) if inner is not None else len(place)


def type_at(kind: type[Any], place: Sequence[str]) -> Any:
    """Give the declared type at a place, without what annotates it; `None` where none is declared."""
    annotation = declared(kind).get(place[0])
    if len(place) > 1:
        inner = dataclass_in(annotation)
        return None if inner is None else type_at(inner, place[1:])
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def literal_places(kind: type[Any], values: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Find the fields inside a dataclass whose declared type is a `Literal` of exactly these values."""
    for name, annotation in declared(kind).items():
        plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
        if get_origin(plain) is Literal and frozenset(get_args(plain)) == values:
            yield (name,)
        inner = dataclass_in(annotation)
        if inner is not None:
            yield from ((name, *place) for place in literal_places(inner, values))
