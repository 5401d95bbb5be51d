"""`run`: from a study file to its table. Doing it again resumes, and is free when all is done."""

import sys
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.ending import complain, same_command
from ablate.cli.mirroring import MLFLOW_DATABASE, result_table
from ablate.cli.output import JsonOption, print_json
from ablate.cli.places import Overrides, StoreOption, StudyFile, shown, store_location
from ablate.cli.planning import YesOption, asked_now, make_plan
from ablate.cli.reporting import report_content, show_report
from ablate.errors import ExitCode, Fault, StudyError
from ablate.wording import without_password

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


class ReuseName(StrEnum):
    """Which finished trials count; the values of `ablate.plan.reuse.Reuse`."""

    ANY = "any"
    SAME_CODE = "same-code"
    NONE = "none"


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
ReuseOption = Annotated[
    ReuseName,
    typer.Option(
        "--reuse",
        help="Finished trials that count: of the same code, of any code, or none (all run again, records are kept).",
    ),
]
IntervalOption = Annotated[
    float,
    typer.Option(
        "--checkpoint-interval", metavar="SECONDS", min=0.0, help="Least time between two checkpoints of a trial."
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress; failures and the table are shown at the end.")
]


def run(
    study: StudyFile,
    overrides: Overrides = None,
    *,
    backend: BackendOption = BackendName.RAY,
    address: AddressOption = None,
    mlflow: MlflowOption = None,
    yes: YesOption = False,
    quiet: QuietOption = False,
    reuse: ReuseOption = ReuseName.SAME_CODE,
    checkpoint_interval: IntervalOption = 30.0,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Run what is left of a study, then show its table."""
    from ablate.plan.grown import grown, num_to_come
    from ablate.plan.reuse import Reuse, apply_reuse
    from ablate.run.execute import execute
    from ablate.run.lease import check_no_driver
    from ablate.run.signals import stop_on_signals
    from ablate.store import Store

    chosen = _backend(backend, address, checkpoint_interval)
    trials = Store(store_location(store, study.parent))
    base = make_plan(study, overrides or [], yes=yes)
    plan = grown(base, trials)
    if reuse is ReuseName.NONE:
        check_no_driver(trials, plan.study.name)  # before its records are put aside
    plan = apply_reuse(plan, trials, Reuse(reuse.value))
    base = base if base.searches else plan
    to = sys.stderr if as_json else sys.stdout
    say = partial(print, file=to, flush=True)
    finished = trials.finished(plan.specs)
    asked = asked_now(plan, trials)
    if not quiet:
        say(*_described(plan, trials, finished, asked), sep="\n")
    recorders: list[Recorder] = []
    if not finished.issuperset(asked) or num_to_come(plan, trials):
        check_no_driver(trials, plan.study.name)
        recorders = _recorders(plan, trials, mlflow, quiet=quiet)
    with stop_on_signals() as stopping:
        summary = execute(base, store=trials, backend=chosen, recorders=recorders, stopping=stopping)
    plan = grown(plan, trials)
    written = show_report(plan, trials, to=to) if summary.num_finished + summary.num_cached else None
    if written is not None and mlflow != NO_MIRROR:
        _mirror(plan, trials, mlflow, written)
        say(f"MLflow: {without_password(mlflow) if mlflow else f'ablate ui {shown(study)}'}")
    say(_what_was_done(summary))
    _complain(summary, reuse)
    if as_json:
        print_json(_summary_content(plan, summary) | {"report": report_content(written) if written else None})
    return summary.exit_code


def _described(plan: "Plan", store: "Store", finished: set[str], asked: list[str]) -> list[str]:
    from ablate.plan.describe import describe
    from ablate.plan.reasons import reasons

    return describe(plan, finished, reasons(plan, store, finished), asked=asked)


def _backend(name: BackendName, address: str | None, checkpoint_interval_s: float) -> "Backend":
    if name is BackendName.RAY:
        from ablate.backends.ray_tune import RayTuneBackend

        return RayTuneBackend(address, checkpoint_interval_s=checkpoint_interval_s)
    if address is not None:
        message = f"--address {address} names a Ray cluster, but --backend local uses none: leave one of them out"
        raise StudyError([Fault(message=message)])
    from ablate.backends.local import LocalBackend

    return LocalBackend(checkpoint_interval_s=checkpoint_interval_s)


def _recorders(plan: "Plan", store: "Store", mlflow: str | None, *, quiet: bool) -> list["Recorder"]:
    from ablate.run.progress import Progress

    recorders: list[Recorder] = [] if quiet else [Progress(plan, store=store)]
    if mlflow != NO_MIRROR:
        from ablate.records.mlflow import MlflowMirror

        recorders.append(MlflowMirror(plan, store, mlflow, partial(result_table, plan, store)))
    return recorders


def _mirror(plan: "Plan", store: "Store", uri: str | None, written: "ReportFiles") -> None:
    """Put the table and the reports beside the runs in MLflow, with every trial that is not there yet.

    What was mirrored last is noted beside the report, so that a run with nothing to do need not load MLflow (seconds).
    """
    from ablate.ids import content_id
    from ablate.store.files import read_json, write_json

    note = written.markdown.with_name("mirrored.json")
    mirrored = {"to": uri and without_password(uri), "report": content_id(written.markdown.read_text(encoding="utf-8"))}
    is_there = uri is not None or (store.root / MLFLOW_DATABASE).is_file()
    if is_there and read_json(note) == mirrored:
        return
    from ablate.records.mlflow import mirror_report

    if mirror_report(plan, store, uri, description=written.result_table, files=written.files):
        write_json(note, mirrored)


def _what_was_done(summary: "RunSummary") -> str:
    num_done = summary.num_finished + summary.num_cached
    num_all = num_done + summary.num_failed + summary.num_interrupted + summary.num_unreachable
    pruned = f"; {summary.num_pruned} more were pruned" if summary.num_pruned else ""
    if summary.num_cached == num_all:
        return f"all {num_all} trials were done before: nothing was run{pruned}"
    return f"{num_done} of {num_all} trials are done, {summary.num_finished} of them in this run{pruned}"


def _complain(summary: "RunSummary", reuse: ReuseName) -> None:
    """Say on stderr what a run did not come to."""
    for failure in summary.failures:
        complain(f"FAILED {failure.label}: {failure.reason}; log: {shown(failure.log)}")
    if summary.num_unreachable:
        complain(f"{summary.num_unreachable} trials never started, because what they need failed")
    if summary.exit_code is ExitCode.INTERRUPTED:
        # `--reuse none` once more would put aside what was done just now.
        command = same_command(without="--reuse" if reuse is ReuseName.NONE else None)
        complain(f"interrupted with {summary.num_interrupted} trials left; go on with: {command}")


def _summary_content(plan: "Plan", summary: "RunSummary") -> dict[str, object]:
    return {
        "study": plan.study.name,
        "scale": plan.scale,
        "version": plan.version,
        "exit_code": int(summary.exit_code),
        "num_finished": summary.num_finished,
        "num_cached": summary.num_cached,
        "num_failed": summary.num_failed,
        "num_left": summary.num_interrupted,
        "num_unreachable": summary.num_unreachable,
        "num_pruned": summary.num_pruned,
        "failures": summary.failures,
    }
