"""`doctor STUDY`: whether the data that a study's tasks point at are there, and what they hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.cli.doctor_check import Check, State
from ablate.cli.places import make_importable
from ablate.errors import StudyError

if TYPE_CHECKING:
    from ablate.study.compose import Composition
    from ablate.target import Task

Statistics = Mapping[str, Mapping[str, float]]
"""Rows of columns: what a configuration's method `statistics` gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """What was found of one data set.

    Args:
        check: The line that is printed.
        parameter: Which parameter points at it, dotted.
        arms: The arms that use it.
        fingerprint: What identifies its content; empty where it is not there.
        statistics: What it holds; empty where the configuration does not say.
    """

    check: Check
    parameter: str
    arms: Sequence[str]
    fingerprint: str = ""
    statistics: Statistics = field(default_factory=dict)


def data_checks(study: Path, overrides: Sequence[str]) -> Iterator[DataCheck]:
    """Look at every data set that a task of the study points at, once for all arms that share it.

    Raises:
        StudyError: Carries every fault of the study and of its configuration.
    """
    from ablate.study.compose import compose_study
    from ablate.study.load import load_study
    from ablate.target import load_task

    make_importable(study)
    loaded = load_study(study, list(overrides))
    composition = compose_study(loaded)
    tasks = [load_task(path) for path in dict.fromkeys([*(one.task for one in loaded.stages.values()), loaded.task])]
    found = _pointed_at(composition, tasks)
    if not found:
        check = Check(name="data", state=State.OK, found=f"no task of {loaded.name} points at any")
        yield DataCheck(check=check, parameter="", arms=())
    for (parameter, _), (value, arms) in found.items():
        only = "" if len(arms) == len(composition.arms) else f" (arms: {', '.join(arms)})"
        yield _look(value, parameter, list(arms), only)


def _pointed_at(
    composition: "Composition", tasks: Sequence["Task"]
) -> dict[tuple[str, str], tuple[Any, dict[str, None]]]:
    """Give the values that point at data, with their arms, by parameter and content."""
    from ablate.target import data_parameters

    found: dict[tuple[str, str], tuple[Any, dict[str, None]]] = {}
    for arm, configuration in composition.arms.items():
        for task in tasks:
            try:
                values = data_parameters(task, configuration)
            except StudyError as error:
                faults = [composition.spot(arm, fault.key).fault(fault.message) for fault in error.faults]
                raise StudyError(faults) from error
            for parameter, value in values.items():
                found.setdefault((parameter, repr(value)), (value, {}))[1][arm] = None
    return found


def _look(value: Any, parameter: str, arms: Sequence[str], only: str) -> DataCheck:
    """Ask a configuration for its data's fingerprint and, if it has such a method, for their statistics."""
    fingerprint, wrong = _asked(value.fingerprint)
    statistics: Statistics = {}
    if not wrong and callable(getattr(value, "statistics", None)):
        statistics, wrong = _asked(value.statistics)
    state = State.FAIL if wrong else State.OK
    return DataCheck(
        check=Check(name=parameter, state=state, found=f"{wrong or f'found, fingerprint {fingerprint}'}{only}"),
        parameter=parameter,
        arms=arms,
        fingerprint=str(fingerprint or ""),
        statistics=statistics or {},
    )


def _asked(question: Callable[[], Any]) -> tuple[Any, str]:
    """Give the answer of the user's code, or what went wrong."""
    try:
        return question(), ""
    except (OSError, ValueError) as error:
        return None, str(error)
    except Exception as error:  # the user's code: whatever it raises is told
        return None, f"{question.__name__}() failed: {type(error).__name__}: {error}"


def table_lines(statistics: Statistics) -> Iterator[str]:
    """Lay statistics out as text; columns in the order in which rows name them."""
    if not statistics:
        return
    columns = list(dict.fromkeys(name for row in statistics.values() for name in row))
    cells = [["", *columns]]
    for name, row in statistics.items():
        cells.append([name, *(f"{row[column]:,.10g}" if column in row else "" for column in columns)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield f"      {first.ljust(widths[0])}  {numbers}"
