"""Curves over the levels of a design's factors: a metric along a sweep, and the means of a factorial's cells."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean

from ablate.analysis.contrasts import Analysis
from ablate.analysis.effects import FactorEffects
from ablate.analysis.intervals import Estimate, estimate
from ablate.report.curves import CurveData, Kind, Line, Panel
from ablate.study.model import Arm, Curve, Design, Factor, Metric

_MAX_PAIRS = 6
_LOG_SPAN = 50.0
"""Positive numbers whose largest is this many times the smallest are drawn on a logarithmic axis."""


def gather_sweeps(analysis: Analysis) -> tuple[CurveData, ...]:
    """Draw each metric over the levels of a sweep's first factor; its bases and the second factor are lines."""
    study = analysis.results.study
    design = study.design
    if design is None or design.kind != "sweep":
        return ()
    first = design.factors[0]
    lines: dict[str, dict[str, str]] = {}
    for arm in study.arms:
        if arm.levels:
            lines.setdefault(_line_label(arm, design), {})[arm.levels[first.name]] = arm.name
    found = []
    for metric in study.metrics:
        estimates = analysis.estimates[metric.name]
        drawn = []
        for label, names in lines.items():
            points = {level: estimates[names[level]] for level in first.levels if names.get(level, "") in estimates}
            if points:
                drawn.append(_line(label or metric.name, first, points))
        if drawn:
            found.append(_data(metric, f"{metric.name} over {first.name}", (_panel(first, drawn),), kind="sweep"))
    return tuple(found)


def gather_cells(analysis: Analysis, effects: Mapping[str, FactorEffects]) -> tuple[CurveData, ...]:
    """Draw, by metric, the means of a factorial's cells: a panel per pair of factors, at most six."""
    design = analysis.results.study.design
    if design is None:
        return ()
    found = []
    for metric in analysis.results.study.metrics:
        known = effects.get(metric.name)
        if known is None or not known.effects:
            continue
        panels = tuple(_pair_panel(analysis, known, pair) for pair in _pairs(design, known))
        if panels:
            found.append(_data(metric, f"{metric.name} by pairs of factors", panels, kind="cells"))
    return tuple(found)


def _data(metric: Metric, title: str, panels: tuple[Panel, ...], *, kind: Kind) -> CurveData:
    curve = Curve(title=title, metrics=(metric.name,), x=panels[0].x, unit=metric.unit)
    return CurveData(curve=curve, panels=panels, kind=kind)


def _panel(factor: Factor, lines: Sequence[Line]) -> Panel:
    numbers = factor.numbers
    log = bool(numbers) and min(numbers or (0.0,)) > 0.0 and max(numbers or ()) >= _LOG_SPAN * min(numbers or ())
    return Panel(title="", lines=tuple(lines), x=factor.name, ticks=() if numbers else factor.levels, log_x=log)


def _line_label(arm: Arm, design: Design) -> str:
    """Name the line of a sweep that an arm's point is on: its base where there are several, and the other factors."""
    bases = [base for base in design.bases if arm.name.startswith(f"{base}, ")] if len(design.bases) > 1 else []
    others = [f"{factor.name}={arm.levels[factor.name]}" for factor in design.factors[1:]]
    return ", ".join([*([max(bases, key=len)] if bases else []), *others])


def _line(label: str, factor: Factor, points: Mapping[str, Estimate]) -> Line:
    """Put estimates by level on the factor's numbers, or on its levels' places where it has none."""
    place = dict(zip(factor.levels, factor.numbers or range(len(factor.levels)), strict=True))
    ordered = sorted(points.items(), key=lambda point: place[point[0]])
    return Line(
        label=label,
        steps=tuple(place[level] for level, _ in ordered),
        mean=tuple(found.mean for _, found in ordered),
        low=tuple(found.mean if found.low is None else found.low for _, found in ordered),
        high=tuple(found.mean if found.high is None else found.high for _, found in ordered),
        num_seeds=max(found.n for _, found in ordered),
    )


def _pairs(design: Design, known: FactorEffects) -> list[tuple[Factor, Factor]]:
    """Give the pairs of factors to draw: all of a few, else those whose interaction is the largest."""
    by_name = {factor.name: factor for factor in design.factors}
    sizes = {effect.factors: abs(effect.estimate.mean) for effect in known.effects if len(effect.factors) == 2}
    pairs = list(combinations(by_name, 2))
    if len(pairs) > _MAX_PAIRS:
        pairs = sorted(pairs, key=lambda pair: -sizes.get(pair, 0.0))[:_MAX_PAIRS]
    return [(by_name[first], by_name[second]) for first, second in pairs]


def _pair_panel(analysis: Analysis, known: FactorEffects, pair: tuple[Factor, Factor]) -> Panel:
    """Draw the mean of all arms at each level of the first factor, a line per level of the second."""
    first, second = pair
    values = {arm.name: arm.values[known.metric] for arm in analysis.results.arms}
    cells: dict[tuple[str, str], list[str]] = {}
    for arm in analysis.results.study.arms:
        if arm.levels:
            cells.setdefault((arm.levels[first.name], arm.levels[second.name]), []).append(arm.name)
    lines = []
    for level in second.levels:
        points = {}
        for at in first.levels:
            names = cells.get((at, level), [])
            seeds = [seed for seed in values[names[0]] if all(seed in values[name] for name in names)] if names else []
            if seeds:
                points[at] = estimate([fmean(values[name][seed] for name in names) for seed in seeds])
        if points:
            lines.append(_line(f"{second.name}={level}", Factor(name=first.name, levels=first.levels), points))
    return Panel(title=f"{first.name} and {second.name}", lines=tuple(lines), x=first.name, ticks=first.levels)
