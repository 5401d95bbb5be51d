"""Writes a study's reports: Markdown, LaTeX, CSV, JSON and one HTML page, all from the same content."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.plan.model import Plan
from ablate.report.content import ReportContent, gather_content
from ablate.report.exports import contrasts_csv, report_json, results_csv, summary_json
from ablate.report.latex import TABLE_FILE, render_document, render_table
from ablate.report.markdown import render_markdown, render_result_table
from ablate.store import Store
from ablate.store.files import replacing
from ablate.trial import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFiles:
    """What was written, and the result table in Markdown for whoever shows it elsewhere.

    Args:
        markdown: `report.md`.
        html: `report.html`, one page that needs no other file.
        latex: `report.tex`, a document around `table.tex`.
        latex_table: `table.tex`, to be read into a paper.
        results: `results.csv`, a row per arm, metric and seed.
        contrasts: `contrasts.csv`, a row per contrast and metric.
        data: `report.json`, everything as numbers.
        summary: `summary.json`, what a list of studies shows.
        figures: SVG files that the Markdown links.
        result_table: The main tables in Markdown.
        content: What all of them say.
    """

    markdown: Path
    html: Path
    latex: Path
    latex_table: Path
    results: Path
    contrasts: Path
    data: Path
    summary: Path
    figures: tuple[Path, ...]
    result_table: str
    content: ReportContent

    @property
    def files(self) -> tuple[Path, ...]:
        """All that belongs beside the study's runs in MLflow; the summary is the store's own."""
        tables = (self.latex, self.latex_table, self.results, self.contrasts, self.data)
        return (self.markdown, self.html, *tables, *self.figures)


def write_report(plan: Plan, store: Store) -> ReportFiles:
    """Write every format into the study's folder of the store; those that `ReportFiles` lists.

    Raises:
        StudyError: The study names a published table, row or column that does not exist.
        StoreError: A record cannot be read, or a report cannot be written.
    """
    from ablate.report.html import render_html

    content = gather_content(plan, store)
    drawings = _drawings(content)
    folder = store.root / "studies" / plan.study.name
    markdown, figures = _write_markdown(content, drawings, folder / "report.md", figures=folder / "figures")
    written = ReportFiles(
        markdown=markdown,
        html=_write(folder / "report.html", render_html(content, drawings)),
        latex=_write(folder / "report.tex", render_document(content)),
        latex_table=_write(folder / TABLE_FILE, render_table(content)),
        results=_write(folder / "results.csv", results_csv(content)),
        contrasts=_write(folder / "contrasts.csv", contrasts_csv(content)),
        data=_write(folder / "report.json", _json(report_json(content, plan))),
        summary=_write(folder / "summary.json", _json(summary_json(content))),
        figures=figures,
        result_table=render_result_table(content),
        content=content,
    )
    for path in (*written.files, written.summary):
        store.publish(path)
    return written


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
    """Draw every figure, by its title; matplotlib stays unloaded where there is none."""
    if not content.drawn and not content.search_maps:
        return {}
    from ablate.report.figures import draw
    from ablate.report.map_figures import draw_map

    maps = {found.title: draw_map(found) for found in content.search_maps}
    return {data.curve.title: draw(data) for data in content.drawn} | maps


def _write_markdown(
    content: ReportContent, drawings: Mapping[str, str], path: Path, *, figures: Path
) -> tuple[Path, tuple[Path, ...]]:
    files: dict[str, Path] = {}
    for title, drawing in drawings.items():
        file = figures / f"{_slug(title)}.svg"
        if file in files.values():
            file = figures / f"{_slug(title)}_{len(files)}.svg"
        files[title] = _write(file, drawing)
    links = {title: file.relative_to(path.parent).as_posix() for title, file in files.items()}
    return _write(path, render_markdown(content, links)), tuple(files.values())


def _json(content: Mapping[str, Json]) -> str:
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False, default=str) + "\n"


def _write(path: Path, text: str) -> Path:
    with replacing(path) as file:
        file.write(text.encode())
    return path


def _slug(title: str) -> str:
    """Make a file name of a title."""
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_") or "curve"
