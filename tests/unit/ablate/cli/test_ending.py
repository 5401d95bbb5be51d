"""How commands end: exit codes, sentences, tracebacks kept away."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from typer import Exit
from typer.testing import Result

from ablate.cli.ending import READER_GONE, guarded, same_command
from ablate.errors import BackendError, ExitCode, Fault, StudyError


def ending_of(error: BaseException) -> int:
    @guarded
    def command() -> ExitCode:
        raise error

    with pytest.raises(Exit) as ended:
        command()
    return ended.value.exit_code


@pytest.fixture(autouse=True)
def no_debugging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABLATE_DEBUG", raising=False)


def test_a_command_ends_with_its_own_code() -> None:
    with pytest.raises(Exit) as ended:
        guarded(lambda: ExitCode.SOME_FAILED)()
    assert ended.value.exit_code == ExitCode.SOME_FAILED


def test_all_faults_are_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Fault(message="unknown key", path=Path("a.yaml"), line=3, key="arms.x"), Fault(message="not there")]
    assert ending_of(StudyError(faults)) == ExitCode.WRONG_INPUT
    assert capsys.readouterr().err == "a.yaml:3: arms.x: unknown key\ncommand line: not there\n"


def test_a_backend_that_breaks_down_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending_of(BackendError("Ray could not be started")) == ExitCode.INTERNAL
    assert capsys.readouterr().err == "Ray could not be started\n"


def test_an_internal_error_is_one_line_and_its_traceback_is_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert ending_of(KeyError("weights")) == ExitCode.INTERNAL
    said = capsys.readouterr().err
    found = re.fullmatch(r"internal error: KeyError: 'weights'; the traceback is in (\S+), or run with .*\n", said)
    assert found
    assert "Traceback" in Path(found[1]).read_text()


def test_debugging_shows_the_traceback_of_an_internal_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ABLATE_DEBUG", "1")
    assert ending_of(KeyError("weights")) == ExitCode.INTERNAL
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_while_planning_is_an_interruption_without_a_traceback(
    ablate: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("ablate.study.load.load_study", interrupted)
    result = ablate("plan", "x.yaml")
    assert result.exit_code == ExitCode.INTERRUPTED
    assert "go" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", "from ablate.cli.app import main; main()", "list"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (READER_GONE, "")


def test_the_command_to_go_on_with_can_be_pasted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "ablate"
    monkeypatch.setattr("sys.argv", [str(program), "run", "my study.yaml", "method.sizes=[1,2]"])
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert same_command() == "bin/ablate run 'my study.yaml' 'method.sizes=[1,2]'"
    monkeypatch.setattr("shutil.which", lambda name: str(program))
    assert same_command() == "ablate run 'my study.yaml' 'method.sizes=[1,2]'"


def test_an_option_that_must_not_be_given_again_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    for given in (["--reuse", "none"], ["--reuse=none"]):
        monkeypatch.setattr("sys.argv", ["ablate", "run", *given, "x.yaml", "none=1"])
        assert same_command(without="--reuse") == "ablate run x.yaml none=1"
        assert same_command().split()[1:] == ["run", *given, "x.yaml", "none=1"]


def test_a_program_gets_faults_as_json_and_other_errors_as_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def ending(error: Exception) -> None:
        def command(*, as_json: bool) -> ExitCode:
            raise error

        with pytest.raises(Exit):
            guarded(command)(as_json=True)

    ending(StudyError([Fault(message="unknown key", path=Path("a.yaml"), line=3, column=5, key="x")]))
    said = capsys.readouterr()
    fault = {"path": "a.yaml", "line": 3, "column": 5, "key": "x", "message": "unknown key"}
    assert (json.loads(said.out), said.err) == ([fault], "")
    ending(BackendError("Ray could not be started"))
    assert capsys.readouterr() == ("", "Ray could not be started\n")
