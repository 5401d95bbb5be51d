"""What a plan will cost and what it can show, from what earlier trials took and how far they spread."""

import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.analysis.resolvable import Resolvable
    from ablate.plan.model import Plan
    from ablate.run.estimate import Estimate
    from ablate.store import Store

_MOST_METRICS = 3


def time_needed(plan: "Plan", store: "Store", waiting: Collection[str], num_to_come: int = 0) -> "Estimate | None":
    """Estimate the time of the trials that wait, on this machine's CPUs, from finished trials of the same tasks.

    `num_to_come` trials of the study's own task come on top: a search has yet to propose them. Looks at the plan's own
    trials and at those of the study's last plan at this scale. `None` where none of these has finished.
    """
    from ablate.plan.file import places_of_last_plan
    from ablate.run.estimate import TimeLeft
    from ablate.trial import Status

    last = [
        spec for specs in places_of_last_plan(store.location, plan.study.name, plan.scale).values() for spec in specs
    ]
    tasks = {spec.id: spec.task for spec in (*last, *plan.specs.values())}
    left = TimeLeft()
    num_known = 0
    for trial_id, task in tasks.items():
        record = store.record(trial_id)
        if record is not None and record.status is Status.FINISHED:
            left.learn(task, record.run.own_seconds)
            num_known += 1
    if not (waiting or num_to_come) or not num_known:
        return None
    num_cpus = max([plan.study.resources.num_cpus, *(plan.specs[id_].resources.num_cpus for id_ in waiting)])
    num_slots = max(1, int(len(os.sched_getaffinity(0)) // num_cpus))
    tasks_left = [*(plan.specs[trial_id].task for trial_id in waiting), *[plan.study.task] * num_to_come]
    return left.estimate(tasks_left, [], num_slots=num_slots)


def resolvable_differences(plan: "Plan", store: "Store") -> dict[str, "Resolvable"]:
    """Say what the planned seeds can resolve, by metric, from the spread of this plan's results, else of the last's."""
    from ablate.analysis.contrasts import analyse
    from ablate.analysis.replication import reached
    from ablate.analysis.resolvable import resolvable
    from ablate.analysis.results import gather
    from ablate.errors import AblateError
    from ablate.plan.file import load_plan

    def found(one: "Plan") -> dict[str, "Resolvable"]:
        if not store.finished(one.specs):
            return {}
        return resolvable(analyse(gather(reached(one, store), store)), len(plan.seeds))

    here = found(plan)
    if here:
        return here
    try:
        last = load_plan(store.location, plan.study.name)
    except AblateError:
        return {}
    names = {metric.name for metric in plan.study.metrics}
    return {name: one for name, one in found(last).items() if name in names}


def time_line(estimate: "Estimate | None") -> str:
    """Say the time in one line, empty where nothing is known."""
    from ablate.run.estimate import duration

    if estimate is None:
        return "time: not known before a trial has finished"
    if estimate.num_unknown and not estimate.seconds:
        return f"time: not known for {estimate.num_unknown} trials of a new kind"
    more = f", and {estimate.num_unknown} trials of a kind not seen yet" if estimate.num_unknown else ""
    slots = f"{estimate.num_slots} at a time, as {estimate.num_known} earlier trials took"
    return f"time: about {duration(estimate.seconds)} ({slots}){more}"


def resolvable_lines(plan: "Plan", found: dict[str, "Resolvable"]) -> Iterator[str]:
    """Say what the seeds can resolve, for the first few metrics."""
    metrics = [metric for metric in plan.study.metrics if metric.name in found]
    for metric in metrics[:_MOST_METRICS]:
        one = found[metric.name]
        at_most = "at most " if plan.study.adaptive is not None else ""
        unit = "" if metric.unit == "1" else f" {metric.unit}"
        yield (
            f"{at_most}{len(plan.seeds)} seeds resolve {one.difference:.3g}{unit} on {metric.name} "
            f"(80 % power; differences of {one.basis_seeds} seeds spread by {one.sd:.3g})"
        )
    if len(metrics) > _MOST_METRICS:
        yield f"and so on for {len(metrics) - _MOST_METRICS} more metrics (`--json` has all)"
