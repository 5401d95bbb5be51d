"""Errors that the command line turns into one sentence and an exit code; nothing else may end a run on purpose."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """What a finished `ablate` command tells its caller."""

    DONE = 0
    INTERNAL = 1
    WRONG_INPUT = 2
    SOME_FAILED = 3
    INTERRUPTED = 4
    GATE_NOT_MET = 5


class AblateError(Exception):
    """A fault that the user can act on; its text is shown without a traceback."""

    exit_code: ExitCode = ExitCode.INTERNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong in a study, an override or the command line.

    `line` and `column` count from 1. `key` is the dotted path inside the file (`arms.ours.method.sigma_mm`), empty
    where the whole file is meant.
    """

    message: str
    path: Path | None = None
    line: int | None = None
    column: int | None = None
    key: str = ""

    def __str__(self) -> str:
        place = f"{self.path}" if self.path else "command line"
        if self.line is not None:
            place += f":{self.line}" if self.column is None else f":{self.line}:{self.column}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class StudyError(AblateError):
    """The study, an override or the command line is wrong; carries every fault that was found."""

    exit_code = ExitCode.WRONG_INPUT

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class StoreError(AblateError):
    """The store cannot be read or written, or an attempt that was overtaken tried to write."""


class BackendError(AblateError):
    """The machinery that runs trials could not be started, or broke down."""
