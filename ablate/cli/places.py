"""Where a command's arguments point: the study's file, its project, and the store of its results."""

import glob
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ablate.errors import Fault, StudyError
from ablate.store.medium import is_url

STORE_VARIABLE = "ABLATE_STORE"
PIPED_WIDTH = 100
"""Columns of a table where nobody looks at it."""


def complete_files(incomplete: str) -> list[str]:
    """Complete a study's file: those in the project's `studies/`, and whatever the path typed so far leads to."""
    known = (project_folder(Path.cwd()) / "studies").glob("*.y*ml")
    typed = Path().glob(f"{glob.escape(incomplete)}*") if incomplete and not incomplete.startswith("/") else ()
    found = {shown(path) for path in known}
    for path in typed:
        if path.is_dir():
            found.add(f"{path}/")
        elif path.suffix in (".yaml", ".yml"):
            found.add(str(path))
    return sorted(one for one in found if one.startswith(incomplete))


def complete_studies(incomplete: str) -> list[str]:
    """Complete a study's name, or its file."""
    given = os.environ.get(STORE_VARIABLE)
    from ablate.plan.head import planned_studies

    names = planned_studies(store_location(given, Path.cwd()))
    return [name for name in names if name.startswith(incomplete)] + complete_files(incomplete)


StudyFile = Annotated[
    Path,
    typer.Argument(metavar="STUDY.yaml", help="The study file.", show_default=False, autocompletion=complete_files),
]
StudyName = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="The name of a study, or its file.",
        show_default=False,
        autocompletion=complete_studies,
    ),
]
MaybeStudy = Annotated[
    str | None,
    typer.Argument(
        metavar="STUDY",
        help="The name of a study, or its file.",
        show_default=False,
        autocompletion=complete_studies,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Hydra overrides over the study's base: method.sigma_mm=20 scale=standard replicates=8.",
        show_default=False,
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="FOLDER|URL",
        envvar=STORE_VARIABLE,
        help="Where results are kept, a folder or s3://bucket/prefix; by default `runs` in the study's project.",
        show_default=False,
    ),
]

_NAME_LINE = re.compile(
    r"""^(study|title|paper):[ \t]*(?:"([^"\n]*)"|'([^'\n]*)'|([^#\n]*?))[ \t]*(?:#.*)?$""", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A study as it was named on the command line: what it is called, and the folder or URL of its store."""

    name: str
    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a study file says of itself, read without checking the rest of it."""

    name: str
    title: str
    paper: str = ""


def project_folder(start: Path) -> Path:
    """Give the nearest folder from `start` upwards that holds `conf/` or `pyproject.toml`, or else `start`."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / "conf").is_dir() or (folder / "pyproject.toml").is_file():
            return folder
    return start


def store_location(given: str | None, start: Path) -> str:
    """Give the folder or URL of the store: the one that was asked for, or `runs` in the project around `start`."""
    if given and is_url(given):
        return given.rstrip("/")
    return str(Path(given).absolute() if given else project_folder(start) / "runs")


def make_importable(study: Path) -> None:
    """Let tasks lie in the study's project without being installed; nothing that is installed is hidden by them."""
    folder = str(project_folder(study.parent))
    if folder not in sys.path:
        sys.path.append(folder)


def named(text: str, given_store: str | None) -> Named:
    """Find out which study is meant by a name or a file.

    Raises:
        StudyError: It is a file that is not there or that names no study.
    """
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        return Named(name=text, store=store_location(given_store, Path.cwd()))
    if not path.is_file():
        raise StudyError([Fault(message="there is no such file", path=path)])
    found = heading(path)
    if found is None:
        raise StudyError([Fault(message="names no study; a study begins with `study: <name>`", path=path)])
    return Named(name=found.name, store=store_location(given_store, path.parent))


def heading(path: Path) -> Heading | None:
    """Read a study file's name and title, or nothing where it has no name."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = {match[1]: match[2] or match[3] or match[4] or "" for match in _NAME_LINE.finditer(text)}
    name = found.get("study", "")
    return Heading(name=name, title=found.get("title", ""), paper=found.get("paper", "")) if name else None


def shown(path: Path | str) -> str:
    """Write a place as one would type it here: relative to the working directory where it lies below it."""
    if is_url(path):
        return str(path)
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
