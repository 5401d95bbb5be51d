"""What searches came to: what each arm's cost and found, what tuning changed, and how it moved the contrasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ablate.analysis.comparison import StudyComparison, compare_results
from ablate.analysis.contrasts import Analysis, Contrast, analyse
from ablate.analysis.importance import SearchImportance, measure_importance
from ablate.analysis.results import gather
from ablate.search.history import Entry, State, best, pareto
from ablate.search.ledger import Ledger
from ablate.search.model import Search
from ablate.store import Store

if TYPE_CHECKING:
    from ablate.plan.model import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """One search.

    Args:
        arm: The arm that it tuned.
        arms: The arms that were measured with what it found.
        entries: Its configurations, in their order.
        best: The one that won; `None` while none has a value.
        front: Numbers of those that no other beats on all objectives.
    """

    arm: str
    arms: tuple[str, ...]
    entries: tuple[Entry, ...]
    best: Entry | None
    front: tuple[int, ...]

    @property
    def own(self) -> tuple[Entry, ...]:
        """The configurations that its budget paid for."""
        return tuple(entry for entry in self.entries if not entry.is_warm)

    @property
    def seconds(self) -> float:
        """Work of its trials."""
        return sum(entry.seconds for entry in self.own)

    def count(self, state: State) -> int:
        """Count its configurations that stand so."""
        return sum(entry.state is state for entry in self.own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A contrast before and after tuning, both on the same test data and seeds."""

    metric: str
    arm: str
    untuned: Contrast
    tuned: Contrast


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnalysis:
    """All searches of a study, and what tuning changed.

    Args:
        search: What was searched.
        results: One for each search.
        gains: Tuned minus untuned, arm by arm, paired by seed; Holm's family is a metric's arms.
        untuned: The study's answer as it would be without tuning.
        moved: Every contrast, before and after.
        importance: How much each parameter matters, for each objective and search; empty where nobody asked.
    """

    search: Search
    results: tuple[SearchResult, ...]
    gains: StudyComparison
    untuned: Analysis
    moved: tuple[Moved, ...]
    importance: tuple[SearchImportance, ...] = ()

    def importance_of(self, arm: str, metric: str) -> SearchImportance | None:
        """Give how much the parameters of one search matter for one objective."""
        return next((one for one in self.importance if (one.arm, one.metric) == (arm, metric)), None)


def analyse_searches(
    plan: Plan, store: Store, tuned: Analysis, *, has_importance: bool = True
) -> SearchAnalysis | None:
    """Read the searches of a plan; `None` where it has none.

    Args:
        plan: The plan with all that was proposed.
        store: Holds the ledgers and records.
        tuned: The study's answer.
        has_importance: Whether to measure how much each parameter matters, which takes seconds.

    Raises:
        StoreError: A note or a record cannot be read.
    """
    search = plan.study.search
    if search is None or not plan.searches:
        return None
    untuned = analyse(gather(_untuned(plan), store))
    results = tuple(
        _result(search, one.arm, one.arms, Ledger(store, plan.study.name, one.key).entries()) for one in plan.searches
    )
    told = {result.arm: result.own for result in results}
    return SearchAnalysis(
        search=search,
        results=results,
        gains=compare_results(tuned.results, untuned.results, labels=("tuned", "untuned")),
        untuned=untuned,
        moved=tuple(_moved(untuned, tuned)),
        importance=measure_importance(search, told) if has_importance else (),
    )


def _result(search: Search, arm: str, arms: tuple[str, ...], entries: list[Entry]) -> SearchResult:
    own = [entry for entry in entries if not entry.is_warm]
    return SearchResult(
        arm=arm,
        arms=arms,
        entries=tuple(entries),
        best=best(search, entries),
        front=tuple(entry.number for entry in pareto(search, own)),
    )


def _untuned(plan: Plan) -> Plan:
    """Put the arms as they are in the place of the tuned ones."""
    kept = [trial for trial in plan.trials if trial.role in {"untuned", "stage"}]
    return replace(
        plan, trials=tuple(replace(trial, role="arm") if trial.role == "untuned" else trial for trial in kept)
    )


def _moved(untuned: Analysis, tuned: Analysis) -> Iterator[Moved]:
    for metric, contrasts in tuned.contrasts.items():
        for after in contrasts:
            before = untuned.contrast(metric, after.arm)
            if before is not None and before.estimate is not None and after.estimate is not None:
                yield Moved(metric=metric, arm=after.arm, untuned=before, tuned=after)
