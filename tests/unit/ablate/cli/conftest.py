"""The command line called in this process."""

import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result


@pytest.fixture
def ablate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call a command: `ablate("list").stdout`."""
    from ablate.cli.app import app

    monkeypatch.delenv("ABLATE_STORE", raising=False)
    monkeypatch.setenv("ABLATE_DEBUG", "")
    monkeypatch.setattr("sys.argv", ["ablate"])
    monkeypatch.setattr("sys.path", list(sys.path))  # commands make the study's project importable

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="ablate")

    return call
