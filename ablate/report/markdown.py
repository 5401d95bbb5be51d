"""The report in Markdown: complete without any other file but the curves' figures."""

import json
from collections.abc import Iterable, Mapping, Sequence

from ablate.report.content import ReportContent
from ablate.report.numbers import duration
from ablate.report.sentences import missing_sentences, reading_sentences, state_sentence, summary_sentences, what_ran
from ablate.report.tables import ArmCell, Group, metric_head


def render_markdown(content: ReportContent, figures: Mapping[str, str]) -> str:
    """Lay out a report.

    Args:
        content: What to say.
        figures: Link of the drawing of each curve, by the curve's title, relative to the report.
    """
    study = content.study
    parts = [
        f"# {study.title}",
        f"Study `{study.name}`: {content.setting}; {content.replication}. {state_sentence(content)}",
        _summary(content),
        f"## Notes\n\n{study.notes.strip()}" if study.notes.strip() else "",
        *(_group(content, group) for group in content.groups),
        _reading(content),
        _figures(content, figures),
        _missing(content),
        _cost(content),
        _what_ran(content),
        f"## Configuration of the reference arm\n\n```json\n{_json(content.configuration)}\n```",
        f"## The study file\n\n```yaml\n{study.source.rstrip()}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def render_result_table(content: ReportContent) -> str:
    """Give the main tables alone, for the description of the study's MLflow run."""
    head = f"**{content.study.title}**: {content.setting}; {content.replication}. {state_sentence(content)}"
    return "\n\n".join([head, *(_main_table(content, group) for group in content.groups)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, num_text: int = 1) -> str:
    """Write a pipe table, padded so that it reads as plain text too; the first `num_text` columns are left-aligned."""
    cells = [[_escaped(cell) for cell in row] for row in (head, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(head))]
    rule = ["-" * width if column < num_text else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    padded = [
        [
            cell.ljust(width) if column < num_text else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])


def _summary(content: ReportContent) -> str:
    found = summary_sentences(content)
    parts = [f"**{name}**\n\n" + "\n".join(f"- {sentence}" for sentence in found[name]) for name in found]
    return "\n\n".join(["## In short", *parts]) if parts else ""


def _group(content: ReportContent, group: Group) -> str:
    parts = [f"## {group.title.capitalize()}", _main_table(content, group)]
    if any(metric.contrasts for metric in group.metrics):
        parts += [f"### {group.title.capitalize()}: paired differences", _contrast_table(content, group)]
    return "\n\n".join(parts)


def _main_table(content: ReportContent, group: Group) -> str:
    head = ["arm", "n"]
    for metric in group.metrics:
        head += [metric_head(metric), *(["paper"] if metric.has_paper else [])]
    rows = []
    for row in group.rows:
        cells = [f"**{row.arm}** (reference)" if row.is_reference and len(group.rows) > 1 else row.arm, row.n]
        for metric, cell in zip(group.metrics, row.cells, strict=True):
            cells += [_cell(cell), *([cell.paper] if metric.has_paper else [])]
        rows.append(cells)
    caption = f"*{group.title.capitalize()}: mean [95 % interval] sd. {content.setting}; {content.replication}.*"
    return f"{table(head, rows)}\n\n{caption}"


def _contrast_table(content: ReportContent, group: Group) -> str:
    head = ["metric", "arm", "difference", "95 % interval", "p (Holm)", "verdict"]
    head += ["paper", "agreement", "ours / paper"] if group.has_paper else []
    rows = []
    for metric in group.metrics:
        for index, row in enumerate(metric.contrasts):
            verdict = row.verdict if row.verdict == "undecided" else f"**{row.verdict}**"
            verdict += f" ({row.source.note})" if row.source.note else ""
            cells = [metric_head(metric) if index == 0 else "", row.arm, row.difference, row.interval]
            cells += [row.p_holm, verdict, *([row.paper, row.agreement, row.ratio] if group.has_paper else [])]
            rows.append(cells)
    reference = content.study.reference
    caption = f"*{group.title.capitalize()}: arm minus {reference}, paired by seed. {content.setting}; "
    return f"{table(head, rows, num_text=2)}\n\n{caption}{content.replication}.*"


def _reading(content: ReportContent) -> str:
    return "## How to read the tables\n\n" + " ".join(reading_sentences(content))


def _figures(content: ReportContent, figures: Mapping[str, str]) -> str:
    drawn = [data for data in content.curves if data.curve.title in figures]
    if not drawn:
        return ""
    parts = ["## Curves"]
    for data in drawn:
        title = data.curve.title
        parts.append(f"![{title}]({figures[title]})\n\n*{data.caption} {content.setting}; {content.replication}.*")
    return "\n\n".join(parts)


def _missing(content: ReportContent) -> str:
    lines = missing_sentences(content)
    return "## Missing\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""


def _cost(content: ReportContent) -> str:
    facts = content.facts
    rows = [[cost.role, cost.name, str(cost.num_trials), duration(cost.seconds)] for cost in facts.costs]
    rows.append(["total", "", str(facts.num_trials), duration(facts.seconds)])
    note = "Wall time inside the workers, added up; trials that ran side by side count each."
    return f"## Cost\n\n{table(['role', 'name', 'trials', 'time'], rows, num_text=2)}\n\n*{note}*"


def _what_ran(content: ReportContent) -> str:
    return "## What ran\n\n" + "\n".join(f"- {name}: {text}" for name, text in what_ran(content).items())


def _cell(cell: ArmCell) -> str:
    return " ".join(part for part in (cell.mean, cell.interval, f"sd {cell.sd}" if cell.sd else "") if part)


def _json(configuration: Mapping[str, object]) -> str:
    return json.dumps(configuration, indent=2, ensure_ascii=False, default=str)


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|").replace("\n", " ")
