"""Figures as numbers for the page's script, which draws them with Plotly: the same lines as the drawn SVG."""

import json
from collections.abc import Sequence
from html import escape

from ablate.report.curves import CurveData, Line, Panel
from ablate.report.figures import PALETTE, line_labels
from ablate.trial import Json

_DIGITS = 6


def plots_json(figures: Sequence[CurveData]) -> str:
    """Give all figures and their colours as JSON that may stand inside a script element.

    Texts are escaped, because Plotly reads some tags in them.
    """
    content = {"palette": PALETTE, "figures": [_figure(data) for data in figures]}
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _figure(data: CurveData) -> Json:
    labels = line_labels(data)
    floor = _floor(data) if data.curve.log else None
    return {
        "title": escape(data.curve.title, quote=False),
        "unit": "" if data.curve.unit == "1" else escape(data.curve.unit, quote=False),
        "log": data.curve.log,
        "panels": [_panel(panel, data, labels, floor) for panel in data.panels],
    }


def _panel(panel: Panel, data: CurveData, labels: Sequence[str], floor: float | None) -> Json:
    return {
        "title": escape(panel.title, quote=False),
        "x": escape(panel.x or data.curve.x, quote=False),
        "ticks": [escape(tick, quote=False) for tick in panel.ticks],
        "log": panel.log_x,
        "lines": [_line(line, labels.index(line.label), floor, has_numbers=not panel.ticks) for line in panel.lines],
    }


def _line(line: Line, colour: int, floor: float | None, *, has_numbers: bool) -> Json:
    low = line.low if floor is None else [value if value > 0.0 else floor for value in line.low]
    found = {
        "label": escape(line.label, quote=False),
        "colour": colour,
        "seeds": line.num_seeds,
        "x": line.steps,
        "y": _rounded(line.mean),
        "banded": has_numbers,
    }
    if line.num_seeds > 1:
        found |= {"low": _rounded(low), "high": _rounded(line.high)}
    return found


def _floor(data: CurveData) -> float:
    """Give the lowest place of a logarithmic axis: where a band that reaches zero or below it ends."""
    lines = [line for panel in data.panels for line in panel.lines]
    return min((value for line in lines for value in (*line.mean, *line.low) if value > 0.0), default=1.0)


def _rounded(values: Sequence[float]) -> list[float]:
    """Keep what can be seen, so that the page stays small."""
    return [float(f"{value:.{_DIGITS}g}") for value in values]
