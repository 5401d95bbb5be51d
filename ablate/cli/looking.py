"""`status`: how far a study has come, answered at once and without the heavy libraries."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from ablate.cli.output import JsonOption, print_json
from ablate.cli.places import StoreOption, StudyName, named, shown
from ablate.errors import ExitCode

if TYPE_CHECKING:
    from ablate.plan.model import Plan, PlannedTrial
    from ablate.run.summary import RunSummary
    from ablate.store import Store


def status(study: StudyName, store: StoreOption = None, as_json: JsonOption = False) -> ExitCode:
    """Say how far the last plan of a study has come."""
    from ablate.plan.file import load_plan
    from ablate.plan.grown import num_to_come
    from ablate.plan.search_lines import search_lines
    from ablate.run.lease import driver_line, working_driver
    from ablate.run.summary import summarise
    from ablate.store import Store

    meant = named(study, store)
    planned = load_plan(meant.store, meant.name)
    trials = Store(meant.store)
    plan = asked_so_far(planned, trials)
    finished = trials.finished(plan.specs)
    summary = summarise(plan, trials, finished)
    to_come = num_to_come(plan, trials)
    summary = replace(summary, num_interrupted=summary.num_interrupted + to_come)
    driver = working_driver(trials.location, meant.name)
    if as_json:
        print_json(status_content(plan, finished, summary) | {"version": planned.version, "driver": driver})
        return ExitCode.DONE
    print(f"{plan.study.name}: {plan.study.title} ({plan.scale} scale, version {planned.version})")
    print(*columns((name, f"{done}/{total}") for name, (done, total) in _progress(plan, finished).items()), sep="\n")
    adaptive = plan.study.adaptive
    if adaptive is not None:
        num_seeds = f"{adaptive.min} to {adaptive.max} seeds, until decided on {adaptive.metric}"
        print(f"{num_seeds}: {len(plan.specs)} of at most {len(planned.specs)} trials asked for so far")
    if plan.searches:
        print(*search_lines(plan, trials), sep="\n")
    counts = {
        "finished": summary.num_cached,
        "failed": summary.num_failed,
        "never started, because what they need failed": summary.num_unreachable,
        "pruned": summary.num_pruned,
        "running or still to run": summary.num_interrupted,
    }
    print("; ".join(f"{number} {state}" for state, number in counts.items() if number))
    if driver is not None:
        print(driver_line(driver))
    for failure in summary.failures:
        print(f"FAILED {failure.label}: {failure.reason}; log: {shown(failure.log)}")
    return ExitCode.DONE


def asked_so_far(plan: "Plan", store: "Store") -> "Plan":
    """Leave out of a plan what results have not asked for; without adaptive replication nothing heavy is loaded."""
    if plan.study.adaptive is None:
        return plan
    from ablate.analysis.replication import reached

    return reached(plan, store)


def status_content(plan: "Plan", finished: set[str], summary: "RunSummary") -> dict[str, object]:
    """Give what `status` knows, for programs."""
    return {
        "study": plan.study.name,
        "title": plan.study.title,
        "scale": plan.scale,
        "progress": {
            name: {"num_finished": done, "num_trials": total}
            for name, (done, total) in _progress(plan, finished).items()
        },
        "num_trials": len(plan.specs),
        "num_finished": summary.num_cached,
        "num_failed": summary.num_failed,
        "num_unreachable": summary.num_unreachable,
        "num_pruned": summary.num_pruned,
        "num_left": summary.num_interrupted,
        "failures": summary.failures,
    }


def columns(rows: Iterable[Iterable[str]]) -> list[str]:
    """Align the cells of each row under each other; the last one is left as it is."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _progress(plan: "Plan", finished: set[str]) -> dict[str, tuple[int, int]]:
    """Count the finished trials and all trials of each stage, arm and search."""

    def name(trial: "PlannedTrial") -> str:
        return {"search": f"{trial.group} (search)", "untuned": f"{trial.name} (untuned)"}.get(trial.role, trial.name)

    done = Counter(name(trial) for trial in plan.trials if trial.spec.id in finished)
    total = Counter(name(trial) for trial in plan.trials)
    return {name: (done[name], total[name]) for name in total}
