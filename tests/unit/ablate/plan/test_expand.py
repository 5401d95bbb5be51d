from collections import Counter

import pytest

from ablate.errors import StudyError
from ablate.plan.expand import expand
from ablate.plan.model import Plan
from ablate.study.load import load_study

STAGES = """\
stages:
  pretrained: {task: "toy.tasks:pretrain"}
  adapted: {task: "toy.tasks:adapt", needs: [pretrained]}
task: toy.tasks:run
needs: [adapted]
"""


@pytest.fixture
def plan(toy_project):
    def plans(*overrides: str) -> Plan:
        return expand(load_study(toy_project.study, overrides))

    return plans


@pytest.fixture
def faults_of(plan):
    def faults(*overrides: str) -> list[str]:
        with pytest.raises(StudyError) as raised:
            plan(*overrides)
        return str(raised.value).splitlines()

    return faults


def ids(plan: Plan, name: str) -> list[str]:
    return [trial.spec.id for trial in plan.trials if trial.name == name]


def test_stages_come_first_then_seeds_outside_and_arms_inside(plan) -> None:
    assert [trial.label for trial in plan().trials] == [
        "pretrained",
        "adapted seed 0",
        "adapted seed 1",
        "ours seed 0",
        "rough seed 0",
        "by weight seed 0",
        "ours seed 1",
        "rough seed 1",
        "by weight seed 1",
    ]


def test_needs_lead_to_the_trial_of_the_same_seed(plan) -> None:
    found = plan()
    specs = found.specs
    for trial in found.trials:
        for stage, id_ in trial.spec.needs.items():
            assert specs[id_].seed in {None, trial.spec.seed}
            assert specs[id_].task == found.study.stages[stage].task


def test_a_plan_knows_its_scale_seeds_and_reference_configuration(plan) -> None:
    found = plan("scale=standard", "first_seed=5")
    assert (found.scale, found.seeds) == ("standard", (5, 6))
    assert found.configuration == {
        "method": {"sigma_mm": 5, "kind": "plain", "num_steps": 40},
        "data": {"num_samples": 4},
    }


def test_an_arm_forks_where_its_parameters_first_differ(plan, toy_project) -> None:
    before = plan()
    toy_project.edit("{method.sigma_mm: 20}", "{data.num_samples: 9}")
    after = plan()
    assert Counter(trial.name for trial in after.trials)["pretrained"] == 2
    assert Counter(trial.name for trial in after.trials)["adapted"] == 4
    assert ids(after, "ours") == ids(before, "ours")
    assert not set(ids(after, "rough")) & set(ids(before, "rough"))


def test_what_decides_nothing_does_not_change_an_id(plan, toy_project) -> None:
    before = plan()
    toy_project.edit("title: Does the weighting matter?", "title: Other words")
    toy_project.edit("{method.sigma_mm: 20}", "{method.sigma_mm: 2e1} # the same")
    toy_project.edit("replicates: 2", "replicates: 2\nresources: {num_cpus: 2, retries: 5}\nnotes: none")
    toy_project.edit("[method=smooth, data=dots]", "[data=dots, method=smooth, method.sigma_mm=5.0]")
    after = plan()
    assert list(after.specs) == list(before.specs)
    assert after.trials[-1].spec.resources.num_cpus == 2


def test_a_change_of_code_that_the_tasks_reach_changes_all_ids(plan, toy_project) -> None:
    before = plan()
    toy_project.edit("0.1", "0.2", name="toy/noise.py")
    assert not before.specs.keys() & plan().specs.keys()


def test_a_change_of_data_changes_the_ids(plan, toy_project) -> None:
    toy_project.write("images/1.png", "")
    before = plan("data.folder=images")
    toy_project.write("images/2.png", "")
    assert not before.specs.keys() & plan("data.folder=images").specs.keys()


def test_a_task_without_a_seed_runs_once_per_arm(plan, toy_project) -> None:
    toy_project.edit(STAGES, "task: toy.tasks:seedless\n")
    toy_project.edit(", data=dots", "")
    found = plan()
    assert found.seeds == ()
    assert [trial.label for trial in found.trials] == ["ours", "rough", "by weight"]


def test_stages_that_are_free_stand_by_their_resources(plan, toy_project) -> None:
    stages = "\n".join(
        f'  s{index}: {{task: "toy.tasks:pretrain{index}", resources: {{num_cpus: {1 + index % 2}}}}}'
        for index in range(4)
    )
    toy_project.edit(STAGES, f"stages:\n{stages}\ntask: toy.tasks:run\nneeds: [s0, s1, s2, s3]\n")
    code = "".join(
        f"\n\ndef pretrain{index}(*, data: Data) -> dict[str, float]:\n    return {{'x': {index}}}\n"
        for index in range(4)
    )
    toy_project.write("toy/tasks.py", (toy_project.root / "toy/tasks.py").read_text() + code)
    assert [trial.name for trial in plan().trials[:4]] == ["s0", "s2", "s1", "s3"]


def test_two_arms_that_resolve_to_the_same_trials_are_refused(faults_of, toy_project) -> None:
    toy_project.edit("rough: {method.sigma_mm: 20}", "rough: {method.sigma_mm: 5}")
    assert faults_of() == [
        "studies/toy.yaml:12:3: arms.rough: resolves to the same trials as arm 'ours': what it sets changes nothing"
    ]


def test_a_task_that_drops_the_seed_of_its_stage_is_refused(faults_of, toy_project) -> None:
    toy_project.edit("task: toy.tasks:run", "task: toy.tasks:seedless")
    (fault,) = faults_of()
    assert fault == (
        "studies/toy.yaml:9:1: needs: task toy.tasks:seedless takes no seed but needs stage 'adapted', "
        "which does: give it `seed: int`"
    )


def test_a_task_that_cannot_be_imported_is_told_with_its_line_beside_other_faults(faults_of, toy_project) -> None:
    toy_project.edit("toy.tasks:pretrain", "toy.tasks:pretrian")
    toy_project.edit("task: toy.tasks:run", "task: toy.taks:run")
    assert faults_of("method=smoth") == [
        "command line: method: conf/method has no option 'smoth'; expected one of sharp, smooth "
        "-- did you mean 'smooth'?",
        "studies/toy.yaml:6:16: stages.pretrained.task: task toy.tasks:pretrian cannot be used: "
        "toy.tasks has no 'pretrian' -- did you mean 'pretrain'?",
        "studies/toy.yaml:8:1: task: task toy.taks:run cannot be used: there is no module toy.taks "
        "-- did you mean 'tasks'?",
    ]


def test_a_missing_parameter_points_to_the_base(faults_of, toy_project) -> None:
    toy_project.edit("sigma_mm: float = 10.0", "sigma_mm: float", name="toy/tasks.py")
    toy_project.edit("sigma_mm: 5\n", "", name="conf/method/smooth.yaml")
    assert faults_of() == ["studies/toy.yaml:4:1: method.sigma_mm: missing: task toy.tasks:run needs it"]


def test_all_faults_of_the_parameters_are_told_at_once_where_they_were_set(faults_of, toy_project, golden) -> None:
    toy_project.edit("data=dots]", "data=dots, method.num_stesp=3, 'data.folder=nowhere']")
    toy_project.edit("kind: plain", "kind: plain\nsizes: [1, two]", name="conf/method/smooth.yaml")
    toy_project.edit("{method.sigma_mm: 20}", "{method.sgima_mm: 20, methd.x: 3, method: {num_steps: a, more: {x: 1}}}")
    golden("plan_faults.txt", "\n".join(faults_of("method.kind=wieghted", "data.foo.bar=3", "num_worker=1")) + "\n")


def test_a_check_imports_neither_torch_nor_what_runs_trials(toy_project) -> None:
    import subprocess
    import sys

    program = (
        "import sys\nfrom pathlib import Path\nfrom ablate.study.load import load_study\n"
        "from ablate.plan.expand import expand\nexpand(load_study(Path('studies/toy.yaml')))\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'optuna', 'scipy', 'pandas', 'matplotlib'} & sys.modules.keys()))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_a_plan_knows_the_files_behind_each_code_fingerprint(plan) -> None:
    found = plan()
    assert {spec.code for spec in found.specs.values()} == set(found.code)
    (files,) = found.code.values()
    assert list(files) == ["toy/__init__.py", "toy/noise.py", "toy/tasks.py"]


def test_equal_configurations_are_bound_and_data_is_looked_at_once(plan, toy_project) -> None:
    toy_project.edit(
        "    def fingerprint(self) -> str:\n",
        "    def fingerprint(self) -> str:\n        (Path('looked')).open('a').write('x')\n",
        name="toy/tasks.py",
    )
    toy_project.edit("rough: {method.sigma_mm: 20}", "rough: {data.num_samples: 9}")
    plan()
    assert (toy_project.root / "looked").read_text() == "xx"  # one for each of the two configurations of the data


def test_twins_that_a_design_made_are_told_at_the_design(faults_of, toy_project) -> None:
    toy_project.edit(
        "reference: ours\n",
        "design:\n  kind: factorial\n  factors:\n    sigma: {key: method.sigma_mm, values: [7, 8]}\n"
        "    size: {levels: {small: {}, same: {method.num_steps: 4}}}\n",
    )
    toy_project.edit("arms:\n  ours: {}\n  rough: {method.sigma_mm: 20}\n  by weight: {method.kind: weighted}\n", "")
    first, second = faults_of()
    assert "design: sigma=7, size=same: resolves to the same trials as arm 'sigma=7, size=small'" in first
    assert "design: sigma=8, size=same: resolves to the same trials as arm 'sigma=8, size=small'" in second
