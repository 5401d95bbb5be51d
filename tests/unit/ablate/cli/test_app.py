"""The verbs, their help, and the options that hold for all."""

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from ablate import __version__
from ablate.errors import ExitCode

VERBS = "new check plan run status list report compare ui sync chaos schema doctor".split()


def test_help_is_as_reviewed(
    ablate: Callable[..., Result], golden: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    pages = [ablate("--help"), *(ablate(verb, "--help") for verb in VERBS)]
    assert [page.exit_code for page in pages] == [0] * len(pages)
    golden("help.txt", "\n".join(page.stdout for page in pages))


def test_the_version_is_printed(ablate: Callable[..., Result]) -> None:
    assert ablate("--version").stdout == f"ablate {__version__}\n"


def test_without_a_verb_the_help_is_shown(ablate: Callable[..., Result]) -> None:
    assert (ablate().exit_code, ablate().stdout) == (0, ablate("--help").stdout)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["synch"], "command line: no such command 'synch'. Did you mean 'sync'?; see `ablate --help`"),
        (["list", "--colour"], "command line: no such option: --colour; see `ablate list --help`"),
        (["run"], "command line: missing argument 'STUDY.yaml'; see `ablate run --help`"),
        (
            ["run", "x.yaml", "--backend", "slurm"],
            "command line: invalid value for '--backend': 'slurm' is not one of 'ray', 'local'; "
            "see `ablate run --help`",
        ),
        (
            ["ui", "--port", "http"],
            "command line: invalid value for '--port': expected a number (integer); see `ablate ui --help`",
        ),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    ablate: Callable[..., Result], arguments: list[str], sentence: str
) -> None:
    result = ablate(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (ExitCode.WRONG_INPUT, "", f"{sentence}\n")


def test_a_program_gets_the_faults_of_the_command_line_as_json(ablate: Callable[..., Result]) -> None:
    result = ablate("check", "--json")
    assert (result.exit_code, result.stderr) == (ExitCode.WRONG_INPUT, "")
    message = "missing argument 'STUDY.yaml'; see `ablate check --help`"
    assert json.loads(result.stdout) == [{"path": None, "line": None, "column": None, "key": "", "message": message}]


def test_the_completion_of_the_shell_is_shown(ablate: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: ("bash", "/bin/bash"))
    assert "_ABLATE_COMPLETE=complete_bash" in ablate("--show-completion").stdout


def test_debug_shows_the_traceback_of_wrong_input_too(ablate: Callable[..., Result]) -> None:
    result = ablate("--debug", "status", "nothing")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert "Traceback" in result.stderr
