"""What a report says of a study's search: budgets and findings, what tuning changed, and every configuration."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from ablate.analysis.comparison import ComparisonRow
from ablate.analysis.contrasts import Contrast, Verdict
from ablate.analysis.intervals import Estimate
from ablate.analysis.searches import Moved, SearchAnalysis, SearchResult
from ablate.plan.model import Plan
from ablate.plan.search_lines import budget_text, search_line
from ablate.report.importance import importance_sentences, importance_tables
from ablate.report.numbers import decimals_for, duration, fixed, interval, p_value, seeds_text
from ablate.report.search_text import TextTable, setting_text, settings_text, short_names
from ablate.report.tables import shown
from ablate.search.history import Entry, State
from ablate.study.model import Metric, Study

LONGEST = 50
"""Configurations of a search that the Markdown report lists; `report.json` has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSection:
    """The section on a search.

    Args:
        sentences: What was done, in words.
        tables: Budgets and findings, gains, moved contrasts.
        importance: How much each parameter matters, a table for each objective.
        trials: The configurations, a table for each search.
    """

    sentences: tuple[str, ...]
    tables: tuple[TextTable, ...]
    importance: tuple[TextTable, ...]
    trials: tuple[TextTable, ...]


def build_search(plan: Plan, found: SearchAnalysis | None) -> SearchSection | None:
    """Lay out what a search came to; `None` without one."""
    if found is None:
        return None
    tables = [_fairness(found, plan.study), *_gains(found, plan.study), *_moved(found, plan.study)]
    return SearchSection(
        sentences=tuple(_sentences(plan, found)),
        tables=tuple(tables),
        importance=tuple(importance_tables(found)),
        trials=tuple(_trials(found, result) for result in found.results if result.entries),
    )


def _sentences(plan: Plan, found: SearchAnalysis) -> Iterator[str]:
    search = found.search
    yield f"Search by {search_line(plan).removeprefix('search: ')}."
    fresh = f"fresh seeds {seeds_text(plan.seeds)}" if plan.seeds else "the task, which takes no seed,"
    plural = "s" * (len(search.seeds) > 1)
    seeds = f"seed{plural} {seeds_text(search.seeds)} of validation data" if plan.seeds else "validation data"
    yield f"Settings were chosen on {seeds}; the tables show what won, run with {fresh} on test data, and nothing else."
    budgets = {(len(result.own), budget_text(search.budget)) for result in found.results}
    if search.per == "arm" and len(budgets) == 1:
        yield f"Every arm had the same budget ({budget_text(search.budget)}), space and sampler seed."
    elif search.per == "arm":
        yield "The arms have not spent the same so far, so that their contrasts are not fair yet."
    num_failed = sum(result.count(State.FAILED) for result in found.results)
    if num_failed:
        yield f"{num_failed} configurations failed; the sampler was told so."
    yield from importance_sentences(found)


def _fairness(found: SearchAnalysis, study: Study) -> TextTable:
    """Say what each arm's search cost and found."""
    metrics = [f"{one.metric} (validation)" for one in found.search.objectives]
    names = short_names(parameter.key for parameter in found.search.space)
    rows = []
    for result in found.results:
        counts = [f"{result.count(state)} {state}" for state in (State.FAILED, State.PRUNED) if result.count(state)]
        number = f"{len(result.own)} ({', '.join(counts)})" if counts else str(len(result.own))
        best = result.best
        values = [f"{value:.4g}" for value in best.values or ()] if best else ["none"] * len(metrics)
        name = result.arm if result.arms == (result.arm,) else f"{result.arm} (for all arms)"
        rows.append((name, settings_text(best, names) if best else "", number, duration(result.seconds), *values))
    return TextTable(
        title="What each search cost and found",
        head=("arm", "best settings", "configurations", "work", *metrics),
        rows=tuple(rows),
        caption="Work is wall time inside the workers, added up, stages included. The value is the mean over the "
        "search's seeds, on validation data: of many, the best one looks better than it is, so that only the tables "
        "say how good it is.",
        num_text=2,
    )


def _gains(found: SearchAnalysis, study: Study) -> Iterator[TextTable]:
    """Say what tuning changed, arm by arm."""
    by_metric: dict[str, list[ComparisonRow]] = {}
    for row in found.gains.rows:
        if row.a is not None and row.b is not None:
            by_metric.setdefault(_metric(row.metric), []).append(row)
    if by_metric:
        yield TextTable(
            title="Tuned against untuned",
            head=("metric", "arm", "verdict", "untuned", "tuned", "difference", "95 % interval", "p (Holm)"),
            rows=tuple(chain.from_iterable(_gain_rows(name, rows) for name, rows in by_metric.items())),
            caption="Tuned minus untuned on the same fresh seeds and test data, paired by seed; p is Holm-adjusted "
            "over the arms on one metric.",
            num_text=3,
        )


def _gain_rows(name: str, rows: Sequence[ComparisonRow]) -> Iterator[tuple[str, ...]]:
    """Lay out one metric, each column with decimals of its own."""
    sides = decimals_for(side for row in rows for side in (row.a, row.b) if side is not None)
    decimals = decimals_for(_difference(row) for row in rows)
    for row in rows:
        assert row.a is not None
        assert row.b is not None
        change = _difference(row)
        values = (fixed(row.b.mean, sides), fixed(row.a.mean, sides), fixed(change.mean, decimals, sign=True))
        yield (name, row.arm, str(row.verdict), *values, interval(change, decimals, sign=True), p_value(row.p_holm))
        name = ""


def _difference(row: ComparisonRow) -> Estimate:
    assert row.difference is not None
    span = row.interval
    return Estimate(n=row.n, mean=row.difference, low=span.low if span else None, high=span.high if span else None)


def _moved(found: SearchAnalysis, study: Study) -> Iterator[TextTable]:
    """Say how tuning moved the contrasts."""
    metrics = {metric.name: metric for metric in study.metrics}
    by_metric: dict[str, list[Moved]] = {}
    for one in found.moved:
        by_metric.setdefault(_metric(metrics[one.metric]), []).append(one)
    if by_metric:
        changed = sum(one.untuned.verdict != one.tuned.verdict for one in found.moved)
        turned = sum(_is_turned(one.untuned, one.tuned) for one in found.moved)
        yield TextTable(
            title="How tuning moved the contrasts",
            head=("metric", "arm", "verdict", "untuned difference", "interval", "tuned difference", "interval"),
            rows=tuple(chain.from_iterable(_moved_rows(name, rows) for name, rows in by_metric.items())),
            caption=f"Arm minus its reference, before and after both were tuned. {changed} of {len(found.moved)} "
            f"verdicts changed; {turned} turned round.",
            num_text=3,
        )


def _moved_rows(name: str, rows: Sequence[Moved]) -> Iterator[tuple[str, ...]]:
    """Lay out one metric, all its differences with the same decimals."""
    sides = [(one, shown(one.untuned), shown(one.tuned)) for one in rows]
    decimals = decimals_for(side for _, *both in sides for side in both if side is not None)
    for one, *both in sides:
        before, after = one.untuned.verdict, one.tuned.verdict
        verdict = f"{before} -> {after}" if before != after else str(after)
        cells = chain.from_iterable(_signed(side, decimals) for side in both)
        yield (name, one.arm, verdict, *cells)
        name = ""


def _signed(found: Estimate | None, decimals: int) -> tuple[str, str]:
    return (fixed(found.mean, decimals, sign=True), interval(found, decimals, sign=True)) if found else ("", "")


def _is_turned(before: Contrast, after: Contrast) -> bool:
    return {before.verdict, after.verdict} == {Verdict.BETTER, Verdict.WORSE}


def _metric(metric: Metric) -> str:
    return metric.name if metric.unit == "1" else f"{metric.name} [{metric.unit}]"


def _trials(found: SearchAnalysis, result: SearchResult) -> TextTable:
    """List the configurations of a search; of many, the best and the last."""
    names = short_names(parameter.key for parameter in found.search.space)
    metrics = [objective.metric for objective in found.search.objectives]
    rows = [_row(entry, names, result) for entry in _shown(found, result)]
    left_out = len(result.entries) - len(rows)
    more = f" {left_out} more are in `report.json`." if left_out else ""
    return TextTable(
        title=f"Configurations of {result.arm}",
        head=("#", "state", *names.values(), *metrics, "work"),
        rows=tuple(rows),
        caption=f"In the order of proposals, values on validation data; `best` won.{more}",
        num_text=2,
        is_long=True,
    )


def _shown(found: SearchAnalysis, result: SearchResult) -> Sequence[Entry]:
    if len(result.entries) <= LONGEST:
        return result.entries
    signs = 1.0 if found.search.objectives[0].better == "lower" else -1.0
    told = [entry for entry in result.entries if entry.values]
    chosen = sorted(told, key=lambda entry: signs * (entry.values or (0.0,))[0])[:LONGEST]
    return sorted(chosen, key=lambda entry: entry.number)


def _row(entry: Entry, names: Mapping[str, str], result: SearchResult) -> tuple[str, ...]:
    state = "best" if result.best is not None and entry.number == result.best.number else str(entry.state)
    state += f" ({entry.origin})" if entry.origin else f": {entry.reason}" if entry.reason else ""
    values = [setting_text(entry.parameters[key]) if key in entry.parameters else "" for key in names]
    found = [f"{value:.4g}" for value in entry.values or ()]
    return (str(entry.number), state, *values, *(found or [""]), duration(entry.seconds))
