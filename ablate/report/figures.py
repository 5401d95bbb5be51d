"""Curves drawn as SVG text; the only door to matplotlib.

One drawing serves both reports: the Markdown report links the file as drawn (dark ink on white), the HTML page inlines
it with `inline_svg`, which lets ink and ground follow the page's light or dark colours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ablate.report.curves import CurveData, Line, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.tri import Triangulation

PALETTE = ("#2f7ed8", "#e8743b", "#1fa187", "#b15fd0", "#c8a016", "#e0567f", "#6d8f2f", "#7d7d85", "#12a5c4", "#a2683c")
"""Colours of the arms in the study's order, readable on white and on near-black; styles vary after the tenth."""

INK, GROUND, _GRID = "#1b1c1f", "#fefefe", "#c9cbd1"
"""Of letters, of what stands behind letters, and of rules: on the HTML page the colours of the page."""
_DASHES = ("-", "--", "-.", ":")
_MAX_COLUMNS = 2
_ALPHA_BAND = 0.16
_MAX_TICKS = 12
"""Places of a logarithmic axis that are named one by one."""
_CHARACTER_IN = 0.065
"""Width of a letter of the legend, for as many columns as fit."""


def draw(data: CurveData) -> str:
    """Draw one curve of a study: panels side by side, one legend below, bands where there are several seeds."""
    columns = min(_MAX_COLUMNS, len(data.panels))
    rows = -(-len(data.panels) // columns)

    def fill(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for index, axes in enumerate(grid.flat):
            if index < len(data.panels):
                _panel(axes, data, data.panels[index], is_first=index % columns == 0)
            else:
                axes.set_axis_off()
        width_in = 4.6 * columns if columns > 1 else 5.6
        legend_in = _legend(figure, data, width_in)
        figure.set_size_inches(width_in, 3.0 * rows + legend_in)

    return drawn(data.curve.title, fill)


def drawn(title: str, fill: Callable[[Figure], None]) -> str:
    """Give as SVG what a function draws on an empty figure; the title makes its ids."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_style(title)):
        figure = Figure(layout="constrained")
        fill(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def shades() -> Colormap:
    """Give the colours from a good value to a bad one, readable on white and on near-black."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("values", [PALETTE[0], "#9d8fae", PALETTE[1]])


def mesh(xs: Sequence[float], ys: Sequence[float], triangles: Sequence[Sequence[int]]) -> Triangulation:
    """Join places to triangles, for a ground that is interpolated between them."""
    from matplotlib.tri import Triangulation

    return Triangulation(xs, ys, triangles)


def inline_svg(svg: str, *, name: str, title: str) -> str:
    """Make a drawing fit to stand inside an HTML page.

    Args:
        svg: From `draw`.
        name: Unique on the page; keeps the ids of several drawings apart.
        title: Said to those who cannot see it.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r' id="(?:figure|patch|axes|matplotlib\.axis|xtick|ytick|line2d|text|legend)_\d+"', "", body)
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = (
        body.replace(INK, "currentColor")
        .replace(_GRID, "var(--rule)")
        .replace(GROUND, "var(--ground)")
        .replace("#ffffff", "transparent")
    )
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    size = re.search(r'<svg[^>]*? width="([\d.]+)pt"', body)
    width = f"{float(size.group(1)) * 4 / 3:.0f}px" if size else "100%"
    body = re.sub(r'(<svg[^>]*?) width="[\d.]+pt"', r"\g<1>", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\g<1>", body, count=1)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return body.replace("<svg", f'<svg role="img" aria-label="{label}" style="max-width: {width}"', 1)


def _style(salt: str) -> Any:
    """Settings of a drawing; the salt makes the ids, and so the file, the same each time."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": "sans-serif",
        "font.sans-serif": ["Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": _GRID,
        "grid.linewidth": 0.6,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "legend.fontsize": 9,
    }


def _panel(axes: Axes, data: CurveData, panel: Panel, *, is_first: bool) -> None:
    labels = line_labels(data)
    for line in panel.lines:
        _line(axes, line, labels.index(line.label), is_banded=not panel.ticks)
    if panel.title:
        axes.set_title(panel.title, loc="left")
    axes.set_xlabel(panel.x or data.curve.x)
    if panel.ticks:
        axes.set_xticks(range(len(panel.ticks)), panel.ticks)
    if panel.log_x:
        axes.set_xscale("log")
        places = sorted({step for line in panel.lines for step in line.steps})
        if len(places) <= _MAX_TICKS:
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()
    if is_first:
        axes.set_ylabel("" if data.curve.unit == "1" else data.curve.unit)
    if data.curve.log:
        axes.set_yscale("log")
    axes.margins(x=0.12 if panel.ticks else 0.02)


def _line(axes: Axes, line: Line, index: int, *, is_banded: bool) -> None:
    colour = PALETTE[index % len(PALETTE)]
    dashes = _DASHES[index // len(PALETTE) % len(_DASHES)]
    marker = "o" if len(line.steps) <= 20 else None
    axes.plot(line.steps, line.mean, dashes, color=colour, label=line.label, linewidth=1.6, marker=marker, markersize=3)
    if line.num_seeds > 1 and is_banded:
        axes.fill_between(line.steps, line.low, line.high, color=colour, alpha=_ALPHA_BAND, linewidth=0)
    elif line.num_seeds > 1:
        axes.vlines(line.steps, line.low, line.high, color=colour, alpha=0.5, linewidth=1.2)


def _legend(figure: Figure, data: CurveData, width_in: float) -> float:
    """Put one legend below all panels and give its height in inches; a single line is named by the title alone."""
    labels = line_labels(data)
    if len(labels) < 2:
        return 0.0
    handles = {
        str(line.get_label()): line for axes in figure.axes for line in axes.get_lines() if line.get_label() in labels
    }
    entry_in = 0.45 + _CHARACTER_IN * max(len(label) for label in labels)
    columns = max(1, min(len(labels), int(width_in / entry_in)))
    figure.legend(
        [handles[label] for label in labels], labels, loc="outside lower center", ncols=columns, handlelength=1.6
    )
    return 0.1 + 0.19 * -(-len(labels) // columns)


def line_labels(data: CurveData) -> list[str]:
    """Names of all lines, each once, in the study's order."""
    return list(dict.fromkeys(line.label for panel in data.panels for line in panel.lines))
