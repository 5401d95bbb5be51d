"""The verbs, their help, and the options that hold for all."""

from collections.abc import Callable

import pytest
from typer.testing import Result

from ablate import __version__
from ablate.errors import ExitCode

VERBS = ["check", "plan", "run", "status", "report", "ui", "list"]


def test_help_is_as_reviewed(
    ablate: Callable[..., Result], golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    pages = [ablate("--help"), *(ablate(verb, "--help") for verb in VERBS)]
    assert [page.exit_code for page in pages] == [0] * len(pages)
    golden("help.txt", "\n".join(page.stdout for page in pages))


def test_the_version_is_printed(ablate: Callable[..., Result]) -> None:
    assert ablate("--version").stdout == f"ablate {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["sync"], ["list", "--colour"], ["run"], ["run", "x.yaml", "--backend", "slurm"]]
)
def test_a_wrong_command_line_is_wrong_input(ablate: Callable[..., Result], arguments: list[str]) -> None:
    result = ablate(*arguments)
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert "Usage: ablate" in result.stderr


def test_debug_shows_the_traceback_of_wrong_input_too(ablate: Callable[..., Result]) -> None:
    result = ablate("--debug", "status", "nothing")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert "Traceback" in result.stderr
