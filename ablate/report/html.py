"""The report as one HTML page that needs no network: figures, style and the study file are inside."""

import json
from collections.abc import Mapping

from ablate.report.content import ReportContent
from ablate.report.figures import inline_svg
from ablate.report.forest import build_forest
from ablate.report.numbers import duration
from ablate.report.sentences import missing_sentences, reading_sentences, state_sentence, summary_sentences, what_ran
from ablate.report.tables import metric_head


def render_html(content: ReportContent, drawings: Mapping[str, str]) -> str:
    """Lay out the page.

    Args:
        content: What to say.
        drawings: SVG of each curve, by the curve's title.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("ablate.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(duration=duration, head=metric_head)
    inlined = {
        title: Markup(inline_svg(svg, name=f"curve{index}", title=title))
        for index, (title, svg) in enumerate(drawings.items())
    }
    return environment.get_template("report.html.j2").render(
        content=content,
        study=content.study,
        state=state_sentence(content),
        summary=summary_sentences(content),
        notes=Markup(_notes(content.study.notes)),
        forests={metric.name: build_forest(metric) for group in content.groups for metric in group.metrics},
        reading=" ".join(reading_sentences(content)),
        drawings=inlined,
        missing=missing_sentences(content),
        what_ran=what_ran(content),
        configuration=json.dumps(content.configuration, indent=2, ensure_ascii=False, default=str),
    )


def _notes(markdown: str) -> str:
    """Turn the author's notes into HTML; HTML inside them is shown as text."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("js-default").render(markdown)) if markdown.strip() else ""
