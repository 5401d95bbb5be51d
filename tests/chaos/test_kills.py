"""Two real studies, killed at random moments and crashed at every step of the store's writes: nothing comes out else.

Each is compared with an undisturbed run of its own: records, curves, files, reports and MLflow, byte for byte but for
times and hosts (`ablate.run.chaos_equal` says what exactly).
"""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ablate.errors import ExitCode

pytestmark = [pytest.mark.chaos, pytest.mark.ray]

PROJECT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("ablate")
NUM_KILLS = 26
DOUBLED = (
    "SELECT tags.value, metrics.key, step, COUNT(*) FROM metrics JOIN tags ON tags.run_uuid = metrics.run_uuid "
    "AND tags.key = 'ablate.trial_id' WHERE metrics.key NOT LIKE 'system/%' "
    "GROUP BY tags.value, metrics.key, step HAVING COUNT(*) > 1 ORDER BY 1, 2, 3"
)
"""Where MLflow has more than one value at a step."""
TRIALS = "SELECT COUNT(*), COUNT(DISTINCT value) FROM tags WHERE key = 'ablate.trial_id'"


@pytest.fixture
def chaos(tmp_path, capsys):
    """Run `ablate chaos` on a study, print its summary, and give what it found."""

    def call(folder: Path, *arguments: object) -> dict:
        command = [PROGRAM, "chaos", *arguments, "--json", "--keep", tmp_path / "kept"]
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == ExitCode.DONE, done.stdout
        found = json.loads(done.stdout)
        with capsys.disabled():
            lost_s = [kill["lost_s"] for kill in found["kills"] if kill["lost_s"]]
            steps_s = [kill["first_step_s"] for kill in found["kills"] if kill["first_step_s"]]
            print(f"\n{arguments[0]}: {len(found['kills'])} kills, lost work {lost_s} s, first steps {steps_s} s")
        return found

    return call


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("study", ["sportcenter_weights", "roy_fig4"])
def test_a_study_comes_out_the_same_after_random_kills(chaos, tmp_path, study):
    found = chaos(PROJECT, f"studies/{study}.yaml", "--kills", NUM_KILLS)
    assert found["is_equal"] and not found["differences"]
    assert len(found["kills"]) >= NUM_KILLS
    assert {kill["what"] for kill in found["kills"]} == {"worker", "driver"}
    databases = [tmp_path / "kept/undisturbed/mlflow.db", *tmp_path.glob("kept/disturbed-*/mlflow.db")]
    assert len(databases) > 1
    for database in databases:
        assert _rows(database, DOUBLED) == []
        assert _rows(database, TRIALS) == [(found["num_trials"], found["num_trials"])]


def _rows(database: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.timeout(2400)
def test_a_crash_at_every_step_of_the_stores_writes_leaves_nothing_behind(chaos, toy_project):
    arguments = ("--backend", "local", "--no-mlflow", "--kills", 2, "--checkpoint-interval", 0)
    found = chaos(toy_project.root, "studies/toy.yaml", "method.num_steps=12", *arguments, "--fault-points")
    assert found["is_equal"]
    for step in ("link trials/*/record.json", "write trials/*/curves.jsonl", "fsync trials/*/attempts"):
        assert f"before {step}" in found["points"] and f"after {step}" in found["points"]
    assert any("checkpoints/latest.json" in name for name in found["points"])
    assert len(found["points_left"]) <= 2, found["points_left"]
