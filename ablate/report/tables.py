"""A study's tables as text in cells, the same for Markdown, the HTML page and the terminal.

Metrics are grouped by what stands before the slash of their names (`multiview/mpjpe`), one main table per group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.analysis.contrasts import Analysis, Contrast
from ablate.analysis.published import Comparison
from ablate.report.numbers import decimals_for, fixed, interval, p_value, printed_decimals, seeds_text
from ablate.study.model import Metric

CONTRADICTED = "(!)"
"""Marks a published difference that the paper's own printed numbers give another sign than its claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCell:
    """One arm on one metric: our mean, its interval and sd, and the paper's value; empty text where there is none."""

    mean: str
    interval: str
    sd: str
    paper: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRow:
    """One arm of a main table; `n` is the number of seeds, or a range where metrics differ."""

    arm: str
    is_reference: bool
    n: str
    cells: tuple[ArmCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastRow:
    """One arm minus the reference on one metric, as text. `source` and `beside` keep the numbers for the figure."""

    arm: str
    difference: str
    interval: str
    p_holm: str
    verdict: str
    paper: str
    agreement: str
    ratio: str
    remark: str
    source: Contrast
    beside: Comparison | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTable:
    """One metric of a group: how it is headed, and its contrasts."""

    name: str
    short: str
    unit: str
    better: str
    has_paper: bool
    contrasts: tuple[ContrastRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The metrics that share a prefix: a main table and the contrasts of each metric."""

    title: str
    metrics: tuple[MetricTable, ...]
    rows: tuple[ArmRow, ...]

    @property
    def has_paper(self) -> bool:
        """Whether any metric stands beside a published column."""
        return any(metric.has_paper for metric in self.metrics)


def build_groups(analysis: Analysis, comparisons: Mapping[tuple[str, str], Comparison]) -> tuple[Group, ...]:
    """Lay out every metric of the study, in the study's order."""
    grouped: dict[str, list[Metric]] = {}
    for metric in analysis.results.study.metrics:
        prefix = metric.name.rpartition("/")[0]
        grouped.setdefault(prefix, []).append(metric)
    return tuple(
        Group(
            title=prefix.replace("_", " ") or "results",
            metrics=tuple(_metric_table(analysis, comparisons, metric) for metric in metrics),
            rows=_arm_rows(analysis, comparisons, metrics),
        )
        for prefix, metrics in grouped.items()
    )


def headline_metrics(groups: Sequence[Group], limit: int = 2) -> tuple[MetricTable, ...]:
    """Choose what a summary shows: the first metric of each group, then, in a study of one group, the next."""
    firsts = [group.metrics[0] for group in groups]
    rest = [metric for group in groups for metric in group.metrics[1:]]
    return tuple([*firsts, *rest][:limit])


def seed_counts(analysis: Analysis) -> str:
    """Give the number of seeds behind the table: `n = 3`, or a range where arms differ."""
    counts = [found.n for arms in analysis.estimates.values() for found in arms.values()]
    if not counts:
        return "n = 0"
    return f"n = {_span(counts)}"


def metric_head(metric: MetricTable) -> str:
    """Write `mpjpe [mm]`."""
    return f"{metric.short} [{metric.unit}]" if metric.unit else metric.short


def _metric_table(analysis: Analysis, comparisons: Mapping[tuple[str, str], Comparison], metric: Metric) -> MetricTable:
    contrasts = analysis.contrasts[metric.name]
    decimals = decimals_for([contrast.estimate for contrast in contrasts if contrast.estimate])
    beside = {contrast.arm: comparisons.get((metric.name, contrast.arm)) for contrast in contrasts}
    printed = _printed_decimals(comparisons, metric.name)
    return MetricTable(
        name=metric.name,
        short=metric.name.rpartition("/")[2],
        unit="" if metric.unit == "1" else metric.unit,
        better=metric.better,
        has_paper=any((metric.name, arm.name) in comparisons for arm in analysis.results.study.arms),
        contrasts=tuple(_contrast_row(contrast, beside[contrast.arm], decimals, printed) for contrast in contrasts),
    )


def _contrast_row(contrast: Contrast, beside: Comparison | None, decimals: int, printed: int) -> ContrastRow:
    found = contrast.estimate
    remarks = [contrast.note] if contrast.note else []
    if contrast.unpaired:
        remarks.append(f"seeds without a partner: {seeds_text(contrast.unpaired)}")
    if beside is not None and beside.contradicted:
        remarks.append(f"{CONTRADICTED} the paper's numbers contradict its claim")
    return ContrastRow(
        arm=contrast.arm,
        difference=fixed(found.mean, decimals, sign=True) if found else "",
        interval=interval(found, decimals, sign=True) if found else "",
        p_holm=p_value(contrast.p_holm),
        verdict=str(contrast.verdict),
        paper=_paper_delta(beside, printed),
        agreement=_agreement(beside),
        ratio=_ratio(beside),
        remark="; ".join(remarks),
        source=contrast,
        beside=beside,
    )


def _paper_delta(beside: Comparison | None, printed: int) -> str:
    if beside is None or beside.delta is None:
        return ""
    text = fixed(beside.delta, printed, sign=True)
    return f"{text} {CONTRADICTED}" if beside.contradicted else text


def _agreement(beside: Comparison | None) -> str:
    """Compare signs; what our interval does not decide is said to be open."""
    if beside is None or beside.same_sign is None:
        return ""
    word = "same sign" if beside.same_sign else "opposite sign"
    return word if beside.decided else f"{word} (open)"


def _ratio(beside: Comparison | None) -> str:
    return "" if beside is None or beside.ratio is None else fixed(beside.ratio, 2)


def _arm_rows(
    analysis: Analysis, comparisons: Mapping[tuple[str, str], Comparison], metrics: Sequence[Metric]
) -> tuple[ArmRow, ...]:
    study = analysis.results.study
    decimals = {metric.name: decimals_for(analysis.estimates[metric.name].values()) for metric in metrics}
    rows = []
    for arm in study.arms:
        counts = [found.n for metric in metrics if (found := analysis.estimates[metric.name].get(arm.name))]
        cells = [_arm_cell(analysis, comparisons, (metric.name, arm.name), decimals[metric.name]) for metric in metrics]
        rows.append(
            ArmRow(
                arm=arm.name,
                is_reference=arm.name == study.reference,
                n=_span(counts) if counts else "0",
                cells=tuple(cells),
            )
        )
    return tuple(rows)


def _arm_cell(
    analysis: Analysis, comparisons: Mapping[tuple[str, str], Comparison], place: tuple[str, str], decimals: int
) -> ArmCell:
    """Write the cell at `place`, a metric and an arm."""
    metric, arm = place
    found = analysis.estimates[metric].get(arm)
    beside = comparisons.get(place)
    printed = _printed_decimals(comparisons, metric)
    paper = "" if beside is None or beside.value is None else fixed(beside.value, printed)
    if found is None:
        return ArmCell(mean="missing", interval="", sd="", paper=paper)
    return ArmCell(
        mean=fixed(found.mean, decimals),
        interval=interval(found, decimals),
        sd="" if found.sd is None else fixed(found.sd, decimals),
        paper=paper,
    )


def _printed_decimals(comparisons: Mapping[tuple[str, str], Comparison], metric: str) -> int:
    values = [beside.value for (name, _), beside in comparisons.items() if name == metric]
    return printed_decimals(value for value in values if value is not None)


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
