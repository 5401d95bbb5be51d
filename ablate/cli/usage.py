"""How the command line itself is refused: one sentence and exit 2, as for every other wrong input."""

import re
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from ablate.errors import ExitCode, Fault

_UsageError: Any = typer.BadParameter.__mro__[1]
"""The base of every fault that the parser finds; typer gives it no public name."""

_WORDS = {"Value error, ": "", r"Input should be a valid (\w+).*": r"expected a number (\1)"}
"""The converter's words, as ours."""


class Commands(TyperGroup):
    """The verbs. Without any, the help is shown."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line and exit with its code."""
        given = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            code = super().main(
                given,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except _UsageError as error:
            _refuse(error, as_json="--json" in given)
            code = ExitCode.WRONG_INPUT
        except typer.Abort:
            code = ExitCode.INTERRUPTED
        sys.exit(code if isinstance(code, int) else ExitCode.DONE)


def _refuse(error: Any, *, as_json: bool) -> None:
    from ablate.cli.output import fault_entries, print_json

    message = " ".join(str(error.format_message()).split()).rstrip(".")
    for found, said in _WORDS.items():
        message = re.sub(found, said, message)
    command = error.ctx.command_path if error.ctx is not None else "ablate"
    fault = Fault(message=f"{message[:1].lower()}{message[1:]}; see `{command} --help`")
    if as_json:
        print_json(fault_entries([fault]))
    else:
        print(fault, file=sys.stderr, flush=True)
