"""A YAML 1.2 file read as JSON values, with the line of every key and all that is wrong with it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from ablate.errors import Fault, StudyError
from ablate.trial import Json

_TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
"""Tags of keys; `<<` is no merge in YAML 1.2, so it is a key like any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """What a file says.

    Args:
        path: The file, as shown in messages.
        text: Its text.
        data: Dicts with text keys, lists, text, finite numbers, booleans and nulls.
        lines: 1-based line of each dotted key; entries of lists are numbered from 0.
        faults: Doubled keys, numbers that are not finite, and values that JSON does not have.
    """

    path: Path
    text: str
    data: Json
    lines: Mapping[str, int]
    faults: tuple[Fault, ...]

    def line_of(self, key: str) -> int | None:
        """Give the line of a dotted key, or of the nearest key around it that the file has."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return self.lines.get(key)


def shown_path(path: Path) -> Path:
    """Give a path relative to the working directory where it lies below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else Path(relative)


def read_yaml(path: Path) -> YamlFile:
    """Read a file.

    Raises:
        StudyError: The file is not there, is no text, or is not YAML.
    """
    shown = shown_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError([Fault(message="there is no such file", path=shown)]) from None
    except UnicodeDecodeError as error:
        raise StudyError([Fault(message=f"is not UTF-8 text: byte {error.start} is wrong", path=shown)]) from error
    except OSError as error:
        raise StudyError([Fault(message=f"cannot be read: {error.strerror}", path=shown)]) from error
    reader = _Reader(shown)
    try:
        root = reader.yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not YAML: {error.problem or error.context}"
        raise StudyError([Fault(message=message, path=shown, line=mark.line + 1 if mark else None)]) from error
    except (YAMLError, ValueError) as error:
        raise StudyError([Fault(message=f"is not YAML: {str(error).splitlines()[0]}", path=shown)]) from error
    except RecursionError:
        raise StudyError([Fault(message="is nested too deeply to be read", path=shown)]) from None
    data = None if root is None else reader.value(root, "")
    return YamlFile(path=shown, text=text, data=data, lines=reader.lines, faults=tuple(reader.faults))


class _Reader:
    """Walks the nodes of one document."""

    def __init__(self, path: Path) -> None:
        self.yaml: Any = YAML(typ="safe", pure=True)
        self.path = path
        self.lines: dict[str, int] = {}
        self.faults: list[Fault] = []
        self._open: list[Node] = []

    def value(self, node: Node, key: str) -> Json:
        """Give the value of a node; what is wrong with it is noted and read as null."""
        if any(node is outer for outer in self._open):
            return self._refuse(node, key, "refers to itself")
        self._open.append(node)
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, key)
            if isinstance(node, SequenceNode):
                return [self._entry(entry, f"{key}.{index}".lstrip(".")) for index, entry in enumerate(node.value)]
            return self._scalar(node, key)
        finally:
            self._open.pop()

    def _entry(self, node: Node, key: str) -> Json:
        self.lines[key] = node.start_mark.line + 1
        return self.value(node, key)

    def _mapping(self, node: MappingNode, key: str) -> dict[str, Json]:
        values: dict[str, Json] = {}
        for name_node, value_node in node.value:
            name = name_node.value
            if name_node.tag not in _TEXT_TAGS:
                shown = name if isinstance(name, str) else "a list or a mapping"
                self._refuse(name_node, key, f"a key must be text, got {shown}: put it in quotes")
                continue
            inner = f"{key}.{name}" if key else name
            if name in values:
                self._refuse(name_node, inner, f"doubled key; it is already given on line {self.lines[inner]}")
                continue
            self.lines[inner] = name_node.start_mark.line + 1
            values[name] = self.value(value_node, inner)
        return values

    def _scalar(self, node: Node, key: str) -> Json:
        try:
            value = self.yaml.constructor.construct_object(node)
        except (YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            return self._refuse(node, key, f"cannot be read as a value: {reason}")
        if isinstance(value, float) and not isfinite(value):
            return self._refuse(node, key, f"expected a finite number, got {node.value}")
        if value is not None and not isinstance(value, str | int | float | bool):
            kind = type(value).__name__
            return self._refuse(node, key, f"expected text or a number, got the {kind} {node.value}: put it in quotes")
        return value

    def _refuse(self, node: Node, key: str, message: str) -> None:
        self.faults.append(Fault(message=message, path=self.path, line=node.start_mark.line + 1, key=key))
