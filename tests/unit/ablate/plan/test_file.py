import json
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.errors import ExitCode, StoreError, StudyError
from ablate.plan.expand import expand
from ablate.plan.file import load_plan, plan_path, planned_studies, save_plan
from ablate.study.load import load_study


@pytest.fixture
def plan(toy_project):
    toy_project.edit("{method.sigma_mm: 20}", "{method.sizes: [1, 2, 3]}")
    toy_project.edit("replicates: 2", "replicates: 2\ncurves: [{title: Error, metrics: [error]}]\nnotes: fine")
    return expand(load_study(toy_project.study, ["method.sigma_mm=1e-3"]))


def test_a_plan_comes_back_as_it_was_written(plan, tmp_path: Path) -> None:
    save_plan(tmp_path / "runs", plan)
    assert load_plan(tmp_path / "runs", "toy") == plan
    assert planned_studies(tmp_path / "runs") == ["toy"]


def test_a_plan_is_read_without_its_task_or_study(plan, tmp_path: Path, toy_project) -> None:
    save_plan(tmp_path / "runs", plan)
    program = (
        "import sys\nfrom pathlib import Path\nfrom ablate.plan.file import load_plan\n"
        f"plan = load_plan(Path({str(tmp_path / 'runs')!r}), 'toy')\n"
        "print(len(plan.trials), sorted({'toy', 'hydra', 'omegaconf', 'torch', 'ray'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "9 []\n"


def test_the_file_lists_the_trials_for_others_to_read(plan, tmp_path: Path) -> None:
    save_plan(tmp_path, plan)
    content = json.loads((tmp_path / "studies" / "toy" / "plan.json").read_text())
    first = plan.trials[-1]
    assert content["trials"][-1] == {
        "id": first.spec.id,
        "role": "arm",
        "name": "by weight",
        "seed": 1,
        "label": "by weight seed 1",
    }
    assert (content["scale"], content["seeds"]) == ("quick", [0, 1])


def test_a_study_without_a_plan_is_told_which_have_one(plan, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="has no plan of study 'toy'; it has none yet: "):
        load_plan(tmp_path, "toy")
    save_plan(tmp_path, plan)
    with pytest.raises(StudyError, match="has no plan of study 'tyo'; expected toy -- did you mean 'toy'") as raised:
        load_plan(tmp_path, "tyo")
    assert raised.value.exit_code is ExitCode.WRONG_INPUT


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"schema": 1', '"schema": 2', "expected schema 1, found 2"),
        ('"scale"', '"scala"', "is damaged .KeyError: 'scale'"),
        ('"better": "lower"', '"better": "best"', "is damaged .ValidationError"),
        ('"num_samples": 4', '"num_samples": 5', "is damaged .ValueError: trial "),
        ("{", "[", "expected a JSON object"),
    ],
)
def test_a_damaged_plan_is_refused(plan, tmp_path: Path, old: str, new: str, reason: str) -> None:
    save_plan(tmp_path, plan)
    path = plan_path(tmp_path, "toy")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StoreError, match=reason):
        load_plan(tmp_path, "toy")
