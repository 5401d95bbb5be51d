"""A study's tables as text in cells, the same for Markdown, the HTML page and the terminal.

Metrics are grouped by what stands before the slash of their names (`multiview/mpjpe`), one main table per group.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ablate.analysis.contrasts import Analysis, Contrast
from ablate.analysis.intervals import Estimate
from ablate.analysis.published import Comparison
from ablate.report.numbers import decimals_for, fixed, interval, p_value, printed_decimals, seeds_text
from ablate.study.model import Metric, Study

CONTRADICTED = "(!)"
"""Marks a published difference that the paper's own printed numbers give another sign than its claim."""

_LONG_NAME = 34

NO_DIFFERENCE = "(no difference)"
"""Marks a published difference that the paper itself counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCell:
    """One arm on one metric: our mean, its interval, half of it, sd, the paper's value; empty where there is none."""

    mean: str
    interval: str
    half: str
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
    """One arm minus its reference on one metric, as text. `source` and `beside` keep the numbers for the figure."""

    arm: str
    reference: str
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
    """One metric of a group: how it is headed, and its contrasts.

    `reference` is what all of them are compared to, `None` where each row has its own.
    """

    name: str
    short: str
    unit: str
    better: str
    has_paper: bool
    reference: str | None
    contrasts: tuple[ContrastRow, ...]

    @property
    def versus(self) -> str:
        """What the differences are to, in words."""
        return called(self.reference) if self.reference else "the arm's own reference"


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


def shared_reference(study: Study) -> str | None:
    """Give the arm that every compared arm is compared to, or nothing where they differ."""
    found = references(study)
    return found.pop() if len(found) == 1 else None


def called(reference: str) -> str:
    """Name a reference in running text: one of a long name, as designs make them, is `the reference`."""
    return reference if len(reference) <= _LONG_NAME else "the reference"


def references(study: Study) -> set[str]:
    """Give the arms that others are compared to."""
    pairs = {(arm.name, arm.against or study.reference) for arm in study.arms}
    return {reference for arm, reference in pairs if arm != reference} or {study.reference}


def seed_counts(analysis: Analysis) -> str:
    """Give the number of seeds behind the table: `n = 3`, or a range where arms differ."""
    counts = [found.n for arms in analysis.estimates.values() for found in arms.values()]
    return f"n = {_span(counts)}" if counts else "n = 0"


def shown(contrast: Contrast) -> Estimate | None:
    """Give the mean of a contrast with the interval that its verdict goes with, which need not be Student's."""
    found = contrast.estimate
    if found is None or contrast.interval is None:
        return found if found is None else replace(found, low=None, high=None)
    return replace(found, low=contrast.interval.low, high=contrast.interval.high)


def metric_head(metric: MetricTable, *, name: str = "") -> str:
    """Write `mpjpe [mm]`, or another name with the unit."""
    return f"{name or metric.short} [{metric.unit}]" if metric.unit else name or metric.short


def _metric_table(analysis: Analysis, comparisons: Mapping[tuple[str, str], Comparison], metric: Metric) -> MetricTable:
    contrasts = analysis.contrasts[metric.name]
    decimals = decimals_for([found for contrast in contrasts if (found := shown(contrast))])
    beside = {contrast.arm: comparisons.get((metric.name, contrast.arm)) for contrast in contrasts}
    printed = _printed_decimals(comparisons, metric)
    return MetricTable(
        name=metric.name,
        short=metric.name.rpartition("/")[2],
        unit="" if metric.unit == "1" else metric.unit,
        better=metric.better,
        has_paper=any((metric.name, arm.name) in comparisons for arm in analysis.results.study.arms),
        reference=shared_reference(analysis.results.study),
        contrasts=tuple(_contrast_row(contrast, beside[contrast.arm], decimals, printed) for contrast in contrasts),
    )


def _contrast_row(contrast: Contrast, beside: Comparison | None, decimals: int, printed: int) -> ContrastRow:
    found = shown(contrast)
    remarks = [contrast.note] if contrast.note else []
    if contrast.unpaired:
        remarks.append(f"seeds without a partner: {seeds_text(contrast.unpaired)}")
    if beside is not None and beside.contradicted:
        remarks.append(f"{CONTRADICTED} the paper's numbers contradict its claim")
    return ContrastRow(
        arm=contrast.arm,
        reference=contrast.reference,
        difference=fixed(found.mean, decimals, sign=True) if found else "",
        interval=interval(found, decimals, sign=True) if found else "",
        p_holm=p_value(contrast.p_holm),
        verdict=str(contrast.verdict),
        paper=_paper_delta(beside, printed),
        agreement=beside.agreement if beside else "",
        ratio="" if beside is None or beside.ratio is None else fixed(beside.ratio, 2),
        remark="; ".join(remarks),
        source=contrast,
        beside=beside,
    )


def _paper_delta(beside: Comparison | None, printed: int) -> str:
    if beside is None or beside.delta is None:
        return ""
    marks = [NO_DIFFERENCE] if beside.claim == "0" else []
    marks += [CONTRADICTED] if beside.contradicted else []
    return " ".join([fixed(beside.delta, printed, sign=True), *marks])


def _arm_rows(
    analysis: Analysis, comparisons: Mapping[tuple[str, str], Comparison], metrics: Sequence[Metric]
) -> tuple[ArmRow, ...]:
    study = analysis.results.study
    compared_to = references(study)
    styles = {
        metric.name: (decimals_for(analysis.estimates[metric.name].values()), _printed_decimals(comparisons, metric))
        for metric in metrics
    }
    rows = []
    for arm in study.arms:
        counts = [found.n for metric in metrics if (found := analysis.estimates[metric.name].get(arm.name))]
        cells = [_arm_cell(analysis, comparisons, (metric.name, arm.name), styles[metric.name]) for metric in metrics]
        rows.append(
            ArmRow(
                arm=arm.name,
                is_reference=arm.name in compared_to,
                n=_span(counts) if counts else "0",
                cells=tuple(cells),
            )
        )
    return tuple(rows)


def _arm_cell(
    analysis: Analysis,
    comparisons: Mapping[tuple[str, str], Comparison],
    place: tuple[str, str],
    style: tuple[int, int],
) -> ArmCell:
    """Write the cell at `place`, a metric and an arm; `style` holds the decimals of ours and of the paper's."""
    metric, arm = place
    decimals, printed = style
    found = analysis.estimates[metric].get(arm)
    beside = comparisons.get(place)
    paper = "" if beside is None or beside.value is None else fixed(beside.value, printed)
    if found is None:
        return ArmCell(mean="missing", interval="", half="", sd="", paper=paper)
    return ArmCell(
        mean=fixed(found.mean, decimals),
        interval=interval(found, decimals),
        half="" if found.low is None else fixed(found.mean - found.low, decimals),
        sd="" if found.sd is None else fixed(found.sd, decimals),
        paper=paper,
    )


def _printed_decimals(comparisons: Mapping[tuple[str, str], Comparison], metric: Metric) -> int:
    if metric.paper is None:
        return 0
    values = [beside.value for (name, _), beside in comparisons.items() if name == metric.name]
    return printed_decimals(value for value in values if value is not None)


def _span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
