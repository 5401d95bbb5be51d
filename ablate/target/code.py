"""What code a task can reach: a static walk over imports, and a fingerprint that comments cannot change."""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ablate.ids import content_id
from ablate.target.task import Task

_PLATFORM = "ablate"
"""Carries tasks out but decides no result: not part of a task's code, unless the task lies in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFingerprint:
    """The code behind a task.

    Args:
        digest: 20 hex digits over all files.
        files: Digest of each file, by its path from the folder that holds its top-level package.
    """

    digest: str
    files: Mapping[str, str]


def code_fingerprint(task: Task) -> CodeFingerprint:
    """Hash the first-party modules that a task's module reaches by import, also by imports inside functions.

    First-party is what is neither in the standard library nor installed in `site-packages`, and whatever shares the
    task's top-level package. Formatting, comments and docstrings do not count. Modules are read, not imported.
    """
    top = task.module.partition(".")[0]
    waiting, files, seen = [task.module], dict[str, str](), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        file = _first_party_file(name, top)
        if file is None:
            continue
        digest, imported = _read(file.path.read_bytes(), name, file.path.name == "__init__.py")
        files[file.shown] = digest
        waiting += [name.rpartition(".")[0], *imported]
    files = dict(sorted(files.items()))
    return CodeFingerprint(digest=content_id(files), files=files)


@dataclass(frozen=True, slots=True, kw_only=True)
class _SourceFile:
    path: Path
    shown: str


def _first_party_file(name: str, top: str) -> _SourceFile | None:
    """Find the source of a module, unless it is not first-party, no module at all, or has none."""
    package, *rest = name.split(".")
    if not package or (package != top and (package in sys.stdlib_module_names or package == _PLATFORM)):
        return None
    for origin in _origins(package):
        if package != top and {"site-packages", "dist-packages"} & set(origin.parts):
            continue
        base = origin.joinpath(*rest)
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                return _SourceFile(path=candidate, shown=candidate.relative_to(origin.parent).as_posix())
    return None


def _origins(package: str) -> list[Path]:
    """Give the folders of a top-level package, or the path of a top-level module without its suffix."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(folder) for folder in spec.submodule_search_locations]
    return [Path(spec.origin).with_suffix("")] if spec.origin else []


@lru_cache(maxsize=4096)
def _read(source: bytes, name: str, is_package: bool) -> tuple[str, tuple[str, ...]]:
    """Give a module's digest, and every name that it may import."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # reached by an import that is never carried out
        return content_id(source.hex()), ()
    package = name if is_package else name.rpartition(".")[0]
    return content_id(_shape(tree)), tuple(dict.fromkeys(_imports(tree, package)))


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """List the imported names; of `from a import b` both `a` and `a.b`, as `b` may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            outer = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (outer, node.module) if part)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _shape(node: ast.AST) -> list[object]:
    """Write a syntax tree as JSON, less docstrings and whatever is empty (which differs between Python versions)."""
    shape: list[object] = [type(node).__name__]
    for name, value in ast.iter_fields(node):
        is_documented = name == "body" and isinstance(value, list) and _is_text(value[:1])
        written = _written(value[1:] if is_documented else value)
        if written not in (None, []):
            shape.append([name, written])
    return shape


def _written(value: object) -> object:
    if isinstance(value, ast.AST):
        return _shape(value)
    if isinstance(value, list):
        return [_written(entry) for entry in value]
    return None if value is None else f"{type(value).__name__} {value!r}"


def _is_text(statements: list[ast.stmt]) -> bool:
    """Tell whether a block begins with a docstring (any bare text has no effect, in any block)."""
    return any(
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
        for statement in statements
    )
