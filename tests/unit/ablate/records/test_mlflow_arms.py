"""Short names, and what the arms of a study differ in."""

from dataclasses import replace

from ablate.records.mlflow_arms import arm_tags, short_names


def test_names_are_cut_to_their_shortest_unambiguous_end():
    assert short_names(["method.loss.weighting", "data.noise", "method.noise", "seed_mm"]) == {
        "method.loss.weighting": "weighting",
        "data.noise": "data.noise",
        "method.noise": "method.noise",
        "seed_mm": "seed_mm",
    }


def test_a_name_that_is_the_end_of_another_stays():
    assert short_names(["noise", "data.noise"]) == {"noise": "noise", "data.noise": "data.noise"}


def test_what_a_stage_was_told_tells_arms_apart(make_plan):
    plan = make_plan(seeds=(0,))
    stage, ours, uniform = plan.trials
    noisy = replace(stage, spec=replace(stage.spec, parameters={"data": {"sizes": [1]}}))
    same = replace(uniform, spec=replace(ours.spec, needs={"detector": noisy.spec.id}))
    tags = arm_tags(replace(plan, trials=(stage, noisy, ours, same)))
    assert tags == {ours.spec.id: {"arm.sizes": "8, 16"}, same.spec.id: {"arm.sizes": "1"}}


def test_a_single_arm_differs_in_nothing(make_plan):
    plan = make_plan()
    assert arm_tags(replace(plan, trials=plan.trials[:3])) == {trial.spec.id: {} for trial in plan.trials[1:3]}
