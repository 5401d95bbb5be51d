"""`check` and `plan`: what a study would do, without starting anything."""

from pathlib import Path
from typing import TYPE_CHECKING

from ablate.cli.places import Overrides, StoreOption, StudyFile, make_importable, store_root
from ablate.errors import ExitCode, StudyError

if TYPE_CHECKING:
    from ablate.plan.model import Plan


def check(study: StudyFile, overrides: Overrides = None) -> ExitCode:
    """Read a study and list all that is wrong with it."""
    found = make_plan(study, overrides or [])
    seeds = f"{len(found.seeds)} seed{'s' * (len(found.seeds) != 1)}" if found.seeds else "without seeds"
    print(f"{study}: right: {len(found.specs)} trials, {len(found.study.arms)} arms, {seeds}")
    return ExitCode.DONE


def plan(study: StudyFile, overrides: Overrides = None, store: StoreOption = None) -> ExitCode:
    """Say what a run would do, and what is done already."""
    from ablate.plan.describe import describe
    from ablate.store import Store

    found = make_plan(study, overrides or [])
    finished = Store(store_root(store, study.parent)).finished(found.specs)
    print(*describe(found, finished), sep="\n")
    return ExitCode.DONE


def make_plan(study: Path, overrides: list[str]) -> "Plan":
    """Read a study and expand it into its trials.

    Raises:
        StudyError: Carries every fault of the file, of its configuration and of the published table it names.
    """
    from ablate.analysis.published import check_published
    from ablate.plan.expand import expand
    from ablate.study.load import load_study

    make_importable(study)
    loaded = load_study(study, overrides)
    faults = check_published(loaded)
    try:
        expanded = expand(loaded)
    except StudyError as error:
        raise StudyError([*error.faults, *faults]) from error
    if faults:
        raise StudyError(faults)
    return expanded
