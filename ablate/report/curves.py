"""Curves of a study as numbers: per arm and metric the mean over seeds at each step, with a 95 % band."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from ablate.analysis.contrasts import estimate
from ablate.plan.model import Plan
from ablate.store import Store
from ablate.study.model import Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One drawn line. `low` and `high` bound the t interval and equal the mean where a step has one seed only."""

    label: str
    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    num_seeds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines on one pair of axes."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveData:
    """A curve of the study file with its numbers; panels share the y axis."""

    curve: Curve
    panels: tuple[Panel, ...]

    @property
    def has_points(self) -> bool:
        """Whether there is anything to draw."""
        return any(panel.lines for panel in self.panels)

    @property
    def caption(self) -> str:
        """What is drawn, in a sentence."""
        banded = any(line.num_seeds > 1 for panel in self.panels for line in panel.lines)
        return f"{self.curve.title}. {'Mean over seeds with its 95 % band.' if banded else 'One seed, no band.'}"


def gather_curves(plan: Plan, store: Store) -> tuple[CurveData, ...]:
    """Read what the arms' trials reported, one panel per metric with a line per arm.

    A curve of one arm has nothing to compare within a panel: its metrics share one, a line each.
    """
    if not plan.study.curves:
        return ()
    points = _points(plan, store)
    return tuple(CurveData(curve=curve, panels=_panels(plan, curve, points)) for curve in plan.study.curves)


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


def _panels(plan: Plan, curve: Curve, points: _Points) -> tuple[Panel, ...]:
    arms = [arm.name for arm in plan.study.arms if not curve.arms or arm.name in curve.arms]
    if len(arms) == 1:
        own = points.get(arms[0], {})
        return (Panel(title="", lines=tuple(_line(metric, own[metric]) for metric in curve.metrics if metric in own)),)
    return tuple(
        Panel(
            title=metric if len(curve.metrics) > 1 else "",
            lines=tuple(_line(arm, points[arm][metric]) for arm in arms if metric in points.get(arm, {})),
        )
        for metric in curve.metrics
    )


def _line(label: str, values: Mapping[int, list[float]]) -> Line:
    steps = tuple(sorted(values))
    found = [estimate(values[step]) for step in steps]
    return Line(
        label=label,
        steps=steps,
        mean=tuple(one.mean for one in found),
        low=tuple(one.mean if one.low is None else one.low for one in found),
        high=tuple(one.mean if one.high is None else one.high for one in found),
        num_seeds=max(one.n for one in found),
    )
