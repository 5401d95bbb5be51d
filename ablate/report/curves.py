"""Curves of a study as numbers: per arm and metric the mean over seeds at each step, with a 95 % band."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from ablate.analysis.intervals import estimate
from ablate.plan.model import Plan
from ablate.store import Store
from ablate.study.model import Curve

Kind = Literal["training", "sweep", "cells", "search"]
"""What a figure is of: reports over steps, a metric over a sweep's levels, a factorial's cells, or a search."""

_MAX_LINES = 40
_MAX_POINTS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One drawn line. `low` and `high` bound the t interval and equal the mean where a step has one seed only."""

    label: str
    steps: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    num_seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines on one pair of axes.

    Args:
        title: What stands above it.
        lines: What is drawn.
        x: What its x axis is called where that is not the curve's own `x`.
        ticks: Names of the places 0, 1, 2, ... of an x axis that has no numbers.
        log_x: Whether the x axis is logarithmic.
    """

    title: str
    lines: tuple[Line, ...]
    x: str = ""
    ticks: tuple[str, ...] = ()
    log_x: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveData:
    """A curve of the study file, or one that its design asks for, with its numbers; panels share the y axis.

    `left_out` are arms that would have been lines too many.
    """

    curve: Curve
    panels: tuple[Panel, ...]
    kind: Kind = "training"
    left_out: tuple[str, ...] = ()

    @property
    def has_points(self) -> bool:
        """Whether there is anything to draw."""
        return any(panel.lines for panel in self.panels)

    @property
    def caption(self) -> str:
        """What is drawn, in a sentence."""
        banded = any(line.num_seeds > 1 for panel in self.panels for line in panel.lines)
        if self.kind == "search":
            return f"{self.curve.title}."
        mean = "Mean over seeds with its 95 % interval." if banded else "One seed, no interval."
        if self.kind == "cells":
            mean = f"{mean} Each point is over all arms of those two levels; lines that are not parallel interact."
        if self.left_out:
            mean += f" {len(self.left_out)} more arms are not drawn: name some in the curve's `arms` to see them."
        return f"{self.curve.title}. {mean}"


def gather_curves(plan: Plan, store: Store) -> tuple[CurveData, ...]:
    """Read what the arms' trials reported, one panel per metric with a line per arm.

    A curve of one arm has nothing to compare within a panel: its metrics share one, a line each.
    """
    if not plan.study.curves:
        return ()
    points = _points(plan, store)
    return tuple(_curve(plan, curve, points) for curve in plan.study.curves)


_Points = Mapping[str, Mapping[str, Mapping[int, list[float]]]]
"""Values of all seeds: `[arm][metric][step]`."""


def _points(plan: Plan, store: Store) -> _Points:
    wanted = {metric for curve in plan.study.curves for metric in curve.metrics}
    found: dict[str, dict[str, dict[int, list[float]]]] = {}
    seen: set[tuple[str, str]] = set()
    for trial in plan.trials:
        if trial.role != "arm" or (trial.name, trial.spec.id) in seen:
            continue
        seen.add((trial.name, trial.spec.id))
        for point in store.curves(trial.spec.id):
            for metric, value in point.metrics.items():
                if metric in wanted and isfinite(value):
                    steps = found.setdefault(trial.name, {}).setdefault(metric, {})
                    steps.setdefault(point.step, []).append(value)
    return found


def _curve(plan: Plan, curve: Curve, points: _Points) -> CurveData:
    arms = [arm.name for arm in plan.study.arms if not curve.arms or arm.name in curve.arms]
    if len(arms) == 1:
        own = points.get(arms[0], {})
        lines = tuple(_line(metric, own[metric]) for metric in curve.metrics if metric in own)
        return CurveData(curve=curve, panels=(Panel(title="", lines=lines),))
    drawn = [arm for arm in arms if arm in points]
    panels = tuple(
        Panel(
            title=metric if len(curve.metrics) > 1 else "",
            lines=tuple(_line(arm, points[arm][metric]) for arm in drawn[:_MAX_LINES] if metric in points[arm]),
        )
        for metric in curve.metrics
    )
    return CurveData(curve=curve, panels=panels, left_out=tuple(drawn[_MAX_LINES:]))


def _line(label: str, values: Mapping[int, list[float]]) -> Line:
    """Estimate each step; of many steps, evenly spaced ones and the last are drawn."""
    steps = sorted(values)
    if len(steps) > _MAX_POINTS:
        steps = [*steps[:: -(-len(steps) // _MAX_POINTS)], steps[-1]]
        steps = list(dict.fromkeys(steps))
    found = [estimate(values[step]) for step in steps]
    return Line(
        label=label,
        steps=tuple(steps),
        mean=tuple(one.mean for one in found),
        low=tuple(one.mean if one.low is None else one.low for one in found),
        high=tuple(one.mean if one.high is None else one.high for one in found),
        num_seeds=max(one.n for one in found),
    )
