"""A YAML 1.2 file read as JSON values, with the line and column of every key and all that is wrong with it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from ablate.errors import Fault, StudyError
from ablate.trial import Json

_TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
"""Tags of keys; `<<` is no merge in YAML 1.2, so it is a key like any other."""

_MOST_BITS = 64
"""Of an integer: beyond it JSON's readers differ."""

_MOST_VALUES = 300_000
"""Aliases of aliases can stand for more values than any machine holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """What a file says.

    Args:
        path: The file, as shown in messages.
        text: Its text.
        data: Dicts with text keys, lists, text, finite numbers, booleans and nulls.
        lines: 1-based line of each dotted key; entries of lists are numbered from 0.
        columns: 1-based column of each.
        texts: Numbers, booleans and nulls as they are spelt, by dotted key.
        faults: Doubled keys, numbers that are not finite, and values that JSON does not have.
    """

    path: Path
    text: str
    data: Json
    lines: Mapping[str, int]
    columns: Mapping[str, int]
    texts: Mapping[str, str]
    faults: tuple[Fault, ...]

    def fault(self, key: str, message: str) -> Fault:
        """Make a fault at a dotted key, or at the nearest key around it that the file has."""
        place = key
        while place and place not in self.lines:
            place = place.rpartition(".")[0]
        line, column = self.lines.get(place), self.columns.get(place)
        return Fault(message=message, path=self.path, line=line, column=column, key=key)


def shown_path(path: Path) -> Path:
    """Give a path relative to the working directory where it lies below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else Path(relative)


def read_yaml(path: Path) -> YamlFile:
    """Read a file.

    Raises:
        StudyError: The file is not there, is no text, is not YAML, or holds too much.
    """
    shown = shown_path(path)
    text = _text(path, shown)
    reader = _Reader(shown)
    try:
        root = reader.yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not YAML: {error.problem or error.context}"
        if error.problem and error.context_mark and mark and error.context_mark.line < mark.line:
            message += f" ({error.context} that begins on line {error.context_mark.line + 1})"
        place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {}
        raise StudyError([Fault(message=message, path=shown, **place)]) from error
    except ReaderError as error:
        before = text[: error.position].split("\n")
        message = f"is not YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        raise StudyError([Fault(message=message, path=shown, line=len(before), column=len(before[-1]) + 1)]) from error
    except (YAMLError, ValueError) as error:
        raise StudyError([Fault(message=f"is not YAML: {str(error).splitlines()[0]}", path=shown)]) from error
    except RecursionError:
        raise StudyError([Fault(message="is nested too deeply to be read", path=shown)]) from None
    data = None if root is None else reader.value(root, "")
    return YamlFile(
        path=shown,
        text=text,
        data=data,
        lines=reader.lines,
        columns=reader.columns,
        texts=reader.texts,
        faults=tuple(reader.faults),
    )


def _text(path: Path, shown: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise StudyError([Fault(message="there is no such file", path=shown)]) from None
    except UnicodeDecodeError as error:
        raise StudyError([Fault(message=f"is not UTF-8 text: byte {error.start} is wrong", path=shown)]) from error
    except OSError as error:
        raise StudyError([Fault(message=f"cannot be read: {error.strerror}", path=shown)]) from error


class _Reader:
    """Walks the nodes of one document."""

    def __init__(self, path: Path) -> None:
        self.yaml: Any = YAML(typ="safe", pure=True)
        self.yaml.composer.warn_double_anchors = False  # YAML 1.2 lets an anchor be set anew
        self.path = path
        self.lines: dict[str, int] = {}
        self.columns: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.faults: list[Fault] = []
        self._open: list[Node] = []
        self._num_values = 0

    def value(self, node: Node, key: str) -> Json:
        """Give the value of a node; what is wrong with it is noted and read as null."""
        if any(node is outer for outer in self._open):
            return self._refuse(node, key, "refers to itself")
        self._num_values += 1
        if self._num_values > _MOST_VALUES:
            message = f"stands for more than {_MOST_VALUES:,} values: aliases repeat what holds aliases"
            raise StudyError([Fault(message=message, path=self.path, line=node.start_mark.line + 1, key=key)])
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
        self._place(node, key)
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
            self._place(name_node, inner)
            values[name] = self.value(value_node, inner)
        return values

    def _scalar(self, node: Node, key: str) -> Json:
        try:
            value = self.yaml.constructor.construct_object(node)
        except Exception as error:  # of any kind: an empty `!!int` is an IndexError
            reason = getattr(error, "problem", None) or str(error)
            return self._refuse(node, key, f"cannot be read as a value: {reason}")
        if isinstance(value, float) and not isfinite(value):
            return self._refuse(node, key, f"expected a finite number, got {node.value}")
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            return self._refuse(node, key, f"expected an integer of at most {_MOST_BITS} bits")
        if value is not None and not isinstance(value, str | int | float | bool):
            kind = type(value).__name__
            return self._refuse(node, key, f"expected text or a number, got the {kind} {node.value}: put it in quotes")
        if not isinstance(value, str):
            self.texts[key] = node.value
        return value

    def _place(self, node: Node, key: str) -> None:
        self.lines[key] = node.start_mark.line + 1
        self.columns[key] = node.start_mark.column + 1

    def _refuse(self, node: Node, key: str, message: str) -> None:
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        self.faults.append(Fault(message=message, path=self.path, line=line, column=column, key=key))
