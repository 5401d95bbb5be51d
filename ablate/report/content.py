"""Everything a report says, gathered once; the formats only lay it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.analysis.contrasts import Analysis, analyse
from ablate.analysis.effects import FactorEffects, factor_effects
from ablate.analysis.published import Comparison, PublishedTable, compare, published_table
from ablate.analysis.replication import reached
from ablate.analysis.results import gather
from ablate.analysis.searches import SearchAnalysis, analyse_searches
from ablate.analysis.shapley import Attribution, shapley_values
from ablate.plan.model import Plan
from ablate.report.curves import CurveData, gather_curves
from ablate.report.factors import FactorTable, build_factors
from ablate.report.facts import Facts, gather_facts
from ablate.report.numbers import seeds_text
from ablate.report.paper import PaperTables, build_paper
from ablate.report.pictures import PictureRow, gather_pictures
from ablate.report.search import SearchSection, build_search
from ablate.report.search_curves import gather_search_curves
from ablate.report.search_maps import SearchMap, gather_search_maps
from ablate.report.sweeps import gather_cells, gather_sweeps
from ablate.report.tables import Group, build_groups, seed_counts, shared_reference
from ablate.store import Record, Store
from ablate.study.model import Study
from ablate.trial import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """A study's answer and all that a reader needs to judge it.

    Args:
        analysis: Estimates and contrasts.
        published: The paper's table, where the study names one.
        comparisons: Ours beside the paper's, by metric and arm.
        groups: The tables.
        curves: What the study file asks to draw over steps.
        facts: Cost, versions, what is unfinished.
        configuration: Of the reference arm.
        paper: The paper beside ours, laid out.
        effects: Of a factorial design's factors, by metric.
        shares: Shapley attribution of its components, by metric.
        factors: The two, laid out.
        sweeps: Metrics over the levels of a sweep.
        cells: Means by level of pairs of factors.
        pictures: What the arms' trials saved.
        searches: What the study's searches came to, where it has any.
        search: The same, laid out.
        search_curves: The same, drawn.
        search_maps: The configurations of each search, drawn.
    """

    analysis: Analysis
    published: PublishedTable | None
    comparisons: Mapping[tuple[str, str], Comparison]
    groups: tuple[Group, ...]
    curves: tuple[CurveData, ...]
    facts: Facts
    configuration: Mapping[str, Json]
    paper: PaperTables | None = None
    effects: Mapping[str, FactorEffects] = field(default_factory=dict)
    shares: Mapping[str, tuple[Attribution, ...]] = field(default_factory=dict)
    factors: tuple[FactorTable, ...] = ()
    sweeps: tuple[CurveData, ...] = ()
    cells: tuple[CurveData, ...] = ()
    pictures: tuple[PictureRow, ...] = ()
    searches: SearchAnalysis | None = None
    search: SearchSection | None = None
    search_curves: tuple[CurveData, ...] = ()
    search_maps: tuple[SearchMap, ...] = ()

    @property
    def study(self) -> Study:
        """The study reported on."""
        return self.analysis.results.study

    @property
    def reference(self) -> str | None:
        """What all arms are compared to, `None` where they have references of their own."""
        return shared_reference(self.study)

    @property
    def drawn(self) -> tuple[CurveData, ...]:
        """Every figure that has points, in the order of the report."""
        return tuple(data for data in (*self.search_curves, *self.cells, *self.sweeps, *self.curves) if data.has_points)

    @property
    def setting(self) -> str:
        """What every number holds for, said in every caption: scale, base, changes of the command line."""
        study = self.study
        parts = [f"{self.analysis.results.scale} scale", *study.base]
        if study.overrides:
            parts.append(f"command line: {' '.join(study.overrides)}")
        return ", ".join(parts)

    @property
    def is_deterministic(self) -> bool:
        """Whether nothing is random: the task takes no seed."""
        results = self.analysis.results
        seeds = [seed for arm in results.arms for values in arm.values.values() for seed in values]
        return all(seed is None for seed in seeds) if seeds else not results.seeds

    @property
    def replication(self) -> str:
        """How many seeds, and which were planned."""
        results, adaptive = self.analysis.results, self.study.adaptive
        if self.is_deterministic:
            return f"{seed_counts(self.analysis)}, the task takes no seed"
        if adaptive is None:
            return f"{seed_counts(self.analysis)}, seeds {seeds_text(results.seeds)}"
        used = sum(trial.status == "finished" for trial in self.facts.arm_trials)
        return (
            f"{seed_counts(self.analysis)}, adaptive within {adaptive.min} to {adaptive.max} seeds per arm, "
            f"{used} of at most {len(self.facts.arm_trials)} trials used"
        )

    @property
    def caption(self) -> str:
        """What stands under every table and figure: setting and replication."""
        text = f"{self.setting}; {self.replication}."
        return text[0].upper() + text[1:]

    @property
    def directions(self) -> str:
        """Which way each metric is better, in one sentence."""
        better = {metric.better for metric in self.study.metrics}
        if len(better) == 1:
            return f"{better.pop().capitalize()} is better."
        higher = [metric.name for metric in self.study.metrics if metric.better == "higher"]
        return f"Lower is better, but higher for {', '.join(higher)}."


class _ReadOnce(Store):
    """The store with every record read once: facts, results and replication all ask for them."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.location)
        self._records: dict[str, Record | None] = {}

    def record(self, trial_id: str) -> Record | None:
        """Give the record of the last attempt that ended, as it was when first asked for."""
        if trial_id not in self._records:
            self._records[trial_id] = super().record(trial_id)
        return self._records[trial_id]


def gather_content(plan: Plan, store: Store, *, has_importance: bool = True) -> ReportContent:
    """Read the store and the published numbers, and analyse.

    Args:
        plan: What was planned.
        store: What was measured.
        has_importance: Whether to measure how much a search's parameters matter, which takes seconds.

    Raises:
        StudyError: The study names a published table, row or column that does not exist.
        StoreError: A record cannot be read.
    """
    once = _ReadOnce(store)
    records = {trial_id: once.record(trial_id) for trial_id in plan.specs}
    asked = reached(plan, once)
    analysis = analyse(gather(asked, once))
    comparisons, published = compare(analysis), published_table(plan.study)
    groups = build_groups(analysis, comparisons)
    searches = analyse_searches(plan, once, analysis, has_importance=has_importance)
    effects, shares = factor_effects(analysis.results), shapley_values(analysis.results)
    return ReportContent(
        analysis=analysis,
        published=published,
        comparisons=comparisons,
        groups=groups,
        curves=gather_curves(plan, once),
        facts=gather_facts(plan, records, asked.specs),
        configuration=plan.configuration,
        paper=build_paper(analysis, published, comparisons, groups),
        effects=effects,
        shares=shares,
        factors=build_factors(effects, shares, groups),
        sweeps=gather_sweeps(analysis),
        cells=gather_cells(analysis, effects),
        pictures=gather_pictures(plan, once, records),
        searches=searches,
        search=build_search(plan, searches),
        search_curves=gather_search_curves(plan.study, searches),
        search_maps=gather_search_maps(plan.study, searches),
    )
