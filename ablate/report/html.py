"""The report as one HTML page that needs no network: figures, pictures, style, script and the study file are inside.

Figures are drawn twice. The SVG stands in the page for print and for readers without scripts; Plotly, inlined where
there is a figure to move about in, takes its place on the screen.
"""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from ablate.report.content import ReportContent
from ablate.report.curves import CurveData, Kind
from ablate.report.figures import inline_svg
from ablate.report.forest import build_effects, build_forest
from ablate.report.numbers import duration, seed_text
from ablate.report.pictures import Picture, choose_pictures
from ablate.report.plots import plots_json
from ablate.report.sentences import missing_sentences, reading_sentences, state_sentence, summary_sentences, what_ran
from ablate.report.tables import metric_head

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LONG = 200
"""A table of more rows is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDrawing:
    """A drawing that stays as it is."""

    title: str
    caption: str
    drawing: "Markup"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFigure:
    """A figure on the page: its data, its drawing, and its place among the numbers that the script reads."""

    data: CurveData
    drawing: "Markup"
    place: int


def render_html(content: ReportContent, drawings: Mapping[str, str]) -> str:
    """Lay out the page.

    Args:
        content: What to say.
        drawings: SVG of each figure, by its title.
    """
    from markupsafe import Markup

    figures = [
        PageFigure(
            data=data,
            drawing=Markup(inline_svg(drawings[data.curve.title], name=f"curve{place}", title=data.curve.title)),
            place=place,
        )
        for place, data in enumerate(content.drawn)
    ]
    maps = [
        PageDrawing(
            title=found.title,
            caption=found.caption,
            drawing=Markup(inline_svg(drawings[found.title], name=f"map{place}", title=found.title)),
        )
        for place, found in enumerate(content.search_maps)
    ]
    pictures, left_out = choose_pictures(content.pictures)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            content=content,
            study=content.study,
            long=LONG,
            state=state_sentence(content),
            summary=summary_sentences(content),
            notes=Markup(_notes(content.study.notes)),
            forests={metric.name: build_forest(metric) for group in content.groups for metric in group.metrics},
            figures={kind: [one for one in figures if one.data.kind == kind] for kind in get_args(Kind)},
            maps=maps,
            plots=Markup(plots_json(content.drawn)),
            plotly=Markup(_plotly()) if figures else "",
            pictures=pictures,
            left_out=left_out,
            reading=" ".join(reading_sentences(content)).replace("`", ""),
            missing=missing_sentences(content),
            what_ran=what_ran(content),
            configuration=json.dumps(content.configuration, indent=2, ensure_ascii=False, default=str),
        )
    )


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ablate.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        duration=duration, head=metric_head, forest=build_effects, inlined=_inlined, seed_text=seed_text
    )
    return environment


def _plotly() -> str:
    """Give Plotly's own script, about 4.5 MB."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _inlined(picture: Picture) -> str:
    """Give a picture as an address that holds it; a drawing shown so runs no script and loads nothing."""
    return f"data:{picture.media_type};base64,{b64encode(picture.path.read_bytes()).decode()}"


def _notes(markdown: str) -> str:
    """Turn the author's notes into HTML; HTML inside them is shown as text."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("js-default").render(markdown)) if markdown.strip() else ""
