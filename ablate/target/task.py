"""A task: an importable callable, and what its signature declares."""

import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal, get_args, get_origin, is_typeddict

from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from ablate.errors import Fault, StudyError
from ablate.target.fields import fields_at, literal_places, num_declared, type_at
from ablate.wording import did_you_mean

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A callable with typed keyword parameters.

    Args:
        path: Where it was found, `package.module:name`.
        function: The callable.
        parameters: A dataclass type with one field per parameter, less `seed` and `trial`.
        adapter: Converts JSON to that dataclass and back.
        takes_seed: Whether it has a `seed` parameter: without, one run serves all seeds.
        takes_trial: Whether it has a `trial` parameter.
        metrics: Names of the metrics it declares to return; `None` where it does not say.
    """

    path: str
    function: Callable[..., object]
    parameters: type[Any]
    adapter: TypeAdapter[Any]
    takes_seed: bool
    takes_trial: bool
    metrics: tuple[str, ...] | None = None

    @property
    def module(self) -> str:
        """The module it was found in."""
        return self.path.partition(":")[0]

    def keys_at(self, place: Sequence[str]) -> tuple[str, ...]:
        """List the keys declared for the mapping at a place; empty where anything or nothing may stand."""
        return fields_at(self.parameters, place)

    def num_declared(self, place: Sequence[str]) -> int:
        """Count how many keys of a place are declared, from the outside in; all of them where the task takes it."""
        return num_declared(self.parameters, place)

    def type_at(self, place: Sequence[str]) -> Any:
        """Give the declared type of the parameter at a place; `None` where none is declared."""
        return type_at(self.parameters, place)

    def places_of(self, *values: str) -> list[tuple[str, ...]]:
        """List the places of the parameters whose declared type is a `Literal` of exactly these values."""
        return list(literal_places(self.parameters, frozenset(values)))


def resolve(path: str) -> Callable[..., object]:
    """Import what `package.module:name` names.

    Raises:
        StudyError: It cannot be imported, is not there, or cannot be called.
    """
    module_name, _, names = path.partition(":")
    if not module_name or not names:
        raise _unusable(path, "expected `package.module:name`")
    found: Any = _imported(path, module_name)
    for name in names.split("."):
        if not hasattr(found, name):
            known = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
            owner = getattr(found, "__name__", module_name)
            raise _unusable(path, f"{owner} has no '{name}'{did_you_mean(name, known)}")
        found = getattr(found, name)
    if not callable(found):
        raise _unusable(path, f"expected something that can be called, got a {type(found).__name__}")
    return found  # type: ignore[no-any-return]  # anything callable


def load_task(path: str) -> Task:
    """Find a task and read its signature.

    Raises:
        StudyError: It cannot be imported, or its parameters are not all keyword parameters with a type.
    """
    function = resolve(path)
    try:
        signature = inspect.signature(function, eval_str=True)
    except (ValueError, TypeError, NameError) as error:
        raise _unusable(path, f"its signature cannot be read: {error}") from error
    parameters = signature.parameters
    wrong = [reason for parameter in parameters.values() if (reason := _fault_of(parameter))]
    if wrong:
        raise _unusable(path, "; ".join(wrong))
    kind = _as_dataclass(path, parameters)
    return Task(
        path=path,
        function=function,
        parameters=kind,
        adapter=_adapter(path, kind),
        takes_seed="seed" in parameters,
        takes_trial="trial" in parameters,
        metrics=_declared_metrics(signature.return_annotation),
    )


def _declared_metrics(annotation: Any) -> tuple[str, ...] | None:
    """Read the metrics off a return annotation: a `TypedDict`, or a mapping with `Literal` keys."""
    if is_typeddict(annotation):
        return tuple(annotation.__annotations__)
    keys = get_args(annotation)[:1] if _is_mapping(get_origin(annotation)) else ()
    return tuple(str(name) for name in get_args(keys[0])) if keys and get_origin(keys[0]) is Literal else None


def _is_mapping(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Mapping)


def _fault_of(parameter: inspect.Parameter) -> str | None:
    """Say why a configuration cannot fill a parameter, if it cannot."""
    if parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}:
        return f"parameter '{parameter}' takes anything: declare each, so that misspelt keys are found"
    if parameter.kind is parameter.POSITIONAL_ONLY:
        return f"parameter '{parameter.name}' is positional-only: a task is called with keywords"
    if parameter.annotation is parameter.empty and parameter.name not in {"seed", "trial"}:
        return f"parameter '{parameter.name}' has no type: a configuration is converted by the declared type"
    return None


def _as_dataclass(path: str, parameters: Mapping[str, inspect.Parameter]) -> type[Any]:
    """Make a dataclass of the parameters, which carries the strictness to all dataclasses inside."""
    fields: list[Any] = []
    for name, parameter in parameters.items():
        if name in {"seed", "trial"}:
            continue
        if parameter.default is parameter.empty:
            fields.append((name, parameter.annotation))
        else:
            fields.append((name, parameter.annotation, field(default_factory=partial(_same, parameter.default))))
    namespace = {"__pydantic_config__": _STRICT}
    return make_dataclass(path.partition(":")[2].replace(".", "_"), fields, kw_only=True, namespace=namespace)


def _adapter(path: str, kind: type[Any]) -> TypeAdapter[Any]:
    """Make the converter; a type that no JSON converts to is a fault of the task."""
    try:
        return TypeAdapter(kind)
    except (PydanticUserError, TypeError, NameError) as error:
        reason = str(error).splitlines()[0]
        raise _unusable(path, f"a parameter's type cannot be read from a configuration: {reason}") from error


def _same(value: Any) -> Any:
    return value


def _imported(path: str, module_name: str) -> Any:
    """Import a module; whatever goes wrong inside it is a fault of the study, with the place where it went wrong."""
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise _unusable(path, f"there is no module {error.name}{_nearest_module(error.name)}") from error
        raise _unusable(path, _import_failure(module_name, error)) from error
    except (Exception, SystemExit) as error:
        raise _unusable(path, _import_failure(module_name, error)) from error


def _import_failure(module_name: str, error: BaseException) -> str:
    """Say what a module raised when it was imported, and on which line of the user's."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if len(frames) > 1 else ""
    if isinstance(error, SyntaxError):
        place = f" ({error.filename}:{error.lineno})"
        return f"importing {module_name} failed: {type(error).__name__}: {error.msg}{place}"
    return f"importing {module_name} failed: {type(error).__name__}: {error}{place}"


def _nearest_module(name: str) -> str:
    """Suggest a module beside the one that is missing."""
    parent, _, last = name.rpartition(".")
    if not parent:
        return ": install the package, or start where it can be imported (PYTHONPATH)"
    folders = getattr(sys.modules.get(parent), "__path__", [])
    return did_you_mean(last, [module.name for module in pkgutil.iter_modules(folders)])


def _unusable(path: str, reason: str) -> StudyError:
    return StudyError([Fault(message=f"task {path} cannot be used: {reason}")])
