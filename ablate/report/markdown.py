"""The report in Markdown: complete without any other file but the curves' figures."""

import json
from collections.abc import Iterable, Mapping, Sequence

from ablate.report.content import ReportContent
from ablate.report.factors import FactorTable
from ablate.report.numbers import duration, seed_text
from ablate.report.sentences import missing_sentences, reading_sentences, state_sentence, summary_sentences, what_ran
from ablate.report.tables import ArmCell, Group, called, metric_head


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
        _search(content, figures),
        _paper(content),
        *(_factors(content, found) for found in content.factors),
        _figures(content, figures),
        _pictures(content),
        _reading(content),
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
    caption = f"*{group.title.capitalize()}: mean [95 % interval] sd. {content.caption}*"
    return f"{table(head, rows)}\n\n{caption}"


def _contrast_table(content: ReportContent, group: Group) -> str:
    reference = content.reference
    head = ["metric", "arm", *([] if reference else ["against"]), "difference", "95 % interval", "p (Holm)", "verdict"]
    rows = []
    for metric in group.metrics:
        for index, row in enumerate(metric.contrasts):
            verdict = row.verdict if row.verdict == "undecided" else f"**{row.verdict}**"
            verdict += f" ({row.source.note})" if row.source.note else ""
            cells = [metric_head(metric) if index == 0 else "", row.arm, *([] if reference else [row.reference])]
            rows.append([*cells, row.difference, row.interval, row.p_holm, verdict])
    versus = called(reference) if reference else "the arm it is against"
    caption = f"*{group.title.capitalize()}: arm minus {versus}, paired by seed. "
    return f"{table(head, rows, num_text=2 if reference else 3)}\n\n{caption}{content.caption}*"


def _paper(content: ReportContent) -> str:
    """Lay out the published numbers beside ours, and the rows of the paper's table that have no arm."""
    paper = content.paper
    if paper is None:
        return ""
    head = ["metric", "arm", "paper", "ours", "paper's difference", "our difference", "verdict", "agreement"]
    rows = [
        [
            metric_head(found.metric, name=found.metric.name) if index == 0 else "",
            row.arm,
            *(row.value, row.ours, row.paper_difference, row.difference, row.verdict, row.agreement, row.ratio),
        ]
        for found in paper.metrics
        for index, row in enumerate(found.rows)
    ]
    ours = f"{content.setting}; {content.replication}"
    parts = [
        "## Paper beside ours",
        table([*head, "ours / paper"], rows, num_text=2),
        f"*{paper.table.paper}: {paper.table.title}, data {paper.table.dataset}. Ours: {ours}.*",
    ]
    if paper.others:
        head = ["row of the paper without an arm", "", *(found.column for found in paper.metrics)]
        parts += ["Never run:", table(head, [[row.row, row.reason, *row.values] for row in paper.others], num_text=2)]
    return "\n\n".join(parts)


def _search(content: ReportContent, figures: Mapping[str, str]) -> str:
    """Lay out what a search cost and found, what tuning changed, and every configuration."""
    search = content.search
    if search is None:
        return ""
    parts = ["## Search", " ".join(search.sentences)]
    for found in search.tables:
        parts += [f"### {found.title}", table(found.head, found.rows, num_text=found.num_text), f"*{found.caption}*"]
    parts += _drawn(content, figures, search=True)
    for found in search.importance:
        parts += [f"### {found.title}", table(found.head, found.rows, num_text=found.num_text), f"*{found.caption}*"]
    parts += [
        f"![{one.title}]({figures[one.title]})\n\n*{one.caption} At {content.setting}.*"
        for one in content.search_maps
        if one.title in figures
    ]
    for found in search.trials:
        parts += [f"### {found.title}", table(found.head, found.rows, num_text=found.num_text), f"*{found.caption}*"]
    return "\n\n".join(parts)


def _factors(content: ReportContent, found: FactorTable) -> str:
    """Lay out effects, analysis of variance and Shapley shares of one metric."""
    metric = found.metric
    parts = [f"## Factors: {metric.name}"]
    if found.effects:
        effects = [[row.label, row.size, row.interval, row.p_holm] for row in found.effects]
        parts += [
            table(["effect", metric_head(metric), "95 % interval", "p (Holm)"], effects),
            f"*Effects on {metric.name}. {content.caption}*",
        ]
    if found.anova:
        lines = [[row.term, row.df, row.sum_sq, row.f, row.p] for row in found.anova]
        parts += [
            table(["term", "df", "sum of squares", "F", "p"], lines),
            f"*Analysis of variance of {metric.name}, seeds as blocks, type III. {content.caption}*",
        ]
    if found.shares:
        shares = [[row.label, row.size, row.interval] for row in found.shares]
        shares.append(["all on against all off", found.total, ""])
        parts += [
            table(["component", metric_head(metric), "95 % interval"], shares),
            f"*Shapley shares of {metric.name}. {content.caption}*",
        ]
    return "\n\n".join([*parts, *found.notes])


def _pictures(content: ReportContent) -> str:
    lines = [f"- {row.name}: {len(row.pictures)} arms, at {seed_text(row.seed)}" for row in content.pictures]
    return "\n\n".join(["## Pictures", "They are on the HTML page.", "\n".join(lines)]) if lines else ""


def _reading(content: ReportContent) -> str:
    return "## How to read the tables\n\n" + " ".join(reading_sentences(content))


def _figures(content: ReportContent, figures: Mapping[str, str]) -> str:
    drawn = _drawn(content, figures, search=False)
    return "\n\n".join(["## Curves", *drawn]) if drawn else ""


def _drawn(content: ReportContent, figures: Mapping[str, str], *, search: bool) -> list[str]:
    """Link the figures of the search, or all the others."""
    return [
        f"![{data.curve.title}]({figures[data.curve.title]})\n\n*{data.caption} {content.caption}*"
        for data in content.drawn
        if data.curve.title in figures and (data.kind == "search") is search
    ]


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
