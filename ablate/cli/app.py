"""The command `ablate`: its verbs, and what holds for all of them. Each verb imports what it needs when it runs."""

import os
from typing import Annotated

import typer

from ablate import __version__
from ablate.cli.ending import DEBUG_VARIABLE, guarded
from ablate.cli.looking import list_studies, status
from ablate.cli.planning import check, plan
from ablate.cli.reporting import report, ui
from ablate.cli.running import run

_EPILOG = """Exit codes: 0 done; 1 internal error; 2 the study, an override or the command line is wrong; 3 some trials
failed; 4 interrupted, and the same command goes on."""

app = typer.Typer(
    name="ablate",
    help="Ablation and hyperparameter studies: from one YAML file to the table, with intervals.",
    add_completion=False,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ablate {__version__}")
        raise typer.Exit


@app.callback()
def _for_all(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of whatever goes wrong.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


app.command("check")(guarded(check))
app.command("plan")(guarded(plan))
app.command("run")(guarded(run))
app.command("status")(guarded(status))
app.command("report")(guarded(report))
app.command("ui")(guarded(ui))
app.command("list")(guarded(list_studies))


def main() -> None:
    """Run the command line and exit."""
    app()
