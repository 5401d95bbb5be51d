"""Which parameters of a search mattered: fANOVA and PED-ANOVA, each with a bootstrap interval over configurations.

Both give each parameter a share. It is never negative, so that a parameter without any effect has one too, the larger
the fewer the configurations, and its interval begins near zero rather than lying on both sides of it. A
parameter that is searched only under a condition is measured over the configurations where it is, beside the parameters
that all of these have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.analysis.intervals import CONFIDENCE, RESAMPLING_SEED
from ablate.ids import canonical_json
from ablate.search.history import Entry, State
from ablate.search.model import Objective, Parameter, Search

MIN_CONFIGURATIONS = 10
"""Below it nothing is said: PED-ANOVA sets five good configurations against the others, which should be as many, and a
resample of fewer holds no more than six different ones, of which a forest learns one split."""
NUM_TREES = 64
"""Of the forest behind an estimate; Optuna's default."""
NUM_TREES_RESAMPLED = 8
"""Of the forest behind each resample: the fewer, the wider the interval, so that it errs on the safe side."""
MOST_WORK = 5_000
"""Configurations that all resamples of a report may hold together: some seconds of work."""
FEWEST_RESAMPLES, MOST_RESAMPLES = 40, 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A parameter's share with its percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterImportance:
    """What is known of one parameter.

    Args:
        key: Dotted key in the configuration.
        num: Configurations with a value in which it is searched.
        fanova: Share of the values' variance that it explains alone.
        ped_anova: Share of what sets the best configurations apart.
        note: Why there is neither, in words; empty where there is one.
    """

    key: str
    num: int
    fanova: Share | None = None
    ped_anova: Share | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchImportance:
    """The parameters of one search for one objective, in the order of the space.

    Args:
        arm: The arm that was tuned.
        metric: The objective.
        num: Configurations with a value.
        num_resamples: Behind every interval.
        rows: The parameters.
        has_fanova: Whether fANOVA could be computed; it needs scikit-learn.
    """

    arm: str
    metric: str
    num: int
    num_resamples: int
    rows: tuple[ParameterImportance, ...]
    has_fanova: bool = True

    @property
    def is_known(self) -> bool:
        """Whether anything is known of any parameter."""
        return any(row.fanova or row.ped_anova for row in self.rows)

    @property
    def ranked(self) -> tuple[str, ...]:
        """Keys of all parameters, the most important first; those of which nothing is known stay behind, in order."""

        def rank(row: ParameterImportance) -> float:
            share = row.fanova or row.ped_anova
            return -share.value if share else math.inf

        return tuple(row.key for row in sorted(self.rows, key=rank))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Parameters that are searched in the same configurations, and those that they are measured beside."""

    asked: tuple[Parameter, ...]
    beside: tuple[Parameter, ...]
    entries: tuple[Entry, ...]
    losses: tuple[float, ...]
    notes: Mapping[str, str]


def measure_importance(search: Search, entries: Mapping[str, Sequence[Entry]]) -> tuple[SearchImportance, ...]:
    """Measure all searches of a study for every objective.

    The resamples are drawn from a fixed seed, and their number follows from the number of configurations alone, so
    that a report written twice says the same.

    Args:
        search: What was searched.
        entries: Configurations of each search, by its arm; those without a value are left out.
    """
    tasks = [
        (arm, objective, list(_groups(search, place, own)))
        for place, objective in enumerate(search.objectives)
        for arm, own in entries.items()
    ]
    work = sum(len(group.entries) for _, _, groups in tasks for group in groups if group.beside)
    number = max(FEWEST_RESAMPLES, min(MOST_RESAMPLES, MOST_WORK // max(1, work)))
    order = {parameter.key: place for place, parameter in enumerate(search.space)}
    return tuple(_measure(arm, objective, groups, number, order) for arm, objective, groups in tasks)


def _measure(
    arm: str, objective: Objective, groups: Sequence[_Group], number: int, order: Mapping[str, int]
) -> SearchImportance:
    from ablate.search.optuna_importance import has_fanova

    found = [row for group in groups for row in _measure_group(group, number)]
    return SearchImportance(
        arm=arm,
        metric=objective.metric,
        num=max((len(group.entries) for group in groups), default=0),
        num_resamples=number,
        rows=tuple(sorted(found, key=lambda row: order[row.key])),
        has_fanova=has_fanova(),
    )


def _groups(search: Search, place: int, entries: Sequence[Entry]) -> Iterator[_Group]:
    """Put the parameters together that are searched in the same configurations."""
    told = [entry for entry in entries if _has_value(entry, place)]
    sign = 1.0 if search.objectives[place].better == "lower" else -1.0
    asked: dict[tuple[int, ...], list[Parameter]] = {}
    for parameter in search.space:
        active = tuple(index for index, entry in enumerate(told) if parameter.key in entry.parameters)
        asked.setdefault(active, []).append(parameter)
    for active, parameters in asked.items():
        own = tuple(told[index] for index in active)
        losses = tuple(sign * entry.values[place] for entry in own if entry.values)
        group = _Group(asked=tuple(parameters), beside=(), entries=own, losses=losses, notes={})
        yield _checked(group, search.space)


def _has_value(entry: Entry, place: int) -> bool:
    if entry.state is not State.TOLD or entry.is_warm or entry.values is None:
        return False
    return len(entry.values) > place and math.isfinite(entry.values[place])


def _checked(group: _Group, space: Sequence[Parameter]) -> _Group:
    """Choose what is measured together, and say why the rest cannot be."""

    def note(text: str) -> _Group:
        return replace(group, notes={parameter.key: text for parameter in group.asked})

    if len(group.entries) < MIN_CONFIGURATIONS:
        return note("too few configurations")
    if min(group.losses) == max(group.losses):
        return note("all values are the same")
    beside = tuple(one for one in space if _num_values(one, group.entries) > 1)
    constant = {one.key: "one value alone" for one in group.asked if one not in beside}
    if len(beside) < 2:
        return replace(group, notes=constant | {one.key: "nothing beside it varies" for one in beside})
    return replace(group, beside=beside, notes=constant)


def _num_values(parameter: Parameter, entries: Sequence[Entry]) -> int:
    """Count the values of a parameter; none where some configuration does not set it."""
    if not all(parameter.key in entry.parameters for entry in entries):
        return 0
    return len({canonical_json(entry.parameters[parameter.key]) for entry in entries})


def _measure_group(group: _Group, number: int) -> Iterator[ParameterImportance]:
    shares: dict[str, dict[str, Share]] = {"fanova": {}, "ped_anova": {}}
    if group.beside:
        shares = _bootstrap(group, number)
    for parameter in group.asked:
        key, note = parameter.key, group.notes.get(parameter.key, "")
        yield ParameterImportance(
            key=key,
            num=len(group.entries),
            fanova=None if note else shares["fanova"].get(key),
            ped_anova=None if note else shares["ped_anova"].get(key),
            note=note,
        )


def _bootstrap(group: _Group, number: int) -> dict[str, dict[str, Share]]:
    """Measure all configurations, and resamples of as many; those in which nothing varies say nothing."""
    import numpy as np

    from ablate.search.optuna_importance import Evaluator

    evaluator = Evaluator(group.beside, [entry.parameters for entry in group.entries], group.losses)
    size = len(group.entries)
    whole = evaluator.measure(range(size), num_trees=NUM_TREES, seed=RESAMPLING_SEED)
    drawn = np.random.default_rng(RESAMPLING_SEED).integers(0, size, (number, size)).tolist()
    resampled = [
        evaluator.measure(chosen, num_trees=NUM_TREES_RESAMPLED, seed=seed) for seed, chosen in enumerate(drawn)
    ]
    tails = ((1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0)
    found: dict[str, dict[str, Share]] = {}
    for method, values in whole.items():
        others = [shares for one in resampled if (shares := one[method]) is not None]
        found[method] = {}
        for key, value in (values or {}).items() if others else ():
            low, high = np.quantile([shares[key] for shares in others], tails)
            found[method][key] = Share(value=value, low=float(low), high=float(high))
    return found
