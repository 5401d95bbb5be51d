"""What a report says in words, the same in Markdown and on the HTML page."""

from collections import Counter

from ablate.analysis.contrasts import Verdict
from ablate.analysis.published import PublishedTable
from ablate.analysis.results import Gap
from ablate.report.content import ReportContent
from ablate.report.numbers import seeds_text
from ablate.report.tables import (
    CONTRADICTED,
    NO_DIFFERENCE,
    ContrastRow,
    MetricTable,
    called,
    headline_metrics,
)

_MAX_SENTENCES = 12


def state_sentence(content: ReportContent) -> str:
    """Say whether all of the plan is in the numbers."""
    facts = content.facts
    if facts.num_finished == facts.num_trials:
        return f"All {facts.num_trials} trials finished."
    return f"{facts.num_finished} of {facts.num_trials} trials finished: see what is missing below."


def summary_sentences(content: ReportContent) -> dict[str, list[str]]:
    """Say the contrasts on the headline metrics in one sentence each, by metric; of very many, the decided first."""
    found = {}
    for metric in headline_metrics(content.groups):
        rows = metric.contrasts
        if len(rows) > _MAX_SENTENCES:
            rows = tuple(sorted(rows, key=lambda row: row.verdict not in ("better", "worse"))[:_MAX_SENTENCES])
        sentences = [_contrast_sentence(row, metric, _called(row, metric)) for row in rows]
        if len(rows) < len(metric.contrasts):
            sentences.append(f"In all: {verdict_line(metric)}; see the table for the others.")
        if sentences:
            found[metric.name] = sentences
    return found


def verdict_line(metric: MetricTable) -> str:
    """Count the verdicts: `3 of 7 worse, 4 undecided`."""
    counts = Counter(row.verdict for row in metric.contrasts)
    parts = [f"{counts[str(verdict)]} {verdict}" for verdict in Verdict if counts[str(verdict)]]
    if not parts:
        return "nothing to compare"
    first, *rest = parts
    number, _, word = first.partition(" ")
    return ", ".join([f"{number} of {len(metric.contrasts)} {word}", *rest])


def reading_sentences(content: ReportContent) -> list[str]:
    """Say how the numbers were made, only as far as they are there."""
    sentences = [content.directions]
    if content.is_deterministic:
        sentences.append(
            "Nothing is random, so that a difference is what it is: its sign decides, without interval or p; none at "
            "all, or one within the metric's margin, is equivalent."
        )
    else:
        sentences.append("Means are over seeds, with Student's t interval at 95 %.")
    if any(content.analysis.contrasts.values()) and not content.is_deterministic:
        sentences += [*_contrast_reading(content), *_verdict_reading(content)]
    if content.factors:
        sentences.append(
            "A factor's effect is the mean of the metric at the level minus that at the first level, over all other "
            "factors; an interaction is half the change of one factor's effect by the other; intervals are over "
            "seeds, p is Holm-adjusted over the effects on one metric."
        )
    if any(table_.shares for table_ in content.factors):
        sentences.append(
            "A Shapley share is what having a component on changes, averaged over all orders of switching components "
            "on; the shares add up to the whole change from everything off to everything on. Their intervals are the "
            "bootstrap's (BCa) where there are enough seeds."
        )
    if content.published is not None and content.comparisons:
        sentences += _paper_reading(content, content.published)
    return sentences


def _contrast_reading(content: ReportContent) -> list[str]:
    """Say what a difference and its interval are."""
    contrasts = [one for found in content.analysis.contrasts.values() for one in found]
    methods = {one.interval.method for one in contrasts if one.interval}
    reference = content.reference
    to = f"the reference ({reference})" if reference else "its own reference, which stands beside it,"
    sentences = [f"A difference is an arm minus {to} on the same seeds."]
    if "t" in methods:
        sentences.append("Its interval is Student's t at 95 %.")
    if "anytime" in methods:
        sentences.append(
            "Its interval is a confidence sequence: it holds at 95 % however often the results are looked at, so that "
            "seeds could be added until the answer was clear."
        )
    if any(one.bca for one in contrasts):
        sentences.append("The bootstrap's interval (BCa) is in `contrasts.csv` and `report.json`.")
    return sentences


def _verdict_reading(content: ReportContent) -> list[str]:
    """Say how the verdict follows, and from which p."""
    margins: dict[str, list[str]] = {}
    for metric in content.study.metrics:
        if metric.equivalent_within is not None:
            unit = "" if metric.unit == "1" else f" {metric.unit}"
            margins.setdefault(f"{metric.equivalent_within:g}{unit}", []).append(metric.name)
    anytime = content.study.adaptive is not None
    test = "p is valid at any number of looks," if anytime else "p is of the paired t test,"
    rule = "A verdict is better or worse where the adjusted p is below 0.05, else undecided;"
    if margins:
        every = len(content.study.metrics)
        said = [size if len(names) == every else f"{size} for {', '.join(names)}" for size, names in margins.items()]
        rule = (
            f"A verdict is equivalent where the whole interval lies within the margin of no practical difference "
            f"({'; '.join(said)}), else better or worse where the adjusted p is below 0.05, else undecided;"
        )
    sentences = [
        f"{rule} {test} Holm-adjusted over the study's contrasts on one metric, so that the chance "
        "of any false better or worse among them is 5 % at most."
    ]
    return sentences


def _paper_reading(content: ReportContent, published: PublishedTable) -> list[str]:
    sentences = [
        f"Paper: {published.paper} ({published.title}; data {published.dataset}), as printed and without intervals; "
        f"its difference is its arm minus its reference. Ours holds for {content.setting}: signs are compared, and "
        "open where ours is undecided."
    ]
    if any(beside.claim == "0" for beside in content.comparisons.values()):
        sentences.append(
            f"{NO_DIFFERENCE} marks what the paper counts as alike: ours is the same only if it is equivalent."
        )
    if any(beside.contradicted for beside in content.comparisons.values()):
        sentences.append(f"{CONTRADICTED} marks a difference whose print contradicts the paper's own claim.")
    return sentences


def missing_sentences(content: ReportContent) -> list[str]:
    """Name every trial without a result, every number a finished trial lacks, and every pair without a partner."""
    unfinished = content.facts.unfinished
    lines = [f"{one.label}: {one.reason} (log: trials/{one.trial_id}/log.txt)" for one in unfinished if one.has_run]
    waiting: dict[tuple[str, str], list[int | None]] = {}
    for one in unfinished:
        if not one.has_run:
            waiting.setdefault((one.name, one.reason), []).append(one.seed)
    lines += [f"{name}{_seeds_words(seeds)}: {reason}" for (name, reason), seeds in waiting.items()]
    lines += [_gap_sentence(gap) for gap in content.analysis.results.gaps if gap.metric]
    unpaired: dict[tuple[str, str, tuple[int | None, ...]], list[str]] = {}
    for metric, contrasts in content.analysis.contrasts.items():
        for contrast in contrasts:
            if contrast.unpaired:
                unpaired.setdefault((contrast.arm, contrast.reference, contrast.unpaired), []).append(metric)
    for (arm, reference, seeds), metrics in unpaired.items():
        where = "every metric" if len(metrics) == len(content.study.metrics) else ", ".join(metrics)
        lines.append(
            f"{arm} and {reference}: only one of the two has seed {seeds_text(seeds)}, which takes no part ({where})"
        )
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


def _seeds_words(seeds: list[int | None]) -> str:
    if seeds == [None]:
        return ""
    return f" seed{'s' if len(seeds) > 1 else ''} {seeds_text(seeds)}"


def _gap_sentence(gap: Gap) -> str:
    """Say one missing number: arm, seed, metric if it is one of several, and why."""
    who = gap.arm if gap.seed is None else f"{gap.arm} seed {gap.seed}"
    return f"{who}: {gap.metric}: {gap.reason}" if gap.metric else f"{who}: {gap.reason}"


def _called(row: ContrastRow, metric: MetricTable) -> str:
    """Name what a row is compared to; where rows differ in it, in full."""
    return called(row.reference) if metric.reference else row.reference


def _contrast_sentence(row: ContrastRow, metric: MetricTable, reference: str) -> str:
    if not row.difference:
        return f"{row.arm} cannot be compared to {reference}: {row.remark}."
    return f"{row.arm} {_verdict_words(row, reference)} {_size_words(row, metric)}."


def _verdict_words(row: ContrastRow, reference: str) -> str:
    if row.verdict == "undecided":
        return f"against {reference} is undecided,"
    return f"is {row.verdict} {'to' if row.verdict == 'equivalent' else 'than'} {reference},"


def _size_words(row: ContrastRow, metric: MetricTable) -> str:
    size = " ".join(part for part in (row.difference, metric.unit, row.interval) if part)
    if row.source.note:
        size += f" ({row.source.note})"
    if not row.paper:
        return size
    return f"{size}; the paper has {row.paper}{f', {row.agreement}' if row.agreement else ''}"
