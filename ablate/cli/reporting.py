"""`report` and `ui`: the study's report from what the store holds, and MLflow's page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.places import StoreOption, StudyName, named, shown, store_root
from ablate.errors import ExitCode, Fault, StudyError

if TYPE_CHECKING:
    from ablate.plan.model import Plan
    from ablate.report.build import ReportFiles
    from ablate.store import Store

MLFLOW_DATABASE = "mlflow.db"
PIPED_WIDTH = 100

OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE.md", help="Also write the Markdown here, figures beside it."),
]
ServerOption = Annotated[
    str | None,
    typer.Option("--mlflow", metavar="URI", help="A server that runs already: only link to it.", show_default=False),
]
PortOption = Annotated[int, typer.Option("--port", help="Port of the page on this machine.")]
MaybeStudy = Annotated[
    str | None, typer.Argument(metavar="STUDY", help="The name of a study, or its file.", show_default=False)
]


def report(study: StudyName, output: OutputOption = None, store: StoreOption = None) -> ExitCode:
    """Write the report of what is done, and show its table."""
    from ablate.plan.file import load_plan
    from ablate.report.build import write_markdown
    from ablate.store import Store

    meant = named(study, store)
    plan = load_plan(meant.store, meant.name)
    trials = Store(meant.store)
    show_report(plan, trials)
    if output is not None:
        for path in write_markdown(plan, trials, output):
            print(f"written: {shown(path)}")
    return ExitCode.DONE


def ui(
    study: MaybeStudy = None, mlflow: ServerOption = None, port: PortOption = 5000, store: StoreOption = None
) -> ExitCode:
    """Open the MLflow page on the runs; ends with Ctrl-C."""
    from ablate.records.mlflow_ui import serve

    meant = named(study, store) if study else None
    root = meant.store if meant else store_root(store, Path.cwd())
    if mlflow is None and not (root / MLFLOW_DATABASE).is_file():
        raise StudyError([Fault(message=f"the store {shown(root)} has no {MLFLOW_DATABASE}; `ablate run` makes it")])
    serve(root, mlflow, study=meant.name if meant else None, port=port)
    return ExitCode.DONE


def show_report(plan: "Plan", store: "Store") -> "ReportFiles":
    """Write a study's reports into its store, print the table, and say where they lie."""
    from rich.console import Console

    from ablate.report.build import write_report
    from ablate.report.terminal import summary_table

    written = write_report(plan, store)
    console = Console()
    # Where nobody looks at it, the table keeps its full width.
    wide = Console(width=PIPED_WIDTH) if not console.is_terminal else console
    wide.print(summary_table(written.content.analysis, written.content.comparisons))
    print(f"report: {shown(written.html)} and {shown(written.markdown)}")
    return written
