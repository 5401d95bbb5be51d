"""The paper beside ours as text: the rows that arms map to, and the rest of the paper's table, which never ran."""

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.analysis.contrasts import Analysis
from ablate.analysis.published import Comparison, PublishedTable
from ablate.report.numbers import fixed, printed_decimals
from ablate.report.tables import Group, MetricTable

QUOTED = "quoted by the paper from others, never run"
NOT_RUN = "the paper's own, not run here"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperRow:
    """One arm beside its row of the paper: values, differences to the reference, and how they agree."""

    arm: str
    row: str
    value: str
    ours: str
    paper_difference: str
    difference: str
    verdict: str
    agreement: str
    ratio: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperMetric:
    """One metric beside a column of the paper's table."""

    metric: MetricTable
    column: str
    rows: tuple[PaperRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRow:
    """A row of the paper's table without an arm: its values in the columns that the study maps to, and why."""

    row: str
    reason: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTables:
    """Everything that stands beside one published table."""

    table: PublishedTable
    metrics: tuple[PaperMetric, ...]
    others: tuple[OtherRow, ...]


def build_paper(
    analysis: Analysis,
    table: PublishedTable | None,
    comparisons: Mapping[tuple[str, str], Comparison],
    groups: tuple[Group, ...],
) -> PaperTables | None:
    """Lay out the paper beside ours; nothing for a study whose arms or metrics map to no table."""
    if table is None or not comparisons:
        return None
    columns = {metric.name: metric.paper for metric in analysis.results.study.metrics if metric.paper}
    metrics = tuple(
        PaperMetric(
            metric=metric,
            column=columns[metric.name],
            rows=_rows(analysis, comparisons, group, index),
        )
        for group in groups
        for index, metric in enumerate(group.metrics)
        if metric.has_paper
    )
    return PaperTables(table=table, metrics=metrics, others=_others(analysis, table, list(columns.values())))


def _rows(
    analysis: Analysis, comparisons: Mapping[tuple[str, str], Comparison], group: Group, index: int
) -> tuple[PaperRow, ...]:
    metric = group.metrics[index]
    contrasts = {row.arm: row for row in metric.contrasts}
    rows = []
    for arm in group.rows:
        beside = comparisons.get((metric.name, arm.arm))
        if beside is None:
            continue
        cell, contrast = arm.cells[index], contrasts.get(arm.arm)
        rows.append(
            PaperRow(
                arm=arm.arm,
                row=beside.row,
                value=cell.paper,
                ours=cell.mean,
                paper_difference=contrast.paper if contrast else "",
                difference=contrast.difference if contrast else "",
                verdict=contrast.verdict if contrast and contrast.difference else "",
                agreement=beside.agreement,
                ratio=contrast.ratio if contrast else "",
            )
        )
    return tuple(rows)


def _others(analysis: Analysis, table: PublishedTable, columns: list[str]) -> tuple[OtherRow, ...]:
    """List the rows that no arm maps to and that print a number in a column of ours."""
    mapped = {arm.paper for arm in analysis.results.study.arms}
    decimals = {
        column: printed_decimals(value for row in table.values.values() if (value := row.get(column)) is not None)
        for column in columns
    }
    return tuple(
        OtherRow(
            row=name,
            reason=QUOTED if name in table.quoted else NOT_RUN,
            values=tuple(_printed(values.get(column), decimals[column]) for column in columns),
        )
        for name, values in table.values.items()
        if name not in mapped and any(values.get(column) is not None for column in columns)
    )


def _printed(value: float | None, decimals: int) -> str:
    return "" if value is None else fixed(value, decimals)
