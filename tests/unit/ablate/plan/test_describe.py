from ablate.plan.describe import describe
from ablate.plan.expand import expand
from ablate.study.load import load_study


def test_a_plan_is_told_in_three_lines(toy_project) -> None:
    plan = expand(load_study(toy_project.study))
    finished = [*list(plan.specs)[:3], "of another study"]
    assert describe(plan, finished) == [
        "toy at scale quick, seeds 0 to 1",
        "1 pretrained, 2 adapted, 6 trials; 3 finished, 6 to run",
        "arms: ours (reference); rough; by weight",
    ]


def test_one_seed_and_one_trial_are_told_as_one(toy_project) -> None:
    toy_project.edit("  rough: {method.sigma_mm: 20}\n  by weight: {method.kind: weighted}\n", "")
    plan = expand(load_study(toy_project.study, ["replicates=1", "first_seed=4"]))
    assert describe(plan, [])[:2] == [
        "toy at scale quick, seed 4",
        "1 pretrained, 1 adapted, 1 trial; 0 finished, 3 to run",
    ]
