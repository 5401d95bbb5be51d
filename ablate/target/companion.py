"""A task's companion: `run_stacked` beside `run`, which runs several seeds in one call."""

import inspect
from collections.abc import Callable, Iterator, Mapping

from ablate.errors import Fault, StudyError
from ablate.target.task import Task, resolve

_RENAMED = {"seed": "seeds", "trial": "trials"}
_FORM = (
    "takes what the task takes, with `seeds: tuple[int, ...]` and `trials: tuple[Trial, ...]` in place of `seed` and "
    "`trial`, and returns a list with the metrics of each seed"
)


def companion_path(path: str) -> str:
    """Give the import path of a task's companion."""
    return f"{path}_stacked"


def load_companion(task: Task) -> Callable[..., object]:
    """Find a task's companion and compare its signature.

    Raises:
        StudyError: There is none, its parameters are others, or the task has no seed.
    """
    path = companion_path(task.path)
    if not task.takes_seed:
        raise _unstackable(f"task {task.path} takes no seed, so there is nothing to stack: take stack_seeds out")
    try:
        function = resolve(path)
    except StudyError as error:
        missing = f"task {task.path} has no companion that runs several seeds in one call"
        raise _unstackable(f"{missing}: write {path}, which {_FORM}, or take stack_seeds out") from error
    try:
        signature = inspect.signature(function, eval_str=True)
    except (ValueError, TypeError, NameError) as error:
        raise _unstackable(f"the signature of {path} cannot be read: {error}") from error
    wanted = inspect.signature(task.function, eval_str=True).parameters
    differences = ", ".join(_differences(wanted, signature.parameters))
    if differences:
        raise _unstackable(f"{path} {differences}: a companion {_FORM}")
    return function


def _differences(task: Mapping[str, inspect.Parameter], found: Mapping[str, inspect.Parameter]) -> Iterator[str]:
    """Say what is other than it should be in the parameters that were found."""
    wanted = {_RENAMED.get(name, name): parameter for name, parameter in task.items()}
    yield from (f"lacks '{name}'" for name in wanted if name not in found)
    yield from (f"has '{name}' besides" for name in found if name not in wanted)
    for name, parameter in found.items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            yield f"takes '{name}' by position only"
        elif name in task and name in wanted and parameter.annotation != wanted[name].annotation:
            yield f"declares '{name}' as another type"


def _unstackable(message: str) -> StudyError:
    return StudyError([Fault(message=message)])
