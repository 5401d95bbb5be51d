"""The factors of a design: their levels, what each level sets, and the rules that leave combinations out."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from ablate.errors import Fault
from ablate.study.arms import MOST_NAMES, Sets
from ablate.study.model import Factor
from ablate.study.schema import DesignEntry, FactorEntry
from ablate.study.yaml_file import YamlFile
from ablate.trial import Json
from ablate.wording import expected_one_of, quoted

_FITS = re.compile(r"\S(.*\S)?")

Combination = tuple[int, ...]
"""Index of a level for each factor, in the order of the file; zeros are the reference."""

Rule = Mapping[int, frozenset[int]]
"""The levels of each factor that a rule speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level: its name, the value where it is one of `values`, what it sets, and where it stands."""

    name: str
    value: Json
    sets: Sets
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeveledFactor:
    """A factor with what its levels set; `is_named` tells `levels` from `values`."""

    name: str
    levels: tuple[Level, ...]
    is_named: bool

    def find(self, level: Json) -> int | None:
        """Give the index of the level that a rule names by its name or its value."""
        for index, own in enumerate(self.levels):
            if own.name == (level if isinstance(level, str) or not self.is_named else str(level)):
                return index
            if not self.is_named and content_of(own.value) == content_of(level):
                return index
        return None

    def public(self) -> Factor:
        """Give what the rest of the platform sees of it."""
        names = tuple(level.name for level in self.levels)
        numbers = tuple(_number(level.name if self.is_named else level.value) for level in self.levels)
        known = tuple(number for number in numbers if number is not None)
        return Factor(name=self.name, levels=names, numbers=known if len(known) == len(numbers) else None)


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def content_of(value: Json) -> object:
    """Give what makes two values the same level: 1, 1.0 and 1e0 are one, `true` and "1" are others."""
    if isinstance(value, dict):
        return "mapping", tuple(sorted((key, content_of(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return "list", tuple(content_of(inner) for inner in value)
    return ("number", value) if isinstance(value, int | float) and not isinstance(value, bool) else (repr(value),)


def read_factors(design: DesignEntry, file: YamlFile, faults: list[Fault]) -> list[LeveledFactor]:
    """Read the factors; what is wrong with one is added to `faults`."""
    found = []
    for name, entry in design.factors.items():
        factor = _factor(name, entry, file, faults)
        faults += _level_faults(factor, file)
        found.append(factor)
    return found


def _factor(name: str, entry: FactorEntry, file: YamlFile, faults: list[Fault]) -> LeveledFactor:
    place = f"design.factors.{name}"
    if (entry.levels is None) == (entry.values is None) or (entry.key is None) != (entry.values is None):
        faults.append(file.fault(place, "expected either `levels`, or `key` with `values`"))
        return LeveledFactor(name=name, levels=(), is_named=True)
    if entry.levels is not None:
        named = tuple(
            Level(name=level, value=None, sets=Sets.at(at, overrides or {}), place=at)
            for level, overrides in entry.levels.items()
            for at in (f"{place}.levels.{level}",)
        )
        return LeveledFactor(name=name, levels=named, is_named=True)
    key = entry.key or ""
    valued = tuple(
        Level(
            name=_named(value, file.texts.get(at)),
            value=value,
            sets=Sets(overrides={key: value}, spots={key: at}),
            place=at,
        )
        for index, value in enumerate(entry.values or [])
        for at in (f"{place}.values.{index}",)
    )
    return LeveledFactor(name=name, levels=valued, is_named=False)


def _named(value: Json, text: str | None) -> str:
    """Name a level as the file writes its value."""
    if isinstance(value, str):
        return value
    return text or json.dumps(value, ensure_ascii=False)


def _level_faults(factor: LeveledFactor, file: YamlFile) -> Iterator[Fault]:
    place = f"design.factors.{factor.name}"
    if len(factor.levels) == 1:
        yield file.fault(place, "has one level only: a factor needs two or more")
    elif not factor.levels and (f"{place}.levels" in file.lines or f"{place}.values" in file.lines):
        yield file.fault(place, "has no levels: a factor needs two or more")
    contents: dict[object, Level] = {}
    names: dict[str, Level] = {}
    for level in factor.levels:
        same = contents.get(content_of(level.value)) if not factor.is_named else None
        if same is not None:
            where = same.place.removeprefix(f"{place}.")
            yield file.fault(level.place, f"{level.name} is the same level as {where}, {same.name}")
        elif level.name in names:
            yield file.fault(level.place, f"another level is called '{level.name}' too: name them under `levels`")
        elif not _FITS.fullmatch(level.name):
            message = f"{quoted(level.name)} cannot be part of an arm's name: give it a name under `levels`"
            yield file.fault(level.place, message)
        contents.setdefault(content_of(level.value), level)
        names.setdefault(level.name, level)


def read_rules(
    key: str, rules: Sequence[Mapping[str, Json]], factors: Sequence[LeveledFactor], file: YamlFile, faults: list[Fault]
) -> list[Rule]:
    """Read `exclude` or `only`; what is wrong with a rule is added to `faults`."""
    places = {factor.name: index for index, factor in enumerate(factors)}
    found: list[Rule] = []
    for number, rule in enumerate(rules):
        place = f"design.{key}.{number}"
        levels: dict[int, frozenset[int]] = {}
        if not rule:
            faults.append(file.fault(place, "says nothing: name a factor and its level, as in `{sigma: 10}`"))
        for name, wanted in rule.items():
            if name not in places:
                message = f"no factor is called {quoted(name)}; {expected_one_of(name, list(places))}"
                faults.append(file.fault(f"{place}.{name}", message))
            else:
                factor = factors[places[name]]
                levels[places[name]] = frozenset(_indices(factor, wanted, f"{place}.{name}", file, faults))
        found.append(levels)
    return found


def _indices(factor: LeveledFactor, wanted: Json, place: str, file: YamlFile, faults: list[Fault]) -> Iterator[int]:
    """Find the levels that a rule names: one, or a list of them."""
    is_list = isinstance(wanted, list) and factor.find(wanted) is None
    for number, level in enumerate(wanted if is_list else [wanted]):
        index = factor.find(level)
        if index is not None:
            yield index
        elif factor.levels:
            rule = expected_one_of(level, [own.name for own in factor.levels], most=MOST_NAMES)
            message = f"factor '{factor.name}' has no level {quoted(level)}; {rule}"
            faults.append(file.fault(f"{place}.{number}" if is_list else place, message))


def matches(combination: Combination, rules: Sequence[Rule]) -> bool:
    """Tell whether one of the rules speaks of a combination."""
    return any(all(combination[index] in levels for index, levels in rule.items()) for rule in rules)
