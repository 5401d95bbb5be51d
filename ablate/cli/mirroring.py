"""`sync` and `ui`: the MLflow mirror of the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.output import JsonOption, print_json
from ablate.cli.places import MaybeStudy, Named, StoreOption, complete_studies, named, shown, store_location
from ablate.errors import ExitCode, Fault, StudyError

if TYPE_CHECKING:
    from ablate.plan.model import Plan
    from ablate.records.mlflow_runs import SyncCounts
    from ablate.store import Store

MLFLOW_DATABASE = "mlflow.db"

ServerOption = Annotated[
    str | None,
    typer.Option("--mlflow", metavar="URI", help="A server that runs already: only link to it.", show_default=False),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--mlflow", metavar="URI", help="MLflow to write to; by default a SQLite file in the store.", show_default=False
    ),
]
PortOption = Annotated[int, typer.Option("--port", help="Port of the page on this machine.")]
ManyStudies = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STUDY",
        help="Names of studies, or their files; by default all in the store.",
        show_default=False,
        autocompletion=complete_studies,
    ),
]


def ui(
    study: MaybeStudy = None, mlflow: ServerOption = None, port: PortOption = 5000, store: StoreOption = None
) -> ExitCode:
    """Open the MLflow page on the runs; ends with Ctrl-C."""
    from ablate.records.mlflow_ui import serve
    from ablate.store.medium import open_medium

    meant = named(study, store) if study else None
    location = meant.store if meant else store_location(store, Path.cwd())
    root = open_medium(location).root
    if mlflow is None and not (root / MLFLOW_DATABASE).is_file():
        message = (
            f"the store {shown(location)} has no {MLFLOW_DATABASE}; `ablate run` makes it, and `ablate sync` again"
        )
        raise StudyError([Fault(message=message)])
    serve(root, mlflow, study=meant.name if meant else None, port=port)
    return ExitCode.DONE


def sync(
    studies: ManyStudies = None, mlflow: TargetOption = None, store: StoreOption = None, as_json: JsonOption = False
) -> ExitCode:
    """Bring MLflow up to date from the store.

    An empty MLflow is filled again; done twice, nothing changes.
    """
    from ablate.plan.file import load_plan
    from ablate.store import Store

    counts: dict[str, SyncCounts] = {}
    for meant in _meant(studies, store):
        plan, trials = load_plan(meant.store, meant.name), Store(meant.store)
        counts[meant.name] = _sync(plan, trials, mlflow)
        if not as_json:
            print(f"{meant.name}: {counts[meant.name]}", flush=True)
    if as_json:
        print_json(counts)
    return ExitCode.DONE


def result_table(plan: "Plan", store: "Store") -> str:
    """Give the table of what is done so far in Markdown, for the description of the study's run in MLflow."""
    from ablate.report.content import gather_content
    from ablate.report.markdown import render_result_table

    return render_result_table(gather_content(plan, store, has_importance=False))


def _sync(plan: "Plan", store: "Store", uri: str | None) -> "SyncCounts":
    """Mirror every version of a study that the store keeps, the last plan last, with the report of that one."""
    from ablate.plan.file import load_plan
    from ablate.plan.head import plan_versions
    from ablate.records.mlflow_runs import SyncCounts
    from ablate.records.mlflow_sync import sync_study
    from ablate.report.build import write_report

    written = write_report(plan, store)
    earlier = [
        head for head in reversed(plan_versions(store.location, plan.study.name)) if head.version != plan.version
    ]
    found = []
    for head in earlier:
        older = load_plan(store.location, plan.study.name, head.version)
        found.append(sync_study(older, store, uri, description=None, is_current=False))
    found.append(sync_study(plan, store, uri, description=written.result_table, files=written.files))
    return SyncCounts(
        num_created=sum(one.num_created for one in found),
        num_updated=sum(one.num_updated for one in found),
        num_unchanged=sum(one.num_unchanged for one in found),
    )


def _meant(studies: list[str] | None, store: str | None) -> list[Named]:
    """Find the studies that were asked for, or all that the store has.

    Raises:
        StudyError: The store has none.
    """
    from ablate.plan.head import planned_studies

    if studies:
        return [named(study, store) for study in studies]
    location = store_location(store, Path.cwd())
    found = [Named(name=name, store=location) for name in planned_studies(location)]
    if not found:
        raise StudyError([Fault(message=f"the store {shown(location)} has no studies yet: `ablate run` fills it")])
    return found
