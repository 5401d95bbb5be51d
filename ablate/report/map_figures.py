"""Draws a search: parallel coordinates, a slice for each parameter, a map of two of them, the Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ablate.report.figures import GROUND, INK, PALETTE, drawn, mesh, shades
from ablate.report.search_maps import Axis, Dot, SearchMap
from ablate.search.history import State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = (3, 4)
"""Panels in a row: what leaves fewer places empty."""
_WIDTH_IN, _ROW_IN, _WIDE_IN = 9.4, 2.7, 3.1
_TOLD, _BEST, _BAD = PALETTE[0], PALETTE[1], PALETTE[7]
_ABOVE, _OFF = 1.04, -0.12
"""Where configurations without a value are marked, and where lines pass an axis that is not searched."""
_LONGEST = 14
"""Letters of a choice's name that have room."""
_LEVELS = 8
_BETWEEN = 0.1
_MARGIN = 0.04
_LETTERS = 18
"""Letters of all choices that fit side by side."""
_DOTS: dict[bool, dict[str, Any]] = {
    False: {"s": 16, "c": _TOLD, "alpha": 0.75},
    True: {"s": 90, "c": _BEST, "marker": "*", "zorder": 3},
}
"""How a configuration with a value is marked, and the best one."""
_FRONT: dict[bool, dict[str, Any]] = {False: _DOTS[False], True: {"s": 30, "c": _BEST}}
_STYLES: dict[State, dict[str, Any]] = {
    State.PRUNED: {"marker": "v", "facecolors": "none", "edgecolors": _BAD, "label": "pruned"},
    State.FAILED: {"marker": "x", "color": _BAD, "label": "failed"},
}


def draw_map(found: SearchMap) -> str:
    """Draw a search as one figure with panels, as SVG text."""
    panels: list[Callable[[Axes], None]] = [
        lambda axes, place=place: _slice(axes, found, place)  # type: ignore[misc]
        for place in range(len(found.axes))
    ]
    if found.contour is not None:
        panels.append(lambda axes: _contour(axes, found))
    panels += [lambda axes, other=other: _front(axes, found, other) for other in range(1, len(found.values))]  # type: ignore[misc]

    def fill(figure: Figure) -> None:
        columns = min(_COLUMNS, key=lambda number: -len(panels) % number)
        rows = -(-len(panels) // columns)
        has_lines = len(found.axes) > 1
        heights = [_WIDE_IN] * has_lines + [_ROW_IN] * rows
        grid = figure.add_gridspec(len(heights), columns, height_ratios=heights, hspace=_BETWEEN)
        if has_lines:
            _parallel(figure.add_subplot(grid[0, :]), found)
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(grid[has_lines + place // columns, place % columns])
            panel(axes)
            if 0 < place < len(found.axes) and place % columns:
                axes.set_ylabel("")
        _legend(figure, found)
        figure.set_size_inches(_WIDTH_IN, sum(heights) + 0.35)

    return drawn(found.title, fill)


def _parallel(axes: Axes, found: SearchMap) -> None:
    """Draw each configuration as a line over all parameters to its value, blue for a good one."""
    ends = [*found.axes, found.values[0]]
    colours = shades()
    for dot in sorted(found.dots, key=lambda one: -_badness(found, one) if one.values else -2.0):
        heights = [
            _OFF if place is None else axis.fraction(place) for axis, place in zip(found.axes, dot.places, strict=True)
        ]
        if dot.values:
            heights.append(found.values[0].fraction(dot.values[0]))
        style: dict[str, Any] = {"color": colours(_badness(found, dot)), "linewidth": 2.4 if dot.is_best else 1.0}
        if not dot.values:
            style = {"color": _BAD, "linewidth": 0.8, "linestyle": ":" if dot.state is State.PRUNED else "--"}
        axes.plot(range(len(heights)), heights, alpha=1.0 if dot.is_best else 0.7, **style)
    for place, axis in enumerate(ends):
        axes.axvline(place, 0.0, 1.0, color=INK, linewidth=0.8)
        for value, text in _marks(axis):
            axes.text(place + 0.03, axis.fraction(value), text, fontsize=8, va="center", **_halo())
    if any(None in dot.places for dot in found.dots):
        axes.text(-0.03, _OFF, "not searched", fontsize=8, ha="right", va="center")
    axes.set_xticks(range(len(ends)), [_wrapped(axis.name) for axis in ends])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.1, len(ends) - 0.72)


def _halo() -> dict[str, Any]:
    return {"bbox": {"facecolor": GROUND, "alpha": 0.7, "linewidth": 0, "pad": 0.6}}


def _marks(axis: Axis) -> list[tuple[float, str]]:
    if axis.choices:
        return [(float(place), _short(name)) for place, name in enumerate(axis.choices)]
    return [(axis.low, f"{axis.low:.3g}"), (axis.high, f"{axis.high:.3g}")]


def _badness(found: SearchMap, dot: Dot) -> float:
    """Place a value between the best, 0, and the worst, 1."""
    if not dot.values:
        return 1.0
    fraction = found.values[0].fraction(dot.values[0])
    return fraction if found.is_lower_better[0] else 1.0 - fraction


def _slice(axes: Axes, found: SearchMap, place: int) -> None:
    """Draw the value over one parameter."""
    active = [dot for dot in found.told if dot.places[place] is not None]
    for is_best, style in _DOTS.items():
        dots = [dot for dot in active if dot.is_best is is_best]
        axes.scatter(_column(dots, place), [dot.values[0] for dot in dots], **style)
    _mark_valueless(axes, found, place)
    _set_axis(axes, found.axes[place], "x")
    _set_axis(axes, found.values[0], "y")
    if len(active) < len(found.told):
        axes.set_title(f"searched in {len(active)} of {len(found.told)}", fontsize=8, loc="left", pad=10)


def _mark_valueless(axes: Axes, found: SearchMap, place: int) -> None:
    """Mark failed and pruned configurations above the frame."""
    for state, style in _STYLES.items():
        places = _column([dot for dot in found.dots if dot.state is state], place)
        axes.scatter(
            places,
            [_ABOVE] * len(places),
            s=16,
            linewidths=1.0,
            clip_on=False,
            transform=axes.get_xaxis_transform(),
            **{key: value for key, value in style.items() if key != "label"},
        )


def _contour(axes: Axes, found: SearchMap) -> None:
    """Draw the value over two parameters: the dots, and the ground between them."""
    assert found.contour is not None
    x, y = found.contour
    xs, ys = _column(found.told, x), _column(found.told, y)
    height = [found.values[0].fraction(dot.values[0]) for dot in found.told]
    colours = shades() if found.is_lower_better[0] else shades().reversed()
    axes.tricontourf(mesh(xs, ys, found.triangles), height, levels=_LEVELS, cmap=colours, alpha=0.75)
    for is_best, style in _DOTS.items():
        dots = [dot for dot in found.told if dot.is_best is is_best]
        own = style if is_best else {"s": 12, "c": INK}
        axes.scatter(_column(dots, x), _column(dots, y), **own)
    _set_axis(axes, found.axes[x], "x")
    _set_axis(axes, found.axes[y], "y")
    axes.set_title(f"{found.values[0].name}\nblue is better", loc="left", fontsize=9)
    axes.grid(visible=False)


def _column(dots: Sequence[Dot], place: int) -> list[float]:
    """Give the places of the configurations on an axis, without those in which its parameter is not searched."""
    return [where for dot in dots if (where := dot.places[place]) is not None]


def _front(axes: Axes, found: SearchMap, other: int) -> None:
    """Draw one objective over the first, and the configurations that no other beats."""
    for is_front, style in _FRONT.items():
        dots = [dot for dot in found.told if dot.is_front is is_front]
        axes.scatter([dot.values[0] for dot in dots], [dot.values[other] for dot in dots], **style)
    if len(found.values) == 2:
        front = sorted((dot.values[0], dot.values[other]) for dot in found.told if dot.is_front)
        axes.plot([x for x, _ in front], [y for _, y in front], drawstyle=_corner(found), color=_BEST, linewidth=1.0)
    _set_axis(axes, found.values[0], "x")
    _set_axis(axes, found.values[other], "y")
    axes.set_title("Pareto front (orange)", loc="left", fontsize=9)


def _corner(found: SearchMap) -> str:
    """Step so that the line bounds what the front beats."""
    return "steps-post" if found.is_lower_better[0] else "steps-pre"


def _set_axis(axes: Axes, axis: Axis, which: str) -> None:
    """Name an axis and set its scale and places."""
    set_label, set_ticks, set_limits = (getattr(axes, f"set_{which}{what}") for what in ("label", "ticks", "lim"))
    set_label(axis.name)
    if axis.choices:
        set_ticks(range(len(axis.choices)), [_short(name) for name in axis.choices])
        set_limits(-0.5, axis.high + 0.5)
    else:
        _set_range(axes, axis, which)
    if which == "x" and sum(len(_short(name)) for name in axis.choices) > _LETTERS:
        axes.tick_params(axis="x", rotation=30)


def _set_range(axes: Axes, axis: Axis, which: str) -> None:
    """Show all of a range, with room for dots on its ends."""
    low, high = axis.low, axis.high
    margin = _MARGIN * (high - low) or 1.0
    if axis.is_log:
        getattr(axes, f"set_{which}scale")("log")
        axes.tick_params(axis=which, which="minor", labelbottom=False, labelleft=False)  # type: ignore[arg-type]
        factor = (high / low) ** _MARGIN
        getattr(axes, f"set_{which}lim")(low / factor, high * factor)
    else:
        getattr(axes, f"set_{which}lim")(low - margin, high + margin)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _wrapped(name: str) -> str:
    """Break a long name at an underscore, a dot or a blank, so that neighbours do not meet."""
    if len(name) <= _LONGEST:
        return name
    breaks = [place + 1 for place, letter in enumerate(name) if letter in "_. /"]
    middle = min(breaks, key=lambda place: abs(place - len(name) / 2), default=len(name))
    return f"{name[:middle]}\n{name[middle:]}".rstrip()


def _legend(figure: Figure, found: SearchMap) -> None:
    axes = figure.axes[-1]
    handles = [
        axes.scatter([], [], label="configuration", **_DOTS[False]),
        axes.scatter([], [], label="best", **_DOTS[True]),
    ]
    handles += [
        axes.scatter([], [], s=16, **style)
        for state, style in _STYLES.items()
        if any(dot.state is state for dot in found.dots)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
