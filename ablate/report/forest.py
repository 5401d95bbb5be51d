"""The geometry of a forest plot: where each interval lies on the axis of its metric, in percent of the width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.report.factors import EffectRow
from ablate.report.numbers import fixed
from ablate.report.tables import ContrastRow, MetricTable, shown

_MARGIN = 0.06
_NUM_TICKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One contrast: our mean and interval, and the paper's difference; `None` where there is none."""

    mean: float | None
    low: float | None
    high: float | None
    paper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled place on the axis."""

    place: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """The marks of one metric's contrasts in their order, on one axis that holds zero."""

    zero: float
    ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]


Span = tuple[float | None, float | None, float | None, float | None]
"""Mean, low, high and the paper's difference."""


def build_forest(metric: MetricTable) -> Forest:
    """Place all contrasts of a metric on one axis: intervals, the paper's differences and zero."""
    return place_spans([_contrast_span(row) for row in metric.contrasts])


def build_effects(rows: Sequence[EffectRow]) -> Forest:
    """Place effects or shares on one axis."""
    return place_spans([(row.source.mean, row.source.low, row.source.high, None) for row in rows])


def place_spans(spans: Sequence[Span]) -> Forest:
    """Place intervals and zero on one axis, with a margin at both ends."""
    values = [0.0, *(value for span in spans for value in span if value is not None)]
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or 1.0
    low, high = low - margin, high + margin

    def place(value: float | None) -> float | None:
        return None if value is None else round(100.0 * (value - low) / (high - low), 2)

    step = _step(high - low)
    decimals = max(0, -math.floor(math.log10(step)))
    found = [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Forest(
        zero=place(0.0) or 0.0,
        ticks=tuple(Tick(place=place(tick) or 0.0, label=fixed(tick, decimals, sign=True)) for tick in found),
        marks=tuple(
            Mark(mean=place(mean), low=place(left), high=place(right), paper=place(paper))
            for mean, left, right, paper in spans
        ),
    )


def _contrast_span(row: ContrastRow) -> Span:
    found = shown(row.source)
    paper = row.beside.delta if row.beside else None
    return (found.mean, found.low, found.high, paper) if found else (None, None, None, paper)


def _step(span: float) -> float:
    """Choose a tick distance of 1, 2 or 5 times a power of ten, for at most five ticks."""
    rough = span / _NUM_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough)
