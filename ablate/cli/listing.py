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
    store_root,
)
from ablate.errors import ExitCode, Fault, StoreError, StudyError
from ablate.trial import Json

if TYPE_CHECKING:
    from ablate.plan.head import PlanHead

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
    root = store_root(store, Path.cwd())
    found = listed(root, project_folder(Path.cwd()) / "studies")
    if as_json:
        print_json({"studies": found})
    elif found:
        head = ("study", "done", "last verdict", "scale", "paper", "file", "title")
        print(*columns([head, *(one.cells for one in found)]), sep="\n")
    else:
        print(f"no studies in {shown(project_folder(Path.cwd()) / 'studies')} or {shown(root)}")
    return ExitCode.DONE


def listed(root: Path, folder: Path) -> list[Listed]:
    """Find the studies that have a file in a folder, then those that only the store knows."""
    from ablate.plan.head import planned_studies

    planned = planned_studies(root)
    files: dict[str, tuple[Path, Heading]] = {}
    for path in sorted(folder.glob("*.y*ml")):
        found = heading(path)
        if found is not None:
            files[found.name] = (path, found)
    rows = [_listed(root, name, path, found) for name, (path, found) in files.items()]
    return rows + [_listed(root, name) for name in planned if name not in files]


def _list_versions(study: str, store: Path | None, *, as_json: bool) -> ExitCode:
    """List what a study was run with, the newest first.

    Raises:
        StudyError: It was never run with a version that is kept.
    """
    from ablate.plan.head import plan_header, plan_path, plan_versions

    meant = named(study, store)
    found = plan_versions(meant.store, meant.name)
    last = plan_header(plan_path(meant.store, meant.name))
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


def _listed(root: Path, name: str, path: Path | None = None, found: Heading | None = None) -> Listed:
    """Describe a study by its file, where it has one, and by what the store noted of it."""
    from ablate.plan.head import plan_header, plan_path

    try:
        head = plan_header(plan_path(root, name))
    except StoreError:  # `status` says what is wrong with it
        head = None
    folder = plan_path(root, name).parent
    num_finished, num_trials = (None, None) if head is None else _counts(root, head, folder)
    return Listed(
        study=name,
        num_finished=num_finished,
        num_trials=num_trials,
        is_at_most=head is not None and head.is_adaptive and num_finished != num_trials,
        verdict=str(_read(folder / "summary.json").get("verdict", "")),
        scale=head.scale if head else "",
        paper=(found.paper if found else head.paper if head else "") or "",
        file=shown(path) if path else f"only in {shown(root)}",
        title=found.title if found else head.title if head else "",
    )


def _counts(root: Path, head: "PlanHead", folder: Path) -> tuple[int, int]:
    """Count what is finished. Where the last report had all and nothing was planned since, its count is taken."""
    from ablate.store import Store

    summary, note = _read(folder / "summary.json"), folder / "plan.head.json"
    num_trials = summary.get("num_trials", 0)
    if 0 < num_trials == summary.get("num_finished") and note.is_file():
        if (folder / "summary.json").stat().st_mtime_ns >= note.stat().st_mtime_ns:
            return num_trials, num_trials
    return len(Store(root).finished(head.trial_ids)), head.num_trials


def _read(path: Path) -> dict[str, Json]:
    """Read what a report noted; where it is damaged it says nothing."""
    from ablate.store.files import read_json

    try:
        return read_json(path) or {}
    except StoreError:
        return {}
