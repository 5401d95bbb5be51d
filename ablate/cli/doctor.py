"""`doctor`: whether this machine has what a run needs, line by line, each with what to do."""

import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.doctor_check import Check, State
from ablate.cli.output import JsonOption, print_json
from ablate.cli.places import Overrides, StoreOption, complete_files, project_folder, shown, store_location
from ablate.errors import AblateError, ExitCode
from ablate.store.medium import is_url, open_medium

if TYPE_CHECKING:
    from ablate.cli.doctor_data import DataCheck

_DISTRIBUTION = "ablate-studies"
_SOME_ROOM_GIB, _NO_ROOM_GIB = 5.0, 0.5
_LATEX = ("tectonic", "latexmk", "pdflatex", "xelatex", "lualatex")
_MLFLOW_SECONDS = 5.0

StudyArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="STUDY.yaml",
        help="A study whose data are looked at, too.",
        show_default=False,
        autocompletion=complete_files,
    ),
]
RayOption = Annotated[bool, typer.Option("--ray", help="Also start a private Ray cluster, which takes seconds.")]
ServerOption = Annotated[
    str | None,
    typer.Option("--mlflow", metavar="URI", help="Check this server instead of the store's own.", show_default=False),
]


def doctor(
    study: StudyArgument = None,
    overrides: Overrides = None,
    *,
    ray: RayOption = False,
    mlflow: ServerOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Check what a run needs on this machine.

    Libraries, devices, the store, MLflow, the configuration, and what to do about each. With a study also its data:
    whether they are there, and what they hold. Exit code 2 if anything fails.
    """
    from ablate.cli.doctor_data import data_checks, table_lines

    location = store_location(store, Path.cwd())
    checks: list[Check] = []
    data: list[DataCheck] = []

    def add(check: Check) -> None:
        checks.append(check)
        if not as_json:
            advice = f": {check.advice}" if check.advice else ""
            print(f"{check.state:<4}  {check.name:<13}  {check.found}{advice}", flush=True)

    for check in _checks(location, mlflow, with_ray=ray):
        add(check)
    for one in data_checks(study, overrides or []) if study is not None else ():
        data.append(one)
        add(one.check)
        if not as_json:
            print(*table_lines(one.statistics), sep="\n", end="\n" * bool(one.statistics), flush=True)
    if as_json:
        print_json({"checks": checks} | ({} if study is None else {"data": data}))
    return ExitCode.WRONG_INPUT if any(check.state is State.FAIL for check in checks) else ExitCode.DONE


def _checks(location: str, mlflow: str | None, *, with_ray: bool) -> Iterator[Check]:
    yield from libraries()
    yield device()
    if with_ray:
        yield ray_cluster()
    yield configuration(Path.cwd())
    root = open_medium(location).root
    yield disk(root)
    yield from remote_checks(location) if is_url(location) else store_checks(root)
    yield mlflow_mirror(root, mlflow)
    found = [name for name in _LATEX if shutil.which(name)]
    yield Check(
        name="LaTeX",
        state=State.OK,
        found=f"{found[0]} compiles the tables" if found else "none here: tables are written, not compiled",
    )


def libraries() -> Iterator[Check]:
    """Compare Python and every library that is declared with what is installed."""
    from importlib.metadata import PackageNotFoundError, metadata, requires, version

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    try:
        wanted_python = SpecifierSet(metadata(_DISTRIBUTION)["Requires-Python"] or "")
        declared = [Requirement(line) for line in requires(_DISTRIBUTION) or ()]
    except PackageNotFoundError:
        yield Check(name="libraries", state=State.FAIL, found=f"{_DISTRIBUTION} is not installed", advice="pip install")
        return
    python = ".".join(map(str, sys.version_info[:3]))
    fits = wanted_python.contains(python)
    yield Check(
        name="Python",
        state=State.OK if fits else State.FAIL,
        found=python,
        advice="" if fits else f"install one that is {wanted_python}",
    )
    wrong: list[str] = []
    wanted = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})]
    for one in wanted:
        try:
            found = version(one.name)
        except PackageNotFoundError:
            wrong.append(f"{one.name} is missing (wanted {one.specifier})")
        else:
            if not one.specifier.contains(found, prereleases=True):
                wrong.append(f"{one.name} is {found} (wanted {one.specifier})")
    yield Check(
        name="libraries",
        state=State.FAIL if wrong else State.OK,
        found="; ".join(wrong) or f"all {len(wanted)} are there, in versions that fit",
        advice=f"install {_DISTRIBUTION} again with pip" if wrong else "",
    )


def device() -> Check:
    """Say what torch computes on."""
    try:
        import torch
    except ImportError as error:
        return Check(name="torch", state=State.FAIL, found=f"cannot be imported ({error})", advice="install it again")
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ", ".join(sorted({torch.cuda.get_device_name(index) for index in range(num_gpus)}))
    found = f"{num_gpus} GPU{'s' * (num_gpus != 1)} ({names})" if num_gpus else "CPU only: fine for quick scales"
    return Check(name="torch", state=State.OK, found=f"{torch.__version__}, {found}")


def ray_cluster() -> Check:
    """Start a private cluster and end it."""
    from ablate.backends.ray_cluster import connected, prepare_environment, scratch_folder

    try:
        prepare_environment()
        with scratch_folder(None) as folder, connected(None, num_cpus=1, folder=folder):
            pass
    except (AblateError, OSError) as error:
        return Check(
            name="Ray",
            state=State.FAIL,
            found=" ".join(str(error).split()),
            advice="`ablate run --backend local` needs none",
        )
    return Check(name="Ray", state=State.OK, found="a private cluster starts here")


def configuration(start: Path) -> Check:
    """Find the Hydra configuration of the project around a folder."""
    path = project_folder(start) / "conf" / "config.yaml"
    if path.is_file():
        return Check(name="configuration", state=State.OK, found=shown(path))
    advice = "go to your project, or begin one with `ablate new NAME`"
    return Check(name="configuration", state=State.WARN, found=f"there is no {shown(path)}", advice=advice)


def disk(root: Path) -> Check:
    """Say how much room the store has."""
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    free_gib = shutil.disk_usage(place).free / 2**30
    state = State.FAIL if free_gib < _NO_ROOM_GIB else State.WARN if free_gib < _SOME_ROOM_GIB else State.OK
    return Check(
        name="disk",
        state=state,
        found=f"{free_gib:.1f} GiB free for {shown(root)}",
        advice="" if state is State.OK else "make room, or choose another --store",
    )


def store_checks(root: Path) -> Iterator[Check]:
    """Write to the store, and read all that is in it."""
    from ablate.store import Store

    place = next(folder for folder in (root, *root.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        found = f"{shown(root)} cannot be written: {error.strerror or error}"
        yield Check(name="store", state=State.FAIL, found=found, advice="choose another --store")
        return
    if place != root:
        yield Check(name="store", state=State.OK, found=f"no {shown(root)} yet: `run` makes it")
        return
    store = Store(root)
    names = sorted(path.name for path in (root / "trials").glob("*") if path.is_dir())
    damaged: list[str] = []
    num_finished = 0
    for name in names:
        try:
            store.read_spec(name)
            store.check_record(name)
            num_finished += len(store.finished([name]))
        except AblateError as error:
            damaged.append(str(error))
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    yield Check(
        name="store",
        state=State.WARN if damaged else State.OK,
        found=f"{shown(root)}: {len(names)} trials, {num_finished} finished, {len(damaged)} damaged",
        advice=f"{damaged[0]}{more}" if damaged else "",
    )


def remote_checks(location: str) -> Iterator[Check]:
    """Write to a store behind a URL, and count what is in it."""
    from ablate.store import Store

    name = f"doctor-{secrets.token_hex(4)}.json"
    try:
        store = Store(location)
        store.write_note(name, {})
        store.remove_note(name)
        trial_ids = open_medium(location).names("trials")
        found = f"{location}: {len(trial_ids)} trials, {len(store.finished(trial_ids))} finished"
    except AblateError as error:
        advice = "look at the URL, and at AWS_ENDPOINT_URL and the credentials in the environment"
        yield Check(name="store", state=State.FAIL, found=str(error), advice=advice)
        return
    yield Check(name="store", state=State.OK, found=found)


def mlflow_mirror(root: Path, uri: str | None) -> Check:
    """Reach the MLflow server, or open the store's own database."""
    from ablate.cli.mirroring import MLFLOW_DATABASE

    if uri is not None and uri.startswith(("http://", "https://")):
        return _server(uri)
    path = Path(uri.removeprefix("sqlite:///")) if uri else root / MLFLOW_DATABASE
    if not path.is_file():
        return Check(name="MLflow", state=State.OK, found=f"no {shown(path)} yet: `run` and `sync` make it")
    import sqlite3

    try:
        with sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True) as database:
            (num_runs,) = database.execute("select count(*) from runs").fetchone()
    except sqlite3.Error as error:
        found = f"{shown(path)} cannot be read ({error})"
        return Check(name="MLflow", state=State.WARN, found=found, advice="move it away, and `ablate sync` rebuilds it")
    return Check(name="MLflow", state=State.OK, found=f"{shown(path)}: {num_runs} runs")


def _server(uri: str) -> Check:
    from urllib.request import urlopen

    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=_MLFLOW_SECONDS):
            return Check(name="MLflow", state=State.OK, found=f"{uri} answers")
    except (OSError, ValueError) as error:
        advice = "runs go on without it, and `ablate sync` catches up"
        return Check(name="MLflow", state=State.WARN, found=f"{uri} does not answer ({error})", advice=advice)
