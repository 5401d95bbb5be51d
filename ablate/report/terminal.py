"""The end of a run on the terminal: the headline metrics of every arm in a table of at most 100 columns."""

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from ablate.analysis.contrasts import Analysis, Verdict
from ablate.analysis.intervals import Estimate
from ablate.analysis.published import Comparison
from ablate.report.numbers import decimals_for, fixed
from ablate.report.tables import (
    ArmRow,
    ContrastRow,
    Group,
    MetricTable,
    build_groups,
    headline_metrics,
    seed_counts,
    shared_reference,
)

_COLOURS = {
    str(Verdict.BETTER): "green",
    str(Verdict.WORSE): "red",
    str(Verdict.EQUIVALENT): "cyan",
    str(Verdict.UNDECIDED): "dim",
}
_ARM_WIDTH = 34


def summary_table(analysis: Analysis, comparisons: Mapping[tuple[str, str], Comparison] | None = None) -> Table:
    """Lay out each arm's headline metrics, and what the contrast to the reference says.

    Args:
        analysis: The study's answer.
        comparisons: From `published.compare`; adds the paper's difference.
    """
    groups = build_groups(analysis, comparisons or {})
    metrics = headline_metrics(groups)
    results = analysis.results
    title = f"{results.study.title}\n{results.scale} scale, {seed_counts(analysis)}"
    table = Table(title=title, title_justify="left", caption=_caption(analysis, groups), caption_justify="left")
    table.add_column("arm", max_width=_ARM_WIDTH, overflow="fold")
    for metric in metrics:
        unit = f" [{metric.unit}]" if metric.unit else ""
        table.add_column(Text(f"{metric.name}{unit}"), justify="right", overflow="fold")
        if metric.contrasts:
            table.add_column(Text("difference"), justify="right", overflow="fold")
    found = [({row.arm: row for row in metric.contrasts}, metric) for metric in metrics]
    for row in groups[0].rows if groups else ():
        table.add_row(_arm(row), *(cell for rows, metric in found for cell in _cells(analysis, metric, rows, row.arm)))
    return table


def _arm(row: ArmRow) -> Text:
    return Text(row.arm, style="bold" if row.is_reference else "")


def _cells(analysis: Analysis, metric: MetricTable, rows: Mapping[str, ContrastRow], arm: str) -> list[Text]:
    estimates = analysis.estimates[metric.name]
    found = estimates.get(arm)
    cells = [Text(_mean(found, decimals_for(estimates.values()))) if found else Text("missing", style="yellow")]
    if not metric.contrasts:
        return cells
    row = rows.get(arm)
    if row is None:
        return [*cells, Text("reference", style="dim")]
    paper = "" if metric.reference else f"\nto {row.reference}"
    paper += f"\npaper {row.paper}" if row.paper else ""
    said = Text(f"{row.difference} {row.verdict}" if row.difference else row.source.note, style=_COLOURS[row.verdict])
    return [*cells, said.append(paper, style="dim")]


def _mean(found: Estimate, decimals: int) -> str:
    if found.low is None:
        return fixed(found.mean, decimals)
    return f"{fixed(found.mean, decimals)} +- {fixed(found.mean - found.low, decimals)}"


def _caption(analysis: Analysis, groups: tuple[Group, ...]) -> str:
    caption = "mean +- half of the 95 % interval"
    if any(metric.contrasts for group in groups for metric in group.metrics):
        reference = shared_reference(analysis.results.study) or "each arm's own reference"
        caption += f"; difference to {reference}, paired by seed, verdict by Holm-adjusted p"
        if any(metric.equivalent_within is not None for metric in analysis.results.study.metrics):
            caption += " and margin of equivalence"
    return caption
