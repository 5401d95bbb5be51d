"""Figures of a search: the best value so far, and the contrasts before and after tuning."""

from collections.abc import Iterator

from ablate.analysis.contrasts import Contrast
from ablate.analysis.searches import Moved, SearchAnalysis, SearchResult
from ablate.report.curves import CurveData, Line, Panel
from ablate.search.model import Objective
from ablate.study.model import Curve, Metric, Study

_MOST_METRICS = 2


def gather_search_curves(study: Study, found: SearchAnalysis | None) -> tuple[CurveData, ...]:
    """Draw the history of every objective, and how the first metrics' contrasts moved."""
    if found is None:
        return ()
    metrics = {metric.name: metric for metric in study.metrics}
    histories = [_history(found, place, one, metrics[one.metric]) for place, one in enumerate(found.search.objectives)]
    first = [objective.metric for objective in found.search.objectives]
    names = list(dict.fromkeys([*first, *metrics]))[:_MOST_METRICS]
    moves = [_moves(metrics[name], [one for one in found.moved if one.metric == name]) for name in names]
    return tuple(one for one in (*moves, *histories) if one.has_points)


def _history(found: SearchAnalysis, place: int, objective: Objective, metric: Metric) -> CurveData:
    """Draw the best value so far over the number of configurations, a line for each search."""
    lines = [line for result in found.results for line in _best_so_far(result, place, objective)]
    curve = Curve(
        title=f"Best {objective.metric} on validation data so far",
        metrics=(objective.metric,),
        x="configurations",
        unit=metric.unit,
    )
    return CurveData(curve=curve, panels=(Panel(title="", lines=tuple(lines)),), kind="search")


def _best_so_far(result: SearchResult, place: int, objective: Objective) -> Iterator[Line]:
    steps, values = [], list[float]()
    for entry in result.own:
        if entry.values is not None and len(entry.values) > place:
            best = min if objective.better == "lower" else max
            values.append(best([entry.values[place], *values[-1:]]))
            steps.append(float(entry.number + 1))
    if steps:
        found = tuple(values)
        yield Line(label=result.arm, steps=tuple(steps), mean=found, low=found, high=found, num_seeds=1)


def _moves(metric: Metric, moved: list[Moved]) -> CurveData:
    """Draw each arm's difference to its reference, untuned and tuned."""
    title = f"Differences on {metric.name}, untuned and tuned"
    curve = Curve(title=title, metrics=(metric.name,), x="", unit=metric.unit)
    lines = tuple(_move(one) for one in moved)
    return CurveData(curve=curve, panels=(Panel(title="", lines=lines, ticks=("untuned", "tuned")),), kind="search")


def _move(one: Moved) -> Line:
    spans = [_span(contrast) for contrast in (one.untuned, one.tuned)]
    return Line(
        label=one.arm,
        steps=(0.0, 1.0),
        mean=tuple(mean for mean, _, _ in spans),
        low=tuple(low for _, low, _ in spans),
        high=tuple(high for _, _, high in spans),
        num_seeds=max(len(contrast.differences) for contrast in (one.untuned, one.tuned)),
    )


def _span(contrast: Contrast) -> tuple[float, float, float]:
    mean = contrast.estimate.mean if contrast.estimate else 0.0
    return (mean, contrast.interval.low, contrast.interval.high) if contrast.interval else (mean, mean, mean)
