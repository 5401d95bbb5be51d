import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from ablate.errors import ExitCode, StoreError, StudyError
from ablate.plan import file
from ablate.plan.expand import expand
from ablate.plan.file import load_plan, save_plan
from ablate.plan.head import head_name, last_head, plan_name, plan_versions, planned_studies
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
    path = tmp_path / plan_name("toy")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StoreError, match=reason):
        load_plan(tmp_path, "toy")


def head_of(root: Path):
    return last_head(root, "toy")


@pytest.fixture
def history(toy_project, tmp_path: Path, monkeypatch):
    """Three plans, each of other code than the one before, saved an hour apart."""
    root, plans = tmp_path / "runs", []
    for index, code in enumerate(("0.1", "0.2", "0.3")):
        toy_project.edit(f"gauss(0.0, {plans[-1][1] if plans else 0.1})", f"gauss(0.0, {code})", "toy/noise.py")
        plans.append((expand(load_study(toy_project.study)), code))
        monkeypatch.setattr(file, "datetime", Clock(index))
        save_plan(root, plans[-1][0])
    return root, [plan for plan, _ in plans]


class Clock:
    def __init__(self, hour: int) -> None:
        self.hour = hour

    def now(self, zone) -> datetime:
        return datetime(2026, 1, 1, self.hour, tzinfo=zone)


def test_every_plan_that_was_used_is_kept_under_its_version(history) -> None:
    root, plans = history
    heads = plan_versions(root, "toy")
    assert [head.version for head in heads] == [plan.version for plan in reversed(plans)]
    assert [head.first_used for head in heads] == [f"2026-01-01T0{hour}:00:00+00:00" for hour in (2, 1, 0)]
    assert {(head.scale, head.num_trials, head.study) for head in heads} == {("quick", 9, "toy")}
    assert heads[0].code == tuple(plans[2].code)
    for plan in plans:
        assert load_plan(root, "toy", plan.version) == load_plan(root, "toy", plan.version[:6]) == plan
    assert load_plan(root, "toy") == plans[2]


def test_the_previous_plan_is_the_newest_other_one_of_the_scale(history, toy_project) -> None:
    root, plans = history
    assert load_plan(root, "toy", "previous") == plans[1]
    save_plan(root, plans[0])  # back to the first code, which keeps its time
    assert load_plan(root, "toy", "previous") == plans[2]
    save_plan(root, expand(load_study(toy_project.study, ["scale=standard"])))
    assert load_plan(root, "toy", "previous") == plans[2]
    save_plan(root, plans[1])
    assert load_plan(root, "toy", "previous") == plans[2]


def test_an_unknown_version_is_told_with_those_there_are(history) -> None:
    root, plans = history
    with pytest.raises(StudyError, match="study 'toy' has no version 'zz' of its plan; there are: ") as raised:
        load_plan(root, "toy", "zz")
    assert f"{plans[2].version} (quick, 9 trials, first run 2026-01-01T02:00Z); {plans[1].version} (" in str(
        raised.value
    )
    with pytest.raises(StudyError, match="has no version ''"):
        load_plan(root, "toy", "")


def test_a_beginning_that_fits_several_versions_is_refused(history) -> None:
    root, _ = history
    for path in (root / plan_name("toy")).parent.glob("plans/*.head.json"):
        path.write_text(path.read_text().replace(f'"version": "{path.name[:2]}', '"version": "aa'))
    with pytest.raises(StudyError, match="has several versions 'aa' of its plan; there are: aa"):
        load_plan(root, "toy", "aa")


def test_without_another_plan_there_is_no_previous_one(plan, tmp_path: Path) -> None:
    save_plan(tmp_path, plan)
    with pytest.raises(StudyError, match="has no version 'previous' of its plan; there are: "):
        load_plan(tmp_path, "toy", "previous")


def test_a_plan_that_is_saved_again_is_left_alone(plan, tmp_path: Path) -> None:
    save_plan(tmp_path, plan)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*.json")}
    assert len(before) == 4
    save_plan(tmp_path, plan)
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*.json")} == before


def test_a_plan_of_an_earlier_ablate_is_still_read(plan, tmp_path: Path) -> None:
    save_plan(tmp_path, plan)
    path = tmp_path / plan_name("toy")
    content = json.loads(path.read_text())
    del content["code"]
    for name in ("design", "adaptive", "columns"):
        content["study"].pop(name, None)
    for arm in content["study"]["arms"]:
        for name in ("against", "levels", "spots"):
            del arm[name]
    for metric in content["study"]["metrics"]:
        del metric["equivalent_within"]
    path.write_text(json.dumps(content, indent=1))
    path.with_suffix(".head.json").unlink()
    found = load_plan(tmp_path, "toy")
    assert (found.trials, found.code, found.study.design) == (plan.trials, {}, None)
    head = head_of(tmp_path)
    assert (head.version, head.trial_ids, head.title) == (plan.version, tuple(plan.specs), plan.study.title)


def test_a_design_and_adaptive_replication_come_back(toy_project, tmp_path: Path) -> None:
    text = toy_project.study.read_text()
    head, _, rest = text.partition("arms:\n")
    rest = rest.partition("replicates: 2\n")[2]
    toy_project.write(
        "studies/toy.yaml",
        f"{head}design:\n  kind: sweep\n  factors:\n    sigma: {{key: method.sigma_mm, values: [20, 10, 40]}}\n"
        f"replicates: {{min: 2, max: 4, until: decided}}\n{rest}",
    )
    plan = expand(load_study(toy_project.study))
    save_plan(tmp_path, plan)
    assert load_plan(tmp_path, "toy") == plan
    assert plan.study.design.factors[0].numbers == (20, 10, 40)
    assert head_of(tmp_path).is_adaptive


def test_a_head_is_read_without_the_study_or_numbers(plan, tmp_path: Path) -> None:
    save_plan(tmp_path, plan)
    program = (
        "import sys\nfrom pathlib import Path\nfrom ablate.plan.head import last_head\n"
        f"head = last_head(Path({str(tmp_path)!r}), 'toy')\n"
        "print(head.num_trials, sorted({'pydantic', 'numpy', 'scipy', 'torch'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "9 []\n"


def test_a_study_that_was_never_planned_has_no_head_and_no_versions(tmp_path: Path) -> None:
    assert head_of(tmp_path) is None
    assert plan_versions(tmp_path, "toy") == []


def test_a_damaged_head_is_made_anew_from_the_plan(plan, tmp_path: Path) -> None:
    save_plan(tmp_path, plan)
    (tmp_path / head_name(plan_name("toy"))).write_text("{")
    assert head_of(tmp_path).version == plan.version
    (tmp_path / plan_name("toy")).write_text('{"study": 1, "specs": {}}')
    with pytest.raises(StoreError, match="is damaged"):
        head_of(tmp_path)
