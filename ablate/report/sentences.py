"""What a report says in words, the same in Markdown and on the HTML page."""

from ablate.analysis.results import Gap
from ablate.report.content import ReportContent
from ablate.report.numbers import seeds_text
from ablate.report.tables import CONTRADICTED, ContrastRow, MetricTable, headline_metrics


def state_sentence(content: ReportContent) -> str:
    """Say whether all of the plan is in the numbers."""
    facts = content.facts
    if facts.num_finished == facts.num_trials:
        return f"All {facts.num_trials} trials finished."
    return f"{facts.num_finished} of {facts.num_trials} trials finished: see what is missing below."


def summary_sentences(content: ReportContent) -> dict[str, list[str]]:
    """Say each contrast on the headline metrics in one sentence, by metric."""
    found = {}
    for metric in headline_metrics(content.groups):
        if metric.contrasts:
            found[metric.name] = [_contrast_sentence(row, metric, content.study.reference) for row in metric.contrasts]
    return found


def reading_sentences(content: ReportContent) -> list[str]:
    """Say how the numbers were made, only as far as they are there."""
    sentences = [content.directions, "Means are over seeds, with Student's t interval at 95 %."]
    if any(content.analysis.contrasts.values()):
        sentences += [
            "A difference is an arm minus the reference on the same seeds; its verdict is decided where the interval",
            "excludes zero. p is of the paired t test, Holm-adjusted over the study's contrasts on one metric;",
            "the verdict looks at one contrast, the adjusted p at all of them.",
        ]
    if content.published is not None and content.comparisons:
        table_ = content.published
        sentences += [
            f"Paper: {table_.paper} ({table_.title}; data {table_.dataset}), as printed and without intervals; its",
            "difference is its arm minus its reference. Agreement is of signs, and open where ours is undecided.",
        ]
        if any(beside.contradicted for beside in content.comparisons.values()):
            sentences.append(f"{CONTRADICTED} marks a difference whose print contradicts the paper's own claim.")
    return sentences


def missing_sentences(content: ReportContent) -> list[str]:
    """Name every trial without a result, every number a finished trial lacks, and every pair without a partner."""
    lines = [f"{one.label}: {one.reason} (log: trials/{one.trial_id}/log.txt)" for one in content.facts.unfinished]
    lines += [_gap_sentence(gap) for gap in content.analysis.results.gaps if gap.metric]
    unpaired: dict[tuple[str, tuple[int | None, ...]], list[str]] = {}
    for metric, contrasts in content.analysis.contrasts.items():
        for contrast in contrasts:
            if contrast.unpaired:
                unpaired.setdefault((contrast.arm, contrast.unpaired), []).append(metric)
    for (arm, seeds), metrics in unpaired.items():
        where = "every metric" if len(metrics) == len(content.study.metrics) else ", ".join(metrics)
        pair = f"{arm} and {content.study.reference}"
        lines.append(f"{pair}: only one of the two has seed {seeds_text(seeds)}, which takes no part ({where})")
    return lines


def what_ran(content: ReportContent) -> dict[str, str]:
    """Give versions, code, machines and time, as text by name; several values where records differ."""
    facts = content.facts
    found = {
        "versions": ", ".join(f"{name} {' and '.join(versions)}" for name, versions in facts.versions.items()),
        **{f"code of `{task}`": " and ".join(prints) for task, prints in facts.code.items()},
        "machines": ", ".join(facts.hosts),
        "time": f"{facts.first[:19]} to {facts.last[:19]} UTC" if facts.first else "",
    }
    return {name: text for name, text in found.items() if text}


def _gap_sentence(gap: Gap) -> str:
    """Say one missing number: arm, seed, metric if it is one of several, and why."""
    who = gap.arm if gap.seed is None else f"{gap.arm} seed {gap.seed}"
    return f"{who}: {gap.metric}: {gap.reason}" if gap.metric else f"{who}: {gap.reason}"


def _contrast_sentence(row: ContrastRow, metric: MetricTable, reference: str) -> str:
    if not row.difference:
        return f"{row.arm} cannot be compared to {reference}: {row.remark}."
    return f"{row.arm} {_verdict_words(row, reference)} {_size_words(row, metric)}."


def _verdict_words(row: ContrastRow, reference: str) -> str:
    if row.verdict == "undecided":
        return f"against {reference} is undecided,"
    return f"is {row.verdict} than {reference},"


def _size_words(row: ContrastRow, metric: MetricTable) -> str:
    size = " ".join(part for part in (row.difference, metric.unit, row.interval) if part)
    if row.source.note:
        size += f" ({row.source.note})"
    if not row.paper:
        return size
    return f"{size}; the paper has {row.paper}{f', {row.agreement}' if row.agreement else ''}"
