"""`list`: every study that is known here, at once: the store's own notes are read, no plan is rebuilt."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.looking import columns
from ablate.cli.output import JsonOption, print_json
from ablate.cli.places import (
    Heading,
    StoreOption,
    complete_studies,
    heading,
    named,
    project_folder,
    shown,
    store_location,
)
from ablate.errors import ExitCode, Fault, StoreError, StudyError
from ablate.trial import Json

if TYPE_CHECKING:
    from ablate.plan.head import PlanHead
    from ablate.store.medium import Medium

VersionsOption = Annotated[
    str | None,
    typer.Option(
        "--versions",
        metavar="STUDY",
        help="List the versions of one study instead: the code, data and parameters it was run with.",
        show_default=False,
        autocompletion=complete_studies,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of `list`. Counts are `None` where the study was never planned.

    `is_at_most` says that results may ask for fewer trials.
    """

    study: str
    num_finished: int | None
    num_trials: int | None
    is_at_most: bool
    verdict: str
    scale: str
    paper: str
    file: str
    title: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The line, cell by cell."""
        done = "not run" if self.num_trials is None else f"{self.num_finished}/{self.num_trials}"
        done += " at most" if self.is_at_most else ""
        return (self.study, done, self.verdict or "-", self.scale or "-", self.paper or "-", self.file, self.title)


def list_studies(versions: VersionsOption = None, store: StoreOption = None, as_json: JsonOption = False) -> ExitCode:
    """List the studies here and in the store."""
    if versions is not None:
        return _list_versions(versions, store, as_json=as_json)
    location = store_location(store, Path.cwd())
    found = listed(location, project_folder(Path.cwd()) / "studies")
    if as_json:
        print_json({"studies": found})
    elif found:
        head = ("study", "done", "last verdict", "scale", "paper", "file", "title")
        print(*columns([head, *(one.cells for one in found)]), sep="\n")
    else:
        print(f"no studies in {shown(project_folder(Path.cwd()) / 'studies')} or {shown(location)}")
    return ExitCode.DONE


def listed(location: str, folder: Path) -> list[Listed]:
    """Find the studies that have a file in a folder, then those that only the store knows."""
    from ablate.plan.head import planned_studies

    planned = planned_studies(location)
    files: dict[str, tuple[Path, Heading]] = {}
    for path in sorted(folder.glob("*.y*ml")):
        found = heading(path)
        if found is not None:
            files[found.name] = (path, found)
    rows = [_listed(location, name, path, found) for name, (path, found) in files.items()]
    return rows + [_listed(location, name) for name in planned if name not in files]


def _list_versions(study: str, store: str | None, *, as_json: bool) -> ExitCode:
    """List what a study was run with, the newest first.

    Raises:
        StudyError: It was never run with a version that is kept.
    """
    from ablate.plan.head import last_head, plan_versions

    meant = named(study, store)
    found = plan_versions(meant.store, meant.name)
    last = last_head(meant.store, meant.name)
    if last is None:
        message = f"the store {shown(meant.store)} has no plan of study '{meant.name}': `ablate run` makes one"
        raise StudyError([Fault(message=message)])
    found = found or [last]
    if as_json:
        entries = [
            {
                "version": head.version,
                "scale": head.scale,
                "num_trials": head.num_trials,
                "first_used": head.first_used,
                "is_last": head.version == last.version,
            }
            for head in found
        ]
        print_json({"study": meant.name, "versions": entries})
        return ExitCode.DONE
    rows = [
        (
            head.version,
            head.scale,
            str(head.num_trials),
            head.first_used[:16],
            "the last" * (head.version == last.version),
        )
        for head in found
    ]
    print(*columns([("version", "scale", "trials", "first run (UTC)", ""), *rows]), sep="\n")
    if len(found) > 1:
        print(f"compare two of them: ablate compare {meant.name} {meant.name}@previous")
    return ExitCode.DONE


def _listed(location: str, name: str, path: Path | None = None, found: Heading | None = None) -> Listed:
    """Describe a study by its file, where it has one, and by what the store noted of it."""
    from ablate.plan.head import last_head
    from ablate.store.medium import open_medium

    try:
        head = last_head(location, name)
    except StoreError:  # `status` says what is wrong with it
        head = None
    medium = open_medium(location)
    summary = _summary(medium, name)
    num_finished, num_trials = (None, None) if head is None else _counts(medium, head, summary)
    return Listed(
        study=name,
        num_finished=num_finished,
        num_trials=num_trials,
        is_at_most=head is not None and head.is_adaptive and num_finished != num_trials,
        verdict=str(summary.get("verdict", "")),
        scale=head.scale if head else "",
        paper=(found.paper if found else head.paper if head else "") or "",
        file=shown(path) if path else f"only in {shown(location)}",
        title=found.title if found else head.title if head else "",
    )


def _counts(medium: "Medium", head: "PlanHead", summary: dict[str, Json]) -> tuple[int, int]:
    """Count what is finished. Where the last report had all and nothing was planned since, its count is taken."""
    from ablate.store import Store

    num_trials = summary.get("num_trials", 0)
    if 0 < num_trials == summary.get("num_finished"):
        planned_s = medium.modified(f"studies/{head.study}/plan.head.json")
        if planned_s is not None and (medium.modified(_summary_name(head.study)) or 0.0) >= planned_s:
            return num_trials, num_trials
    return len(Store(medium.location).finished(head.trial_ids)), head.num_trials


def _summary(medium: "Medium", study: str) -> dict[str, Json]:
    """Read what a report noted; where it is damaged it says nothing."""
    from ablate.store.files import parse_json

    try:
        data = medium.read(_summary_name(study))
        return {} if data is None else parse_json(data, study)
    except StoreError:
        return {}


def _summary_name(study: str) -> str:
    return f"studies/{study}/summary.json"
