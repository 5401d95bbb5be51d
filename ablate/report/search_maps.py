"""The configurations of a search as places on axes: what its figure draws, as numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ablate.analysis.searches import SearchAnalysis, SearchResult
from ablate.ids import canonical_json
from ablate.report.search_text import setting_text, short_names
from ablate.search.history import Entry, State
from ablate.search.model import Objective, Parameter
from ablate.study.model import Metric, Study
from ablate.trial import Json

MOST_AXES = 8
"""Parameters that a figure has room for, the most important ones."""
MOST_DOTS = 1_000
"""Configurations that a figure draws, the last ones."""
_FEWEST_DOTS, _FEWEST_GROUND = 2, 4
_LOG_RATIO = 100.0
"""Values that differ by this factor are drawn on a logarithmic axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis of values, or of choices at 0, 1, 2, ...

    Args:
        name: What it is called.
        low: Its lower end.
        high: Its upper end.
        is_log: Whether it is logarithmic.
        choices: Names of its places, where it has no numbers.
    """

    name: str
    low: float
    high: float
    is_log: bool = False
    choices: tuple[str, ...] = ()

    def fraction(self, value: float) -> float:
        """Place a value between the ends, 0 to 1."""
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return (value - low) / (high - low) if high > low else 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A configuration.

    Args:
        places: Its place on each parameter's axis; `None` where it is not searched.
        values: Of the objectives; empty where it has none.
        state: How it ended.
        is_best: Whether it won.
        is_front: Whether no other beats it on all objectives.
    """

    places: tuple[float | None, ...]
    values: tuple[float, ...]
    state: State
    is_best: bool
    is_front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchMap:
    """A search to be drawn.

    Args:
        title: Of the figure.
        axes: Parameters.
        values: Axes of the objectives, the first one being drawn over the parameters.
        is_lower_better: Of each objective.
        dots: Configurations that ended.
        contour: Places among the axes of the two parameters over which the value is drawn as a ground.
        is_ranked: Whether the parameters are in the order of their importance.
        left_out: Number of parameters without room.
    """

    title: str
    axes: tuple[Axis, ...]
    values: tuple[Axis, ...]
    is_lower_better: tuple[bool, ...]
    dots: tuple[Dot, ...]
    contour: tuple[int, int] | None
    is_ranked: bool
    left_out: int

    @property
    def told(self) -> tuple[Dot, ...]:
        """Configurations with a value."""
        return tuple(dot for dot in self.dots if dot.values)

    @property
    def triangles(self) -> list[list[int]]:
        """Join the dots of the contour to triangles, in the scale of its axes; none where they lie on a line."""
        if self.contour is None or len(self.told) < _FEWEST_GROUND:
            return []
        import numpy as np
        from scipy.spatial import Delaunay, QhullError

        scaled = [[self.axes[at].fraction(dot.places[at] or 0.0) for at in self.contour] for dot in self.told]
        try:
            return [[int(corner) for corner in one] for one in Delaunay(np.asarray(scaled)).simplices]
        except QhullError:
            return []

    @property
    def caption(self) -> str:
        """What is drawn, in a few sentences."""
        counts = [
            f"{number} {state}"
            for state in (State.PRUNED, State.FAILED)
            if (number := sum(dot.state is state for dot in self.dots))
        ]
        text = f"{self.title}: {len(self.told)} configurations with a value" + (
            f", {' and '.join(counts)} (marked above the frames, without a value)." if counts else "."
        )
        text += " Values are on validation data."
        if self.is_ranked:
            text += " Parameters are in the order of their importance by fANOVA."
        if self.left_out:
            text += f" {self.left_out} more parameters have no room."
        if self.contour is not None:
            text += " The ground of the map is interpolated linearly between its dots and claims nothing."
        if any(None in dot.places for dot in self.dots):
            text += " Lines pass below an axis whose parameter is not searched there."
        return text


def gather_search_maps(study: Study, found: SearchAnalysis | None) -> tuple[SearchMap, ...]:
    """Place the configurations of every search that has some with a value."""
    if found is None:
        return ()
    metrics = {metric.name: metric for metric in study.metrics}
    maps = (_map(found, result, metrics[found.search.objectives[0].metric], study) for result in found.results)
    return tuple(one for one in maps if len(one.told) >= _FEWEST_DOTS and one.axes)


def _map(found: SearchAnalysis, result: SearchResult, first: Metric, study: Study) -> SearchMap:
    entries = [entry for entry in result.own if entry.state is not State.OPEN][-MOST_DOTS:]
    parameters, is_ranked = _ranked(found, result)
    shown = parameters[:MOST_AXES]
    names = short_names(parameter.key for parameter in found.search.space)
    units = {metric.name: metric.unit for metric in study.metrics}
    dots = tuple(_dot(entry, shown, result) for entry in entries)
    told = [dot for dot in dots if dot.values]
    drawn = SearchMap(
        title=f"Settings of {result.arm} and {first.name}",
        axes=tuple(_axis(parameter, names[parameter.key]) for parameter in shown),
        values=tuple(
            _value_axis(one, units[one.metric], [dot.values[place] for dot in told])
            for place, one in enumerate(found.search.objectives)
        ),
        is_lower_better=tuple(one.better == "lower" for one in found.search.objectives),
        dots=dots,
        contour=_contour(shown, told),
        is_ranked=is_ranked,
        left_out=len(parameters) - len(shown),
    )
    return drawn if drawn.triangles else replace(drawn, contour=None)


def _ranked(found: SearchAnalysis, result: SearchResult) -> tuple[list[Parameter], bool]:
    importance = found.importance_of(result.arm, found.search.objectives[0].metric)
    space = {parameter.key: parameter for parameter in found.search.space}
    if importance is None or not importance.is_known:
        return list(space.values()), False
    return [space[key] for key in importance.ranked], importance.has_fanova


def _axis(parameter: Parameter, name: str) -> Axis:
    if parameter.kind == "choices":
        choices = tuple(setting_text(choice) for choice in parameter.choices)
        return Axis(name=name, low=0.0, high=max(1.0, len(choices) - 1.0), choices=choices)
    return Axis(name=name, low=parameter.low, high=parameter.high, is_log=parameter.log)


def _value_axis(objective: Objective, unit: str, values: Sequence[float]) -> Axis:
    name = objective.metric if unit == "1" else f"{objective.metric} [{unit}]"
    low, high = min(values, default=0.0), max(values, default=1.0)
    return Axis(name=name, low=low, high=high, is_log=low > 0.0 and high / low >= _LOG_RATIO)


def _dot(entry: Entry, parameters: Sequence[Parameter], result: SearchResult) -> Dot:
    values = entry.values if entry.state is State.TOLD and entry.values else ()
    return Dot(
        places=tuple(
            _place(one, entry.parameters[one.key]) if one.key in entry.parameters else None for one in parameters
        ),
        values=values if all(math.isfinite(value) for value in values) else (),
        state=entry.state,
        is_best=result.best is not None and entry.number == result.best.number,
        is_front=entry.number in result.front,
    )


def _place(parameter: Parameter, value: Json) -> float | None:
    if parameter.kind == "choices":
        known = [canonical_json(choice) for choice in parameter.choices]
        own = canonical_json(value)
        return float(known.index(own)) if own in known else None
    return float(value) if isinstance(value, int | float) else None


def _contour(parameters: Sequence[Parameter], told: Sequence[Dot]) -> tuple[int, int] | None:
    """Choose the first two ranges of numbers that every configuration sets."""
    found = list(_ranges(parameters, told))[:2]
    return (found[0], found[1]) if len(found) == 2 else None


def _ranges(parameters: Sequence[Parameter], told: Sequence[Dot]) -> Iterator[int]:
    for place, parameter in enumerate(parameters):
        if parameter.kind != "choices" and all(dot.places[place] is not None for dot in told):
            yield place
