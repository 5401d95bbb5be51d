"""Named arms: what each sets once it has inherited, and where each key of it stands in the file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ablate.errors import Fault
from ablate.study.schema import ArmEntry, StudyFile
from ablate.study.yaml_file import YamlFile
from ablate.trial import Json
from ablate.wording import expected_one_of, quoted

MOST_NAMES = 12
"""How many arms a message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """What is set, by Hydra key in the order of setting, and the dotted key in the file where each stands."""

    overrides: Mapping[str, Json] = field(default_factory=dict)
    spots: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, place: str, overrides: Mapping[str, Json]) -> "Sets":
        """Take what stands under one place of the file."""
        return cls(overrides=overrides, spots={key: f"{place}.{key}" for key in overrides})

    def leaves(self) -> Iterator[tuple[str, Json]]:
        """List the dotted keys that end up set, mappings taken apart."""
        for key, value in self.overrides.items():
            yield from _leaves(key, value)


def combined(parts: Iterable[Sets]) -> Sets:
    """Set one thing over the other; of two values for a key the later wins, and mappings are merged.

    A mapping beside a plain value for the same key (`method: {x: 1}` and the group's choice `method: sharp`) is taken
    apart into dotted keys, so that both hold.
    """
    overrides: dict[str, Json] = {}
    spots: dict[str, str] = {}
    for part in parts:
        for key, value in part.overrides.items():
            spot = part.spots[key]
            if key not in overrides:
                overrides[key], spots[key] = value, spot
            elif not isinstance(value, dict) and not isinstance(overrides[key], dict):
                _put(overrides, spots, key, value, spot)
            elif isinstance(value, dict) and value and not isinstance(overrides[key], dict):
                for inner, leaf in _leaves(key, value):
                    _put(overrides, spots, inner, leaf, spot + inner[len(key) :])
            else:
                _spread(overrides, spots, key)
                _put(overrides, spots, key, value, spot)
    return Sets(overrides=overrides, spots=spots)


def _put(overrides: dict[str, Json], spots: dict[str, str], key: str, value: Json, spot: str) -> None:
    overrides.pop(key, None)
    overrides[key], spots[key] = value, spot


def _spread(overrides: dict[str, Json], spots: dict[str, str], key: str) -> None:
    """Take the mapping at a key apart into dotted keys, in its place in the order."""
    items = list(overrides.items())
    overrides.clear()
    for name, value in items:
        for inner, leaf in _leaves(name, value) if name == key else [(name, value)]:
            _put(overrides, spots, inner, leaf, spots[name] + inner[len(name) :] if name == key else spots[name])


def _leaves(key: str, value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key, value


def inherited(entry: StudyFile, file: YamlFile, faults: list[Fault]) -> dict[str, Sets]:
    """Give what each named arm sets, all that it inherits included.

    What is wrong with `from` is added to `faults`; such an arm is read as if it inherited nothing.
    """
    entries = {name: arm or ArmEntry() for name, arm in entry.arms.items()}
    parents = {name: arm.parent for name, arm in entries.items() if arm.parent is not None}
    for name, parent in list(parents.items()):
        if parent not in entries:
            message = f"no arm is called {quoted(parent)}; {expected_one_of(parent, list(entries), most=MOST_NAMES)}"
            faults.append(file.fault(f"arms.{name}.from", message))
            del parents[name]
    for circle in list(_circles(parents)):
        message = f"arms inherit from each other in a circle: {' from '.join([*circle, circle[0]])}"
        faults.append(file.fault(f"arms.{circle[0]}.from", message))
        for name in circle:
            del parents[name]
    found: dict[str, Sets] = {}
    for name in entries:
        line = [name]
        while line[-1] not in found and line[-1] in parents:
            line.append(parents[line[-1]])
        for heir in reversed(line):
            if heir not in found:
                own = Sets.at(f"arms.{heir}", entries[heir].settings)
                found[heir] = combined([found[parents[heir]], own]) if heir in parents else own
    return found


def _circles(parents: Mapping[str, str]) -> Iterator[list[str]]:
    """Find the circles among arms that each have one parent, each beginning with its first arm in the file."""
    order = {name: index for index, name in enumerate(parents)}
    done: set[str] = set()
    for name in parents:
        path: dict[str, None] = {}
        at: str | None = name
        while at is not None and at not in done and at not in path:
            path[at] = None
            at = parents.get(at)
        if at is not None and at in path:
            members = list(path)
            circle = members[members.index(at) :]
            first = circle.index(min(circle, key=order.__getitem__))
            yield [*circle[first:], *circle[:first]]
        done.update(path)
