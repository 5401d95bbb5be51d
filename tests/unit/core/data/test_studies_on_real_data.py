"""`data=human36m` and `data=panoptic` alone take the studies of the keypoint papers to real data.

On small archives in the true layout: every study is planned so, one study of each task computes a trial, and the
command line runs one as it is typed.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli.planning import make_plan
from ablate.target import instantiate
from core.data.panoptic import PanopticConfig
from core.interfaces import Standalone

ROOT = Path(__file__).parents[4]
TABLE1 = ROOT / "studies" / "rochette_table1.yaml"
STUDIES = [
    path
    for path in sorted([*ROOT.glob("studies/rochette_*.yaml"), *ROOT.glob("studies/hua_*.yaml")])
    if "data=" in path.read_text()
]
"""Those of Rochette et al. and of Hua et al.; one that measures a network alone has no data."""
SMALL = ("method.training.num_epochs=1", "method.training.steps_per_epoch=2")


@pytest.fixture(params=["human36m", "panoptic"])
def data(request, tmp_path, monkeypatch) -> str:
    """The override of each data set; its files lie where `ABLATE_DATA` says."""
    if request.param == "human36m":
        request.getfixturevalue("human36m")
    else:
        write = request.getfixturevalue("write_panoptic")
        write(tmp_path / "data", dict.fromkeys(PanopticConfig().sequences, 3), num_views=4)
    monkeypatch.setenv("ABLATE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("sys.path", list(sys.path))
    return f"data={request.param}"


def test_every_study_is_planned_on_real_data(data):
    for study in STUDIES:
        plan = make_plan(study, [data, "replicates=2"], yes=True)
        sources = {spec.parameters["data"]["source"] for spec in plan.specs.values()}
        assert sources == {data.removeprefix("data=")}, study.name
        assert len({one for spec in plan.specs.values() for one in spec.data.values()}) == 1


def test_one_study_of_each_task_computes_on_real_data(data, tmp_path):
    seen: set[str] = set()
    for study in STUDIES:
        task = next(line for line in study.read_text().splitlines() if line.startswith("task:"))
        if task in seen:
            continue
        seen.add(task)
        overrides = [data, "replicates=2", *(SMALL if "statistics" not in task else ())]
        spec = next(one.spec for one in make_plan(study, overrides, yes=True).trials if one.role == "arm")
        trial = Standalone(tmp_path / study.stem)
        metrics = instantiate(spec.task, spec.parameters, seed=spec.seed, trial=trial)()
        assert metrics, study.name


def test_the_command_line_runs_a_study_on_real_data(human36m, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_DATA", str(human36m.root))
    program = Path(sys.executable).with_name("ablate")
    options = ["--backend", "local", "--mlflow", "off", "--store", str(tmp_path / "runs"), "replicates=2"]
    command = [str(program), "run", str(TABLE1), "data=human36m", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("trials/*/record.json")]
    assert {record["metrics"]["frames"] for record in records} == {144, 36, 60, 240}
