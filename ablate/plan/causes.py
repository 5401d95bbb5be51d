"""Why a trial runs: the words for it, and what differs between two trials."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ablate.trial import Json
from ablate.wording import quoted

_MOST_SHOWN = 4


class Kind(StrEnum):
    """What can be the cause that a trial runs, or need not."""

    CACHED = "cached"
    NEW = "new"
    TASK = "task changed"
    PARAMETERS = "parameters changed"
    CODE = "code changed"
    DATA = "data changed"
    NEEDS = "needs"
    INTERRUPTED = "interrupted"
    FAILED = "failed before"
    PRUNED = "pruned before"
    PUT_ASIDE = "put aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One cause.

    Args:
        kind: Which.
        items: What follows the kind: files, keys, the name of a stage, the last line of an error.
        inner: For a needed stage: why that one runs again.
    """

    kind: Kind
    items: tuple[str, ...] = ()
    inner: tuple["Cause", ...] = ()

    def __str__(self) -> str:
        detail = cut_list(self.items)
        if self.kind is Kind.NEEDS:
            return f"needs {detail}" + (f" ({sentence(self.inner)})" if self.inner else "")
        return f"{self.kind}: {detail}" if detail else str(self.kind)

    def covers(self, other: "Cause") -> bool:
        """Tell whether another cause says nothing more than this one."""
        return self.kind is other.kind and set(other.items) <= set(self.items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a trial runs; its text is a sentence such as `code changed: core/losses/keypoint.py`."""

    causes: tuple[Cause, ...]

    def __str__(self) -> str:
        return sentence(self.causes)

    @property
    def is_cached(self) -> bool:
        """Whether the trial is finished and does not run."""
        return self.causes[0].kind is Kind.CACHED

    @property
    def group(self) -> str:
        """What trials with a like reason share: the sentence without what is said of this trial alone."""
        own = {Kind.INTERRUPTED, Kind.FAILED, Kind.PRUNED}
        return "; ".join(str(cause.kind if cause.kind in own else cause) for cause in self.causes)


def sentence(causes: Sequence[Cause]) -> str:
    """Join causes."""
    return "; ".join(map(str, causes))


def changed_files(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> tuple[str, ...]:
    """Name the files whose digest differs; nothing where one side is not known."""
    if old is None or new is None:
        return ()
    return tuple(
        name + (" (added)" if name not in old else " (gone)" if name not in new else "")
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def changed_values(old: Mapping[str, Json], new: Mapping[str, Json]) -> tuple[str, ...]:
    """Say which values differ: `method.sigma_mm 5 -> 20`."""
    before, after = dict(_leaves(old, "")), dict(_leaves(new, ""))
    keys = [key for key in {**after, **before} if key not in before or key not in after or before[key] != after[key]]
    return tuple(f"{key} {_shown(before, key)} -> {_shown(after, key)}" for key in keys)


def last_line(error: str | None) -> str:
    """Give the last line of a traceback: the exception and its text."""
    lines = (error or "").strip().splitlines()
    return lines[-1].strip() if lines else "no reason was recorded"


def cut_list(entries: Sequence[str], most: int = _MOST_SHOWN, separator: str = ", ") -> str:
    """Join texts; of a long list, say how many more there are."""
    if len(entries) <= most + 1:
        return separator.join(entries)
    return f"{separator.join(entries[:most])}{separator}... and {len(entries) - most} more"


def need_causes(
    new: Mapping[str, str], old: Mapping[str, str], *, state: Callable[[str], str], inner: "Differences"
) -> Iterator[Cause]:
    """Compare what two trials need.

    Args:
        new: Trial id behind each stage that the new one needs.
        old: The same of the old one.
        state: Says of a trial id how it stands: `which runs again`.
        inner: Compares two trials by their ids.

    Yields:
        A cause per stage that differs, with what differs in the stage itself; where that is only what it needs in
        turn, the cause is that of its own need.
    """
    for name, need in new.items():
        before = old.get(name)
        if before == need:
            continue
        causes = inner(need, before) if before is not None else ()
        own = tuple(cause for cause in causes if cause.kind is not Kind.NEEDS)
        if causes and not own:
            yield from causes
        else:
            yield Cause(kind=Kind.NEEDS, items=(f"{name} {state(need)}",), inner=own)


Differences = Callable[[str, str], tuple[Cause, ...]]


def _leaves(value: Json, place: str) -> Iterator[tuple[str, Json]]:
    """List the values that are no mappings, by dotted key."""
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _leaves(entry, f"{place}.{key}" if place else str(key))
    elif place:
        yield place, value


def _shown(values: Mapping[str, Json], key: str) -> str:
    if key not in values:
        return "(unset)"
    value = values[key]
    return repr(value).removesuffix(".0") if isinstance(value, float) else quoted(value)
