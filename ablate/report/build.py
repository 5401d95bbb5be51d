"""Writes a study's reports: Markdown with its figures beside it, and one HTML page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.plan.model import Plan
from ablate.report.content import ReportContent, gather_content
from ablate.report.markdown import render_markdown, render_result_table
from ablate.store import Store
from ablate.store.files import replacing


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFiles:
    """What was written, and the result table in Markdown for whoever shows it elsewhere."""

    markdown: Path
    html: Path
    figures: tuple[Path, ...]
    result_table: str
    content: ReportContent


def write_report(plan: Plan, store: Store) -> ReportFiles:
    """Write `report.md`, `report.html` and `figures/` into the study's folder of the store.

    Raises:
        StudyError: The study names a published table, row or column that does not exist.
        StoreError: A record cannot be read, or a report cannot be written.
    """
    from ablate.report.html import render_html

    content = gather_content(plan, store)
    drawings = _drawings(content)
    folder = store.root / "studies" / plan.study.name
    markdown, figures = _write_markdown(content, drawings, folder / "report.md", figures=folder / "figures")
    html = folder / "report.html"
    _write(html, render_html(content, drawings))
    return ReportFiles(
        markdown=markdown,
        html=html,
        figures=figures,
        result_table=render_result_table(content),
        content=content,
    )


def write_markdown(plan: Plan, store: Store, path: Path) -> tuple[Path, ...]:
    """Write the Markdown report alone, to be kept with the code; its figures go to a folder named like it.

    Returns:
        The report and its figures.

    Raises:
        StudyError: The study names a published table, row or column that does not exist.
        StoreError: A record cannot be read, or the report cannot be written.
    """
    content = gather_content(plan, store)
    report, figures = _write_markdown(content, _drawings(content), path, figures=path.with_suffix(""))
    return (report, *figures)


def _drawings(content: ReportContent) -> dict[str, str]:
    """Draw every curve that has points, by its title; matplotlib stays unloaded where there is none."""
    drawn = [data for data in content.curves if data.has_points]
    if not drawn:
        return {}
    from ablate.report.figures import draw

    return {data.curve.title: draw(data) for data in drawn}


def _write_markdown(
    content: ReportContent, drawings: Mapping[str, str], path: Path, *, figures: Path
) -> tuple[Path, tuple[Path, ...]]:
    files = {title: figures / f"{_slug(title)}.svg" for title in drawings}
    for title, file in files.items():
        _write(file, drawings[title])
    links = {title: file.relative_to(path.parent).as_posix() for title, file in files.items()}
    _write(path, render_markdown(content, links))
    return path, tuple(files.values())


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


def _slug(title: str) -> str:
    """Make a file name of a title."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "curve"
