"""One line of what `doctor` finds."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check came out: `warn` limits a run, `fail` stops it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at; `advice` says what to do where it is not `ok`."""

    name: str
    state: State
    found: str
    advice: str = ""
