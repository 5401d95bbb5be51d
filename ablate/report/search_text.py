"""Words for a search: its parameters by short names, its settings on one line, and tables as text."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ablate.search.history import Entry
from ablate.trial import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table as text; its first `num_text` columns are words, the others numbers."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    num_text: int = 1
    is_long: bool = False


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Call each dotted key by as few of its last parts as tell it from the others."""
    parts = {key: key.split(".") for key in keys}
    names = {}
    for key, own in parts.items():
        others = [other for name, other in parts.items() if name != key]
        count = next(
            (size for size in range(1, len(own)) if all(other[-size:] != own[-size:] for other in others)), len(own)
        )
        names[key] = ".".join(own[-count:])
    return names


def settings_text(entry: Entry, names: Mapping[str, str]) -> str:
    """Write a configuration on one line: `sigma_mm 12.3, kind weighted`."""
    return ", ".join(f"{names.get(key, key)} {setting_text(value)}" for key, value in entry.parameters.items())


def setting_text(value: Json) -> str:
    """Write a value of a parameter."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
