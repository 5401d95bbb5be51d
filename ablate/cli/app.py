"""The command `ablate`: its verbs, and what holds for all of them. Each verb imports what it needs when it runs."""

import os
from collections.abc import Callable
from typing import Annotated

import typer

from ablate import __version__
from ablate.cli.chaos import chaos
from ablate.cli.comparing import compare
from ablate.cli.doctor import doctor
from ablate.cli.ending import DEBUG_VARIABLE, guarded
from ablate.cli.listing import list_studies
from ablate.cli.looking import status
from ablate.cli.making import new, schema
from ablate.cli.mirroring import sync, ui
from ablate.cli.planning import check, plan
from ablate.cli.reporting import report
from ablate.cli.running import run
from ablate.cli.usage import Commands
from ablate.errors import ExitCode

_EPILOG = """Exit codes: 0 done; 1 internal error; 2 the study, an override or the command line is wrong, or another
driver is at work; 3 some trials failed, or chaos found a difference; 4 interrupted, and the same command goes on;
5 a --fail-on gate is not met."""

app = typer.Typer(
    name="ablate",
    help="Ablation and hyperparameter studies: from one YAML file to the table, with intervals.",
    cls=Commands,
    epilog=_EPILOG,
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


_VERBS: dict[str, Callable[..., ExitCode]] = {
    "new": new,
    "check": check,
    "plan": plan,
    "run": run,
    "status": status,
    "list": list_studies,
    "report": report,
    "compare": compare,
    "ui": ui,
    "sync": sync,
    "chaos": chaos,
    "schema": schema,
    "doctor": doctor,
}
for _name, _verb in _VERBS.items():
    app.command(_name)(guarded(_verb))


def main() -> None:
    """Run the command line and exit."""
    app()
