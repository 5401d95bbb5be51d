"""`ablate new`: from an empty folder to a table, without another line being written."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.errors import ExitCode

from .conftest import PROGRAM


@pytest.fixture
def ablate_in(tmp_path: Path, environment: None):
    """Run a command in an empty folder."""
    folder = tmp_path / "empty"
    folder.mkdir()

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(PROGRAM), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            cwd=folder,
            env=os.environ,
        )

    call.folder = folder
    return call


@pytest.mark.ray
def test_a_new_study_runs_at_once(ablate_in) -> None:
    assert ablate_in("new", "lines").returncode == ExitCode.DONE
    checked = ablate_in("check", "studies/lines.yaml")
    assert checked.stdout == "studies/lines.yaml: right: 32 trials, 4 arms, 8 seeds\n", checked.stderr
    done = ablate_in("run", "studies/lines.yaml", "--quiet", "--mlflow", "off")
    assert (done.returncode, done.stderr) == (ExitCode.DONE, "")
    assert "32 of 32 trials are done" in done.stdout
    assert ablate_in("report", "lines", "--fail-on", "missing", "--fail-on", "failed").returncode == ExitCode.DONE
    gated = ablate_in("report", "lines", "--fail-on", "worse", "--metric", "fit/error")
    assert gated.returncode == ExitCode.GATE_NOT_MET
    assert gated.stderr.startswith("--fail-on worse: without robust loss against ours on fit/error (+0.5")
    assert "without decay" not in gated.stderr
    assert "fit/slope_error" not in gated.stderr
    assert list((ablate_in.folder / "runs" / "trials").glob("*/artifacts/fit.svg"))


def test_a_second_study_lives_in_the_same_project(ablate_in) -> None:
    assert ablate_in("new", "lines").returncode == ExitCode.DONE
    assert ablate_in("new", "circles", "--folder", ".").returncode == ExitCode.DONE
    for study in ("lines", "circles"):
        checked = ablate_in("check", f"studies/{study}.yaml")
        assert checked.returncode == ExitCode.DONE, checked.stderr
    again = ablate_in("new", "lines")
    assert again.returncode == ExitCode.WRONG_INPUT
    assert "lines/tasks.py: is there already and is not overwritten" in again.stderr


def test_an_interrupted_fit_ends_in_the_same_bits(ablate_in, monkeypatch) -> None:
    """The template keeps the promise that it makes: what is restored goes on as if nothing had happened."""
    ablate_in("new", "lines")
    monkeypatch.syspath_prepend(ablate_in.folder)
    tasks = importlib.import_module("lines.tasks")
    for name in ("lines.tasks", "lines"):
        del sys.modules[name]  # else this process takes the name for one that is installed
    Method, run = tasks.Method, tasks.run

    class Recorded:
        def __init__(self, state=None) -> None:
            self.state, self.states = state, []

        def restore(self):
            return self.state

        def report(self, step, metrics, *, state):
            self.states.append(state())

        def artifact(self, name):
            return ablate_in.folder / name

    whole = Recorded()
    result = run(method=Method(num_steps=30), seed=3, trial=whole)
    assert [state["step"] for state in whole.states] == [10, 20, 30]
    assert run(method=Method(num_steps=30), seed=3, trial=Recorded(whole.states[1])) == result
