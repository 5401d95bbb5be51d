"""A stranger's method: task, metrics and data in a package outside this project, and `core` cannot be imported."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ablate.errors import ExitCode

PROGRAM = Path(sys.executable).with_name("ablate")
STRANGER = Path(__file__).with_name("stranger")
STUDY, ADAPTIVE = "studies/constituents.yaml", "studies/until_decided.yaml"
REFERENCE = "solar=kept, daily=kept"
Ablate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stranger's project, with a `core` in front of ours that cannot be imported."""
    root = tmp_path_factory.mktemp("stranger") / "project"
    shutil.copytree(STRANGER, root, ignore=shutil.ignore_patterns("__pycache__"))
    wall = root.parent / "wall" / "core"
    wall.mkdir(parents=True)
    (wall / "__init__.py").write_text("raise ImportError('core cannot be imported here')\n")
    return root


@pytest.fixture
def surroundings(project: Path, environment: None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{project.parent / 'wall'}{os.pathsep}{project}"}


@pytest.fixture
def ablate(project: Path, surroundings: dict[str, str]) -> Ablate:
    def call(*arguments: str, code: ExitCode = ExitCode.DONE) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [str(PROGRAM), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            cwd=project,
            env=surroundings,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return call


def test_core_is_out_of_reach_there(project: Path, surroundings: dict[str, str]) -> None:
    command = [sys.executable, "-c", "import core"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project, env=surroundings)
    assert "core cannot be imported here" in done.stderr


@pytest.mark.ray
def test_every_verb_works_on_it(ablate: Ablate, project: Path) -> None:
    assert "right: 16 trials, 5 arms, 3 seeds" in ablate("check", STUDY).stdout
    assert "16 to run" in ablate("plan", STUDY).stdout
    ran = ablate("run", STUDY)
    assert "16 of 16 trials are done, 16 of them in this run" in ran.stdout
    assert "all 16 trials were done before: nothing was run" in ablate("run", STUDY).stdout
    assert "16 finished" in ablate("status", "constituents").stdout
    assert "16/16" in ablate("list").stdout
    assert json.loads(ablate("schema").stdout)["properties"]["study"]
    assert "17 runs" in ablate("doctor").stdout

    compared = ablate("compare", f"constituents:{REFERENCE}", "constituents:solar=dropped, daily=kept", "--json")
    rows = json.loads(compared.stdout)["comparison"]["rows"]
    assert {row["metric"]["name"]: row["verdict"] for row in rows}["test/rmse"] == "better"

    written = ablate("report", "constituents", "-o", "table.tex")
    assert "table.tex" in written.stdout
    told = json.loads((project / "runs" / "studies" / "constituents" / "report.json").read_text())
    assert told["study"]["name"] == "constituents"
    gate = ablate("report", "constituents", "--fail-on", "worse", code=ExitCode.GATE_NOT_MET)
    assert "solar=dropped" in gate.stderr

    (project / "runs" / "mlflow.db").unlink()
    assert "constituents: 17 runs created" in ablate("sync").stdout
    assert "constituents: 0 runs created, 0 updated, 17 unchanged" in ablate("sync").stdout


def test_seeds_are_added_until_it_is_decided_and_no_further(ablate: Ablate, project: Path) -> None:
    ablate("run", ADAPTIVE, "--backend", "local", "--mlflow", "off")
    told = json.loads(ablate("report", "until_decided", "--json").stdout)
    counts = {row["arm"]: row["estimate"]["n"] for row in told["contrasts"]}
    verdicts = {row["arm"]: row["verdict"] for row in told["contrasts"]}
    assert verdicts["without S2"] == "worse"
    assert verdicts["longer"] == "undecided"
    assert 3 <= counts["without S2"] < counts["longer"] == 8, "only the undecided arm got more seeds"
    assert "nothing was run" in ablate("run", ADAPTIVE, "--backend", "local", "--mlflow", "off").stdout


def test_the_page_of_mlflow_opens_over_its_runs(ablate: Ablate, project: Path, surroundings: dict[str, str]) -> None:
    ablate("run", STUDY, "--backend", "local")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(PROGRAM), "ui", "constituents", "--port", str(port)]
    page = subprocess.Popen(command, cwd=project, env=surroundings, stdout=subprocess.PIPE, text=True)
    try:
        assert page.stdout is not None
        lines = [page.stdout.readline() for _ in range(3)]
        assert any("compare" in line for line in lines), lines
    finally:
        page.send_signal(signal.SIGTERM)
        page.communicate(timeout=60)


def test_a_new_study_of_ones_own_runs_at_once(ablate: Ablate, project: Path) -> None:
    ablate("new", "mooring")
    assert "nothing was run" not in ablate("run", "studies/mooring.yaml", "--backend", "local").stdout
    assert "nothing was run" in ablate("run", "studies/mooring.yaml", "--backend", "local").stdout
