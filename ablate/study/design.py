"""A design becomes arms: which combinations of levels there are, what each is called and what it sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from math import prod

from ablate.errors import Fault
from ablate.study.arms import MOST_NAMES, Sets, combined
from ablate.study.factors import Combination, LeveledFactor, matches, read_factors, read_rules
from ablate.study.model import Arm, Design
from ablate.study.schema import DesignEntry, StudyFile
from ablate.study.yaml_file import YamlFile
from ablate.wording import expected_one_of, quoted

MOST_COMBINATIONS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a design makes.

    Args:
        design: How.
        arms: The arms by name, in order. One may have a named arm's name: it takes its place.
        reference: The arm at all first levels; for a sweep its first point; `None` where a rule leaves it out.
        templates: Named arms that only others start from: they do not run themselves.
    """

    design: Design
    arms: Mapping[str, Arm]
    reference: str | None
    templates: tuple[str, ...]


def make_arms(entry: StudyFile, named: Mapping[str, Sets], file: YamlFile, faults: list[Fault]) -> Made | None:
    """Make the arms of the study's design.

    Args:
        entry: The file; it has a `design`.
        named: What each named arm sets.
        file: Where it was read.
        faults: What is wrong is added.

    Returns:
        Nothing where the arms cannot be told because of a fault.
    """
    design = entry.design
    assert design is not None
    found: list[Fault] = []
    factors = read_factors(design, file, found)
    bases = _bases(design, named, file, found)
    found += _kind_faults(design, factors, file)
    found += _generator_faults(design, factors, file)
    found += _clashes(design, factors, file)
    only = read_rules("only", design.only, factors, file, found)
    exclude = read_rules("exclude", design.exclude, factors, file, found)
    if not found:
        found += _size_faults(design, factors, len(bases), file)
    if not found and design.kind != "sweep" and bases:
        found += _first_level_faults(bases[0], named[bases[0]], factors, file)
    faults += found
    if found:
        return None
    kept = [
        combination
        for combination in _combinations(design, factors)
        if (not only or matches(combination, only)) and not matches(combination, exclude)
    ]
    if not kept:
        rule = "design.exclude" if exclude else "design.only"
        faults.append(file.fault(rule, "leaves no arm: these rules take every combination out"))
        return None
    made, wrong = _made(entry, _starts(design, named, bases), factors, kept)
    faults += [file.fault("design", message) for message in wrong[:MOST_NAMES]]
    return made


def _bases(design: DesignEntry, named: Mapping[str, Sets], file: YamlFile, faults: list[Fault]) -> tuple[str, ...]:
    """Read `from`: the names of the arms that the combinations start from."""
    is_list = isinstance(design.parent, list)
    names = [] if design.parent is None else [design.parent] if isinstance(design.parent, str) else design.parent
    if is_list and design.kind != "sweep":
        faults.append(file.fault("design.from", "expected the name of one arm; only a sweep takes a list of them"))
        return ()
    for index, name in enumerate(names):
        place = f"design.from.{index}" if is_list else "design.from"
        if name not in named:
            rule = expected_one_of(name, list(named), most=MOST_NAMES) if named else "the study has no `arms`"
            faults.append(file.fault(place, f"no arm is called {quoted(name)}; {rule}"))
        elif name in names[:index]:
            faults.append(file.fault(place, f"arm '{name}' is already listed as design.from.{names.index(name)}"))
    return tuple(names)


def _kind_faults(design: DesignEntry, factors: Sequence[LeveledFactor], file: YamlFile) -> Iterator[Fault]:
    if design.kind == "sweep" and len(factors) > 2:
        message = f"a sweep has one or two factors, got {len(factors)}; a factorial takes more"
        yield file.fault("design.factors", message)
    if design.kind == "leave_one_out":
        for factor in factors:
            if len(factor.levels) > 2:
                message = f"leave_one_out switches between two levels, on and off; this factor has {len(factor.levels)}"
                yield file.fault(f"design.factors.{factor.name}", message)
    if design.generators and design.kind != "factorial":
        yield file.fault("design.generators", f"a fraction is of a factorial; the kind is {design.kind}")
    for key in ("exclude", "only"):
        if design.generators and getattr(design, key):
            message = "does not go with `generators`: what is aliased is known for the whole fraction only"
            yield file.fault(f"design.{key}", message)


def _generator_faults(design: DesignEntry, factors: Sequence[LeveledFactor], file: YamlFile) -> Iterator[Fault]:
    """Find what keeps a fraction from being regular."""
    if not design.generators:
        return
    names = [factor.name for factor in factors]
    free = [name for name in names if name not in design.generators]
    for factor in factors:
        if len(factor.levels) > 2:
            message = f"has {len(factor.levels)} levels; with `generators` every factor has two"
            yield file.fault(f"design.factors.{factor.name}", message)
    products: dict[frozenset[str], str] = {}
    for name, parts in design.generators.items():
        place = f"design.generators.{name}"
        if name not in names:
            yield file.fault(place, f"no factor is called {quoted(name)}; {expected_one_of(name, names)}")
        for index, part in enumerate(parts):
            if part not in free:
                what = "is generated itself" if part in design.generators else "is no factor"
                yield file.fault(f"{place}.{index}", f"{quoted(part)} {what}; {expected_one_of(part, free)}")
            elif part in parts[:index]:
                yield file.fault(f"{place}.{index}", f"'{part}' is listed twice, and a factor times itself is nothing")
        if len(parts) < 2:
            yield file.fault(place, "expected a list of at least two factors: the product that this one equals")
        elif frozenset(parts) in products:
            same = products[frozenset(parts)]
            yield file.fault(place, f"is the same product as '{same}': the two could not be told apart")
        products.setdefault(frozenset(parts), name)


def _clashes(design: DesignEntry, factors: Sequence[LeveledFactor], file: YamlFile) -> Iterator[Fault]:
    """Find keys that two factors set in one arm: only one of the two could hold."""
    is_crossed = design.kind in {"factorial", "sweep"}
    keys = [_keys(factor, len(factor.levels)) for factor in factors]
    reference_keys = keys if is_crossed else [_keys(factor, 1) for factor in factors]
    for one, other in combinations(range(len(factors)), 2):
        shared = (keys[one].keys() & reference_keys[other].keys()) | (reference_keys[one].keys() & keys[other].keys())
        for key in sorted(shared):
            message = f"factor '{factors[one].name}' sets {key} too, and in one arm only one of them can hold"
            yield file.fault(keys[other][key], message)


def _keys(factor: LeveledFactor, num_levels: int) -> dict[str, str]:
    """Give the dotted keys that the first levels set, each with its place in the file."""
    return {key: level.place for level in reversed(factor.levels[:num_levels]) for key, _ in level.sets.leaves()}


def _size_faults(
    design: DesignEntry, factors: Sequence[LeveledFactor], num_bases: int, file: YamlFile
) -> Iterator[Fault]:
    if design.kind not in {"factorial", "sweep"}:
        return
    number = prod(len(factor.levels) for factor in factors if factor.name not in design.generators) * max(num_bases, 1)
    if number > MOST_COMBINATIONS:
        message = f"makes {number:,} combinations; at most {MOST_COMBINATIONS:,} are made, before any rule"
        yield file.fault("design.factors", message)


def _first_level_faults(base: str, sets: Sets, factors: Sequence[LeveledFactor], file: YamlFile) -> Iterator[Fault]:
    """Find first levels that are not what the base arm says: the arm keeps its name, and must keep its meaning."""
    own = dict(sets.leaves())
    for factor in factors:
        for key, value in factor.levels[0].sets.leaves():
            if key in own and own[key] != value:
                message = f"the first level must be what arm '{base}' sets: {key} is {quoted(own[key])} there"
                yield file.fault(factor.levels[0].place, f"{message}, not {quoted(value)}")


def _combinations(design: DesignEntry, factors: Sequence[LeveledFactor]) -> Iterator[Combination]:
    """List the combinations of a design, the one at all first levels first."""
    sizes = [len(factor.levels) for factor in factors]
    if design.kind in {"leave_one_out", "one_at_a_time"}:
        yield (0,) * len(sizes)
        for index, size in enumerate(sizes):
            for level in range(1, size):
                yield (*(0,) * index, level, *(0,) * (len(sizes) - index - 1))
        return
    places = {factor.name: index for index, factor in enumerate(factors)}
    parts = {places[name]: [places[part] for part in of] for name, of in design.generators.items()}
    for levels in product(*(range(1) if index in parts else range(size) for index, size in enumerate(sizes))):
        if not parts:
            yield levels
        else:
            yield tuple(
                sum(levels[part] for part in parts[index]) % 2 if index in parts else level
                for index, level in enumerate(levels)
            )


def _name(design: DesignEntry, factors: Sequence[LeveledFactor], combination: Combination) -> str:
    """Name a combination that is not at all first levels, or that has no name of its own there."""
    levels = zip(factors, combination, strict=True)
    if design.kind in {"factorial", "sweep"}:
        return ", ".join(f"{factor.name}={factor.levels[level].name}" for factor, level in levels)
    changed = [(factor, level) for factor, level in levels if level]
    if not changed:
        return "full" if design.kind == "leave_one_out" else "reference"
    ((factor, level),) = changed
    return f"without {factor.name}" if design.kind == "leave_one_out" else f"{factor.name}={factor.levels[level].name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What combinations start from: a named arm or nothing, and what it adds to their names."""

    base: str | None
    sets: Sets
    prefix: str


def _starts(design: DesignEntry, named: Mapping[str, Sets], bases: Sequence[str]) -> list[_Start]:
    if not bases:
        return [_Start(base=None, sets=Sets(), prefix="")]
    is_list = isinstance(design.parent, list)
    return [_Start(base=base, sets=named[base], prefix=f"{base}, " if is_list else "") for base in bases]


def _made(
    entry: StudyFile, starts: Sequence[_Start], factors: Sequence[LeveledFactor], kept: Sequence[Combination]
) -> tuple[Made, list[str]]:
    """Make the arms of the combinations that are kept; also list what is wrong with their names."""
    design = entry.design
    assert design is not None
    arms: dict[str, Arm] = {}
    wrong: list[str] = []
    for start, combination in product(starts, kept):
        is_base = start.base is not None and design.kind != "sweep" and not any(combination)
        name = start.base if is_base and start.base else start.prefix + _name(design, factors, combination)
        if name in arms:
            wrong.append(f"two combinations are called '{name}': rename a level")
        elif name in entry.arms and not is_base:
            wrong.append(f"makes an arm '{name}', which is also a named arm: rename one of them")
        levels = [factor.levels[index] for factor, index in zip(factors, combination, strict=True)]
        sets = combined([start.sets, *(level.sets for level in levels)])
        own = entry.arms.get(name) if is_base else None
        arms[name] = Arm(
            name=name,
            overrides=sets.overrides,
            paper=entry.paper_rows.get(name),
            against=own.against if own else None,
            levels={factor.name: level.name for factor, level in zip(factors, levels, strict=True)},
            spots=sets.spots,
        )
    reference = None if any(kept[0]) else next(iter(arms))
    made = Made(design=_public(design, factors, starts), arms=arms, reference=reference, templates=())
    if design.kind == "sweep" and not wrong:
        made = _with_points_compared(made, entry, starts)
    return made, wrong


def _public(design: DesignEntry, factors: Sequence[LeveledFactor], starts: Sequence[_Start]) -> Design:
    return Design(
        kind=design.kind,
        factors=tuple(factor.public() for factor in factors),
        bases=tuple(start.base for start in starts if start.base is not None),
        generators={name: tuple(parts) for name, parts in design.generators.items()},
    )


def _with_points_compared(made: Made, entry: StudyFile, starts: Sequence[_Start]) -> Made:
    """Say what each point of a sweep is compared to.

    With several bases that is the same point of the reference's base, whose own points are compared to nothing. Else it
    is the first point, or the one that the study calls its reference.
    """
    names = list(made.arms)
    num_points = len(names) // len(starts)
    chosen = {name: index for index, name in enumerate(names)}.get(entry.reference or "")
    if not starts[0].prefix:  # no list of bases
        reference = names[chosen or 0]
        is_elsewhere = chosen is None and entry.reference in set(entry.arms) - {start.base for start in starts}
        against = dict.fromkeys(names, reference if is_elsewhere else None)
    else:
        bases = {start.base: index for index, start in enumerate(starts)}
        base = bases.get(entry.reference or "", (chosen or 0) // num_points)
        reference = names[base * num_points if chosen is None else chosen]
        against = {name: names[base * num_points + index % num_points] for index, name in enumerate(names)}
    return Made(
        design=made.design,
        arms={name: replace(arm, against=against[name]) for name, arm in made.arms.items()},
        reference=reference,
        templates=made.design.bases,
    )
