"""Everything a report says, gathered once; the Markdown and the HTML page only lay it out."""

from collections.abc import Mapping
from dataclasses import dataclass

from ablate.analysis.contrasts import Analysis, analyse
from ablate.analysis.published import Comparison, PublishedTable, compare, published_table
from ablate.analysis.results import gather
from ablate.plan.model import Plan
from ablate.report.curves import CurveData, gather_curves
from ablate.report.facts import Facts, gather_facts
from ablate.report.numbers import seeds_text
from ablate.report.tables import Group, build_groups, seed_counts
from ablate.store import Store
from ablate.study.model import Study
from ablate.trial import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """A study's answer and all that a reader needs to judge it."""

    analysis: Analysis
    published: PublishedTable | None
    comparisons: Mapping[tuple[str, str], Comparison]
    groups: tuple[Group, ...]
    curves: tuple[CurveData, ...]
    facts: Facts
    configuration: Mapping[str, Json]

    @property
    def study(self) -> Study:
        """The study reported on."""
        return self.analysis.results.study

    @property
    def setting(self) -> str:
        """What every number holds for, said in every caption: scale, base, changes of the command line."""
        study = self.study
        parts = [f"{self.analysis.results.scale} scale", *study.base]
        if study.overrides:
            parts.append(f"command line: {' '.join(study.overrides)}")
        return ", ".join(parts)

    @property
    def replication(self) -> str:
        """How many seeds, and which were planned."""
        results = self.analysis.results
        if all(seed is None for arm in results.arms for values in arm.values.values() for seed in values):
            return f"{seed_counts(self.analysis)}, the task takes no seed"
        return f"{seed_counts(self.analysis)}, seeds {seeds_text(results.seeds)}"

    @property
    def directions(self) -> str:
        """Which way each metric is better, in one sentence."""
        better = {metric.better for metric in self.study.metrics}
        if len(better) == 1:
            return f"{better.pop().capitalize()} is better."
        higher = [metric.name for metric in self.study.metrics if metric.better == "higher"]
        return f"Lower is better, but higher for {', '.join(higher)}."


def gather_content(plan: Plan, store: Store) -> ReportContent:
    """Read the store and the published numbers, and analyse.

    Raises:
        StudyError: The study names a published table, row or column that does not exist.
        StoreError: A record cannot be read.
    """
    analysis = analyse(gather(plan, store))
    comparisons = compare(analysis)
    return ReportContent(
        analysis=analysis,
        published=published_table(plan.study),
        comparisons=comparisons,
        groups=build_groups(analysis, comparisons),
        curves=gather_curves(plan, store),
        facts=gather_facts(plan, store),
        configuration=plan.configuration,
    )
