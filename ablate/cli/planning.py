"""`check` and `plan`: what a study would do, without starting anything."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.foresight import resolvable_differences, resolvable_lines, time_line, time_needed
from ablate.cli.looking import asked_so_far
from ablate.cli.output import JsonOption, print_json
from ablate.cli.places import Overrides, StoreOption, StudyFile, make_importable, store_location
from ablate.errors import ExitCode, Fault, StudyError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ablate.plan.causes import Reason
    from ablate.plan.model import Plan
    from ablate.store import Store
    from ablate.study.model import Study

MANY_TRIALS = 1000

YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help=f"Do not ask before a plan of more than {MANY_TRIALS:,} trials.")
]
TrialsOption = Annotated[bool, typer.Option("--trials", help="One line for each trial, with its id.")]


def check(study: StudyFile, overrides: Overrides = None, as_json: JsonOption = False) -> ExitCode:
    """Read a study and list all that is wrong with it."""
    found = make_plan(study, overrides or [], yes=True)
    if as_json:
        print_json(_head(found))
        return ExitCode.DONE
    seeds = f"{len(found.seeds)} seed{'s' * (len(found.seeds) != 1)}" if found.seeds else "without seeds"
    more = f", and {num_search_trials(found.study)} of the search" if found.searches else ""
    arms = f"{len(found.study.arms)} arm{'s' * (len(found.study.arms) != 1)}"
    print(f"{study}: right: {len(found.specs)} trials{more}, {arms}, {seeds}")
    return ExitCode.DONE


def plan(
    study: StudyFile,
    overrides: Overrides = None,
    *,
    trials: TrialsOption = False,
    yes: YesOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Say what a run would do and why, and what is done already."""
    from ablate.plan.describe import describe, trial_lines
    from ablate.plan.grown import grown, num_to_come
    from ablate.plan.reasons import reasons
    from ablate.store import Store

    kept = Store(store_location(store, study.parent))
    found = grown(make_plan(study, overrides or [], yes=yes), kept)
    to_come = num_to_come(found, kept)
    finished = kept.finished(found.specs)
    why = reasons(found, kept, finished)
    asked = asked_now(found, kept)
    waiting = [trial_id for trial_id in asked if trial_id not in finished]
    estimate = time_needed(found, kept, waiting, to_come)
    resolved = resolvable_differences(found, kept)
    if as_json:
        work = _work(found, finished, waiting, why)
        print_json(_head(found) | work | {"time": estimate, "resolvable": resolved, "num_to_come": to_come})
        return ExitCode.DONE
    print(*describe(found, finished, why, asked=asked), sep="\n")
    if waiting or to_come:
        print(time_line(estimate))
    for line in (*resolvable_lines(found, resolved), *(trial_lines(found, why) if trials else ())):
        print(line)
    return ExitCode.DONE


def asked_now(plan: "Plan", store: "Store") -> list[str]:
    """Give the ids of the trials that run or ran, in order: all, but where results decide how many seeds there are."""
    return list(asked_so_far(plan, store).specs)


def _work(
    plan: "Plan", finished: "Collection[str]", waiting: "Collection[str]", why: "Mapping[str, Reason]"
) -> dict[str, object]:
    """Give what is done and what is to run, trial by trial, for programs."""
    from ablate.plan.stacks import stacks

    stages = Counter(trial.name for trial in plan.trials if trial.role == "stage")
    return {
        "stages": [
            {"name": name, "needs": plan.study.stages[name].needs, "num_trials": number}
            for name, number in stages.items()
            if name in plan.study.stages
        ],
        "needs": plan.study.needs,
        "num_finished": len(finished),
        "num_to_run": len(waiting),
        "num_stacks": len(stacks(plan, waiting)),
        "num_to_run_at_most": len(plan.specs) - len(finished),
        "trials": [
            {
                "id": trial.spec.id,
                "role": trial.role,
                "name": trial.name,
                "seed": trial.spec.seed,
                "needs": trial.spec.needs,
                "is_finished": trial.spec.id in finished,
                "reason": str(why[trial.spec.id]),
            }
            for trial in plan.trials
        ],
    }


def _head(plan: "Plan") -> dict[str, object]:
    return {
        "study": plan.study.name,
        "title": plan.study.title,
        "scale": plan.scale,
        "version": plan.version,
        "seeds": plan.seeds,
        "arms": [{"name": arm.name, "against": plan.study.reference_of(arm.name)} for arm in plan.study.arms],
        "num_trials": len(plan.specs),
    }


def make_plan(study: Path, overrides: list[str], *, yes: bool) -> "Plan":
    """Read a study and expand it into its trials.

    Args:
        study: The file.
        overrides: Hydra overrides of the command line.
        yes: Whether many trials are fine; else they are asked about, before the plan is made.

    Raises:
        StudyError: Carries every fault of the file, of its configuration and of the published table it names.
    """
    from ablate.analysis.published import check_published
    from ablate.plan.expand import expand
    from ablate.study.load import load_study

    make_importable(study)
    loaded = load_study(study, overrides)
    if not yes:
        ask_about(_num_expected(loaded), loaded.name)
    faults = check_published(loaded)
    try:
        expanded = expand(loaded)
    except StudyError as error:
        raise StudyError([*error.faults, *faults]) from error
    if faults:
        raise StudyError(faults)
    if not yes and _num_expected(loaded) <= MANY_TRIALS:
        ask_about(len(expanded.specs), loaded.name)
    return expanded


def _num_expected(study: "Study") -> int:
    """Count arms times seeds, before the configuration is composed; a number of seeds that only the scale knows is one.

    What the command line says counts over what the study says, as it does later.
    """
    given = [text.removeprefix("replicates=") for text in study.overrides if text.startswith("replicates=")]
    num_seeds = int(given[-1]) if given and given[-1].isdigit() else study.num_replicates or 1
    num_rows = len(study.arms) * num_seeds
    return num_rows if study.search is None else (1 + study.search.num_links) * num_rows + num_search_trials(study)


def num_search_trials(study: "Study") -> int:
    """Count the trials of configurations, stages aside; a budget without a number of them counts once."""
    search = study.search
    if search is None:
        return 0
    num_searches = len(study.arms) if search.per == "arm" else 1
    return num_searches * (search.num_configurations or 1) * len(search.seeds)


def ask_about(num_trials: int, study: str) -> None:
    """Ask before many trials, on a terminal; elsewhere refuse them.

    Raises:
        StudyError: They are not wanted, or nobody is there to say so.
    """
    if num_trials <= MANY_TRIALS:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise StudyError([Fault(message=f"{study} has {num_trials:,} trials: give --yes if you mean it")])
    if not typer.confirm(f"{study} has {num_trials:,} trials. Go on?", err=True):
        raise StudyError([Fault(message=f"{study} was not planned: {num_trials:,} trials are not wanted")])
