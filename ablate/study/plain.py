"""Plain configurations: JSON values that need no OmegaConf to be understood."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

from ablate.study.settings import Setting
from ablate.trial import Json
from ablate.wording import quoted

COMPUTED, MISSING = "${", "???"
"""Text that OmegaConf computes, and that stands for a value which must be set."""


def with_values(start: Mapping[str, Json], settings: Sequence[Setting]) -> dict[str, Json] | None:
    """Set plain values over a plain configuration as OmegaConf would; what is not touched is shared, not copied.

    Returns:
        Nothing where it takes OmegaConf to tell: a list on the way to the key, a mapping over another kind of value,
        an interpolation.
    """
    found = dict(start)
    copied: dict[tuple[str, ...], dict[str, Json]] = {(): found}
    for setting in settings:
        if mentions(setting.value, COMPUTED) or mentions(setting.value, MISSING):
            return None
        *way, last = setting.key.split(".")
        node = found
        place: tuple[str, ...] = ()
        for part in way:
            place = (*place, part)
            if place not in copied:
                inner = node.get(part, {})
                if not isinstance(inner, dict):
                    return None
                copied[place] = node[part] = dict(inner)
            node = copied[place]
        old, new = node.get(last), setting.value
        if isinstance(old, dict | list) or isinstance(new, dict):
            if last in node and not (isinstance(old, list) and isinstance(new, list)):
                return None
        node[last] = copy.deepcopy(new) if isinstance(new, dict | list) else new
    return found


def mentions(value: Json, word: str) -> bool:
    """Tell whether text inside a value holds a word."""
    if isinstance(value, dict):
        return any(mentions(inner, word) for inner in value.values())
    if isinstance(value, list):
        return any(mentions(inner, word) for inner in value)
    return isinstance(value, str) and word in value


def not_json(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Find what JSON cannot hold, by dotted key."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                yield key, f"a key must be text, got {quoted(name)}"
            yield from not_json(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from not_json(inner, f"{key}.{index}")
    elif isinstance(value, float) and not isfinite(value):
        yield key, f"expected a finite number, got {value}"
    elif value is not None and not isinstance(value, str | int | float | bool):
        yield key, f"expected text or a number, got {quoted(value)}"
