"""What commands print for programs: one JSON document on standard output, nothing else beside it."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ablate.errors import Fault
from ablate.trial import Json

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs, instead of text.")]


def print_json(content: object) -> None:
    """Print a value as one JSON document."""
    print(json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False))


def plain(value: object) -> Json:
    """Turn dataclasses, enums, paths and sets into what JSON holds; a number that JSON lacks becomes its text."""
    found: Json
    if is_dataclass(value) and not isinstance(value, type):
        found = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    elif isinstance(value, Mapping):
        found = {str(key): plain(inner) for key, inner in value.items()}
    elif isinstance(value, Enum | Path) or (isinstance(value, float) and not math.isfinite(value)):
        found = str(value)
    elif value is None or isinstance(value, str | int | float | bool):
        found = value
    elif isinstance(value, set | frozenset):
        found = sorted(plain(inner) for inner in value)
    elif isinstance(value, Iterable):
        found = [plain(inner) for inner in value]
    else:
        raise TypeError(f"expected something that JSON can hold, got a {type(value).__name__}")
    return found


def fault_entries(faults: Iterable[Fault]) -> list[Json]:
    """Write faults as objects with `path`, `line`, `column`, `key` and `message`; places count from 1."""
    return [
        {
            "path": plain(fault.path),
            "line": fault.line,
            "column": fault.column,
            "key": fault.key,
            "message": fault.message,
        }
        for fault in faults
    ]
