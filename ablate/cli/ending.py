"""How a command ends: every exception becomes a sentence and an exit code; tracebacks go to a file unless asked for."""

import os
import shlex
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import typer

from ablate.cli.output import fault_entries, print_json
from ablate.cli.places import shown
from ablate.errors import AblateError, ExitCode, StudyError
from ablate.wording import without_password

DEBUG_VARIABLE = "ABLATE_DEBUG"
READER_GONE = 128 + 13
"""What the shell says of a program whose output was cut off (`ablate list | head -1`): 128 + SIGPIPE."""

_P = ParamSpec("_P")


def guarded(command: Callable[_P, ExitCode]) -> Callable[_P, None]:
    """Make a command end the way DESIGN says: with its own exit code, or with that of what went wrong.

    A command with a true `as_json` tells a study's faults as JSON.
    """

    @wraps(command)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                code: int = command(*args, **kwargs)
            sys.stdout.flush()
        except typer.Exit:
            raise
        except BrokenPipeError:
            _silence_stdout()
            code = READER_GONE
        except KeyboardInterrupt:
            complain(f"interrupted; the same command goes on from here: {same_command()}")
            code = ExitCode.INTERRUPTED
        except AblateError as error:
            _show_traceback_if_asked()
            _tell(error, as_json=kwargs.get("as_json") is True)
            code = error.exit_code
        except Exception as error:
            code = _internal(error)
        raise typer.Exit(code)

    return run


def _show_warning(message: Warning | str, *place: object, **more: object) -> None:
    """Show a warning as a sentence, without the line of our code that it came from."""
    complain(f"warning: {message}")


def complain(text: str) -> None:
    """Write to stderr."""
    print(text, file=sys.stderr, flush=True)


def same_command(*, without: str | None = None) -> str:
    """Give the command line that is running, so that it can be pasted to go on; passwords in addresses are left out.

    Args:
        without: An option with a value, to be left out.
    """
    program = sys.argv[0]
    found = shutil.which("ablate")
    is_known = found is not None and Path(found).resolve() == Path(program).resolve()
    arguments = sys.argv[1:]
    if without is not None:
        kept = zip(["", *arguments], arguments, strict=False)
        arguments = [one for before, one in kept if without not in (before, one) and not one.startswith(f"{without}=")]
    shareable = [without_password(one) for one in arguments]
    return shlex.join(["ablate" if is_known else shown(Path(program)), *shareable])


def _tell(error: AblateError, *, as_json: bool) -> None:
    """Say what is wrong: a study's faults to a program as a list on stdout, everything else as sentences."""
    if as_json and isinstance(error, StudyError):
        print_json(fault_entries(error.faults))
    else:
        complain(str(error))


def _internal(error: Exception) -> ExitCode:
    sentence = f"internal error: {type(error).__name__}: {' '.join(str(error).split())}"
    if _debugging():
        _show_traceback_if_asked()
        complain(sentence)
        return ExitCode.INTERNAL
    with tempfile.NamedTemporaryFile(
        "w", prefix="ablate-error-", suffix=".log", encoding="utf-8", delete=False
    ) as file:
        file.write(f"{same_command()}\n\n{traceback.format_exc()}")
    complain(f"{sentence}; the traceback is in {file.name}, or run with `ablate --debug ...`")
    return ExitCode.INTERNAL


def _show_traceback_if_asked() -> None:
    if _debugging():
        traceback.print_exc()


def _debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def _silence_stdout() -> None:
    """Let the interpreter's last flush go nowhere, instead of raising again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
