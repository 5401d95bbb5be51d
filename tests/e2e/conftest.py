"""The installed command `ablate`, in a process of its own with a home of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Ablate = Callable[..., "subprocess.CompletedProcess[str]"]
PROGRAM = Path(sys.executable).with_name("ablate")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private home, one thread, and nothing set that would change where results go or what is shown."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("ABLATE_STORE", "ABLATE_DEBUG", "PYTHONPATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ablate(toy_project: object, environment: None) -> Ablate:
    """Run a command in the toy project to its end: `ablate("run", "studies/toy.yaml")`."""

    def call(*arguments: object, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [str(PROGRAM), *(str(argument) for argument in arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=200, env={**os.environ, **more}
        )

    return call


@pytest.fixture
def start_ablate(toy_project: object, environment: None) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a command in the toy project; its stderr can be read line by line."""

    def call(*arguments: object) -> "subprocess.Popen[str]":
        command = [str(PROGRAM), *(str(argument) for argument in arguments)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    return call
