"""How faults are worded: what was found, what is allowed, and the nearest right name."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

Path = tuple[str | int, ...]
"""Where a value lies in nested mappings and lists."""

_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "path_type": "text (a path)",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "mapping_type": "keys with values",
    "model_type": "keys with values",
    "dataclass_type": "keys with values",
    "model_attributes_type": "keys with values",
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "a number > {gt:g}",
    "greater_than_equal": "a number >= {ge:g}",
    "less_than": "a number < {lt:g}",
    "less_than_equal": "a number <= {le:g}",
    "string_too_short": "text, not nothing",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
"""The end of `expected ...` for each kind of error that pydantic reports, filled from the error's context."""

_LONGEST = 60


def did_you_mean(found: object, allowed: Iterable[str]) -> str:
    """Give ` -- did you mean '...'?`, or nothing where no allowed name is near."""
    near = get_close_matches(str(found), list(allowed), n=1)
    return f" -- did you mean '{near[0]}'?" if near else ""


def expected_one_of(found: object, allowed: Sequence[str], *, most: int | None = None) -> str:
    """Give `expected one of a, b, c -- did you mean 'a'?`; no more than `most` names are listed."""
    if not allowed:
        return "nothing is expected here"
    rule = f"one of {listed(allowed, most=most)}" if len(allowed) > 1 else allowed[0]
    return f"expected {rule}{did_you_mean(found, allowed)}"


def listed(names: Sequence[str], *, most: int | None = None) -> str:
    """Give `a, b, c`, with semicolons where a name has a comma; no more than `most`, and then how many there are."""
    shown = names[:most]
    more = f" ... ({len(names):,} in all)" if len(shown) < len(names) else ""
    return ("; " if any("," in name for name in shown) else ", ").join(shown) + more


def quoted(value: object) -> str:
    """Show a value in a message: text in quotes, YAML's names for constants, long ones cut."""
    names = {"None": "null", "True": "true", "False": "false"}
    text = names.get(repr(value), repr(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def dotted(path: Path) -> str:
    """Write a path as one key: `metrics.0.unit`."""
    return ".".join(str(part) for part in path)


def worded(
    errors: Sequence[Mapping[str, Any]],
    root: object,
    *,
    keys_at: Callable[[Path], Sequence[str]],
    meanings: Mapping[str, str] | None = None,
) -> dict[Path, str]:
    """Turn pydantic's errors into one sentence per place.

    Several errors at one place are the members of a union, and become `expected a or b`.

    Args:
        errors: `ValidationError.errors()`.
        root: The value that was validated, to tell places in it from pydantic's own labels.
        keys_at: The keys allowed in the mapping at a path.
        meanings: What each text pattern demands, in words.
    """
    found: dict[Path, list[str]] = {}
    whole: dict[Path, str] = {}
    inputs: dict[Path, object] = {}
    for error in errors:
        place = _place(error, root)
        inputs[place] = error["input"]
        if error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
            whole[place] = _unknown(str(place[-1]), keys_at(place[:-1]))
        elif error["type"].startswith("missing"):
            whole[place] = "missing: it must be given"
        elif error["type"] in {"value_error", "assertion_error"}:
            whole[place] = str(error["ctx"]["error"])
        else:
            found.setdefault(place, []).append(_expected(error, meanings or {}))
    for place, rules in found.items():
        rule = " or ".join(dict.fromkeys(rules))
        near = did_you_mean(inputs[place], _options(rule)) if isinstance(inputs[place], str) else ""
        whole.setdefault(place, f"expected {rule}, got {quoted(inputs[place])}{near}")
    return whole


def _place(error: Mapping[str, Any], root: object) -> Path:
    """Find the error's place in the value itself; its `loc` also names union members and the like."""
    place: list[str | int] = []
    value: Any = root
    for part in error["loc"]:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        place.append(part)
    if error["type"].startswith("missing"):
        place.append(error["loc"][-1])
    return tuple(place)


def _unknown(key: str, allowed: Sequence[str]) -> str:
    """Refuse a key; one that is allowed belongs to another member of a union."""
    if key in allowed:
        return f"does not go with the other keys here; each of {', '.join(allowed)} is known, but not all together"
    return f"unknown key; {expected_one_of(key, allowed)}"


def _expected(error: Mapping[str, Any], meanings: Mapping[str, str]) -> str:
    """Say what one pydantic error expected."""
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch":
        return meanings.get(context["pattern"], f"text that matches {context['pattern']}")
    rule = _EXPECTED.get(error["type"])
    return rule.format(**context) if rule else str(error["msg"])


def _options(rule: str) -> list[str]:
    """Read the quoted names out of `'a', 'b' or 'c'`."""
    return rule.split("'")[1::2]


def without_password(url: str) -> str:
    """Show an address without who logs in there: `postgresql://...@host/name`."""
    scheme, separator, rest = url.partition("://")
    if "@" in rest and not rest.startswith("/"):  # a file's path may have one too
        rest = f"...@{rest.rpartition('@')[2]}"
    return scheme + separator + re.sub(r"(?i)(password=)[^&]*", r"\1...", rest)
