"""A whole run of benchmarks, twice: what is saved, what is compared, and what becomes of the table."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.table import BEGIN, END

PROJECT = Path(__file__).parents[3]
BENCH = """
import time

import pytest

from tests.bench.measuring import Contract, Peer

NAPS_S = {"short": 0.001, "long": 0.003}


@pytest.mark.parametrize("name", NAPS_S)
def test_naps(side_by_side, name):
    def peers():
        return {one: Peer(lambda nap_s=nap_s: time.sleep(nap_s)) for one, nap_s in NAPS_S.items()}

    side_by_side("naps", name, peers, unit="naps", contract=Contract(budget_s=0.0))
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with one benchmark, under the same conftest and with a table of its own."""
    shutil.copy(PROJECT / "tests" / "bench" / "conftest.py", tmp_path)
    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n")
    (tmp_path / "test_toy.py").write_text(BENCH)
    return tmp_path


def run(folder, *options):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-autosave", *options]
    # Without what the outer run says of itself: as a worker of xdist, pytest-benchmark would measure nothing.
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**outer, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_was_measured_side_by_side_is_saved_compared_and_tabled(folder):
    run(folder)
    (saved,) = (folder / ".benchmarks").rglob("0001_*.json")
    content = json.loads(saved.read_text())
    rows = {row["extra_info"]["peer"]: row for row in content["benchmarks"]}
    assert list(rows) == ["short", "long"]
    for name, row in rows.items():
        info, stats = row["extra_info"], row["stats"]
        assert (row["group"], stats["rounds"], info["reference"]) == ("naps", 7, "short")
        assert stats["median"] == pytest.approx(info["wall_s"][0], rel=1e-9)
        assert stats["min"] >= {"short": 0.001, "long": 0.003}[name]
        assert len(info["cpu_data_s"]) == 7
        assert info["cpu_s"][0] < info["wall_s"][0]
    machine = content["machine_info"]
    assert machine["versions"]["torch"] and machine["num_cores"] >= 1
    assert machine["threads"]["OMP_NUM_THREADS"] == "1"
    assert len(content["load_average"]) == 3
    assert "| naps | long | " in (folder / "README.md").read_text()
    shown = run(folder, "--benchmark-compare", "-k", "long")
    assert "(0001" in shown and "(NOW)" in shown
    assert "machine_info is different" not in shown
