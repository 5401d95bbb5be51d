"""`report --fail-on`: what a study's answer must not be, for continuous integration."""

from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.errors import Fault, StudyError
from ablate.wording import expected_one_of

if TYPE_CHECKING:
    from ablate.analysis.contrasts import Analysis


class Condition(StrEnum):
    """A verdict of any contrast, or numbers that are not there."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"
    MISSING = "missing"
    FAILED = "failed"


FailOnOption = Annotated[
    list[Condition] | None,
    typer.Option(
        "--fail-on",
        metavar="WHAT",
        help="One of better, worse, equivalent, undecided, missing, failed: exit with 5 if a contrast has that "
        "verdict, any number is missing, or any trial failed; repeatable.",
        show_default=False,
    ),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME", help="Metrics that --fail-on looks at; by default all.", show_default=False
    ),
]


def check_metrics(analysis: "Analysis", metrics: Collection[str]) -> None:
    """Refuse a metric that the study does not have.

    Raises:
        StudyError: Names each with the nearest right one.
    """
    known = [metric.name for metric in analysis.results.study.metrics]
    faults = [
        Fault(message=f"--metric: no metric is called '{name}'; {expected_one_of(name, known)}")
        for name in metrics
        if name not in known
    ]
    if faults:
        raise StudyError(faults)


def unmet(analysis: "Analysis", conditions: Collection[Condition], metrics: Collection[str] = ()) -> list[str]:
    """Say which conditions hold, one sentence each, with the contrasts or the trials by name.

    Args:
        analysis: The study's answer.
        conditions: What must not be.
        metrics: Metrics to look at, all where it is empty; a whole trial that is missing counts for any metric.
    """
    looked_at = metrics or [metric.name for metric in analysis.results.study.metrics]
    sentences: list[str] = []
    for condition in dict.fromkeys(conditions):
        found = list(dict.fromkeys(_found(analysis, condition, looked_at)))
        if found:
            sentences.append(f"--fail-on {condition}: {'; '.join(found)}")
    return sentences


def _found(analysis: "Analysis", condition: Condition, metrics: Collection[str]) -> Iterator[str]:
    if condition in (Condition.MISSING, Condition.FAILED):
        for gap in analysis.results.gaps:
            is_meant = gap.metric is None or gap.metric in metrics
            if is_meant and (condition is Condition.MISSING or gap.reason.startswith(Condition.FAILED)):
                seed = "" if gap.seed is None else f" seed {gap.seed}"
                metric = f" on {gap.metric}" if gap.metric else ""
                yield f"{gap.arm}{seed}{metric} ({gap.reason})"
        return
    for metric in metrics:
        for contrast in analysis.contrasts[metric]:
            if contrast.verdict.value == condition.value:
                size = "" if contrast.estimate is None else f" ({contrast.estimate.mean:+.4g})"
                yield f"{contrast.arm} against {contrast.reference} on {metric}{size}"
