"""`run`: from a study file to its table. Doing it again resumes, and is free when all is done."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.ending import complain, same_command
from ablate.cli.places import Overrides, StoreOption, StudyFile, shown, store_root
from ablate.cli.planning import make_plan
from ablate.cli.reporting import MLFLOW_DATABASE, show_report
from ablate.errors import ExitCode, Fault, StudyError

if TYPE_CHECKING:
    from ablate.backends.backend import Backend
    from ablate.plan.model import Plan
    from ablate.records.recorder import Recorder
    from ablate.report.build import ReportFiles
    from ablate.run.summary import RunSummary
    from ablate.store import Store

NO_MIRROR = "off"


class BackendName(StrEnum):
    """What runs the trials."""

    RAY = "ray"
    LOCAL = "local"


BackendOption = Annotated[
    BackendName,
    typer.Option("--backend", help="`ray` runs trials in parallel, `local` one by one in this process (for pdb)."),
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="A running Ray cluster; by default a private one is started.", show_default=False),
]
MlflowOption = Annotated[
    str | None,
    typer.Option(
        "--mlflow",
        metavar="URI",
        help="MLflow server to mirror to, or `off`; by default a SQLite file in the store.",
        show_default=False,
    ),
]


def run(
    study: StudyFile,
    overrides: Overrides = None,
    *,
    backend: BackendOption = BackendName.RAY,
    address: AddressOption = None,
    mlflow: MlflowOption = None,
    store: StoreOption = None,
) -> ExitCode:
    """Run what is left of a study, then show its table."""
    from ablate.plan.describe import describe
    from ablate.run.execute import execute
    from ablate.run.signals import stop_on_signals
    from ablate.store import Store

    chosen = _backend(backend, address)
    plan = make_plan(study, overrides or [])
    trials = Store(store_root(store, study.parent))
    finished = trials.finished(plan.specs)
    print(*describe(plan, finished), sep="\n", flush=True)
    recorders = _recorders(plan, trials, mlflow) if len(finished) < len(plan.specs) else []
    with stop_on_signals() as stopping:
        summary = execute(plan, store=trials, backend=chosen, recorders=recorders, stopping=stopping)
    if summary.num_finished + summary.num_cached:
        written = show_report(plan, trials)
        if mlflow != NO_MIRROR:
            _mirror(plan, trials, mlflow, written)
            print(f"MLflow: {mlflow or f'ablate ui {shown(study)}'}")
    _tell(summary)
    return summary.exit_code


def _backend(name: BackendName, address: str | None) -> "Backend":
    if name is BackendName.RAY:
        from ablate.backends.ray_tune import RayTuneBackend

        return RayTuneBackend(address)
    if address is not None:
        message = f"--address {address} names a Ray cluster, but --backend local uses none: leave one of them out"
        raise StudyError([Fault(message=message)])
    from ablate.backends.local import LocalBackend

    return LocalBackend()


def _recorders(plan: "Plan", store: "Store", mlflow: str | None) -> list["Recorder"]:
    from ablate.run.progress import Progress

    recorders: list[Recorder] = [Progress(plan, store=store)]
    if mlflow != NO_MIRROR:
        from ablate.records.mlflow import MlflowMirror

        recorders.append(MlflowMirror(plan, store, mlflow))
    return recorders


def _mirror(plan: "Plan", store: "Store", uri: str | None, written: "ReportFiles") -> None:
    """Put the table and the reports beside the runs in MLflow, with every trial that is not there yet.

    What was mirrored last is noted beside the report, so that a run with nothing to do need not load MLflow (seconds).
    """
    from ablate.ids import content_id
    from ablate.store.files import read_json, write_json

    note = written.markdown.with_name("mirrored.json")
    mirrored = {"to": uri, "report": content_id(written.markdown.read_text(encoding="utf-8"))}
    is_there = uri is not None or (store.root / MLFLOW_DATABASE).is_file()
    if is_there and read_json(note) == mirrored:
        return
    from ablate.records.mlflow import mirror_report

    files = [written.markdown, written.html, *written.figures]
    if mirror_report(plan, store, uri, description=written.result_table, files=files):
        write_json(note, mirrored)


def _tell(summary: "RunSummary") -> None:
    """Say what a run came to: on stdout what was done, on stderr what was not."""
    num_done = summary.num_finished + summary.num_cached
    num_all = num_done + summary.num_failed + summary.num_interrupted + summary.num_unreachable
    if summary.num_cached == num_all:
        print(f"all {num_all} trials were done before: nothing was run")
    else:
        print(f"{num_done} of {num_all} trials are done, {summary.num_finished} of them in this run", flush=True)
    for failure in summary.failures:
        complain(f"FAILED {failure.label}: {failure.reason}; log: {shown(failure.log)}")
    if summary.num_unreachable:
        complain(f"{summary.num_unreachable} trials never started, because what they need failed")
    if summary.exit_code is ExitCode.INTERRUPTED:
        complain(f"interrupted with {summary.num_interrupted} trials left; go on with: {same_command()}")
