"""What a study that stacks its seeds is planned as, and what is said about it."""

import pytest

from ablate.errors import StudyError
from ablate.plan.describe import describe
from ablate.plan.expand import expand
from ablate.plan.proposer import PlanProposer
from ablate.plan.stacks import stacks
from ablate.study.load import load_study
from ablate.trial import Outcome, Status

STACKED = """
from toy import tasks
from toy.tasks import Data, Method


def adapt(*, data: Data, seed: int, trial) -> dict[str, float]:
    return {"x": 1.0}


def adapt_stacked(*, data: Data, seeds: tuple[int, ...], trials: tuple) -> list[dict[str, float]]:
    return [{"x": 1.0} for _ in seeds]


def run(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    return {"error": 1.0, "multi/error": 1.0}


def run_stacked(*, method: Method, data: Data, seeds: tuple[int, ...], trials: tuple) -> list[dict[str, float]]:
    return [{"error": 1.0, "multi/error": 1.0} for _ in seeds]
"""


@pytest.fixture
def plan(toy_project):
    """The toy study with companions; three seeds, of which two are stacked."""
    toy_project.write("toy/stacked.py", STACKED)
    toy_project.edit("toy.tasks:run", "toy.stacked:run")
    toy_project.edit("toy.tasks:adapt", "toy.stacked:adapt")
    toy_project.edit("replicates: 2", "replicates: 3\nresources: {stack_seeds: 2}")
    return lambda: expand(load_study(toy_project.study))


def test_the_seeds_of_a_stack_stand_side_by_side(plan) -> None:
    arms = [trial.label for trial in plan().trials if trial.role == "arm"]
    pairs = [f"{arm} seed {seed}" for arm in ("ours", "rough", "by weight") for seed in (0, 1)]
    assert arms == [*pairs, "ours seed 2", "rough seed 2", "by weight seed 2"]


def test_ids_do_not_depend_on_stacking(plan, toy_project) -> None:
    stacked = plan()
    toy_project.edit("\nresources: {stack_seeds: 2}", "")
    assert set(stacked.specs) == set(plan().specs)


def test_a_stage_takes_the_studys_and_one_without_a_seed_is_left_alone(plan) -> None:
    found = plan()
    names = {trial.spec.id: trial.name for trial in found.trials}
    assert [(names[stack[0].id], [spec.seed for spec in stack]) for stack in stacks(found, found.specs)] == [
        ("adapted", [0, 1]),
        ("ours", [0, 1]),
        ("rough", [0, 1]),
        ("by weight", [0, 1]),
    ]


def test_the_plan_counts_stacks_of_what_is_left(plan, toy_project) -> None:
    found = plan()
    assert describe(found, [])[-1] == "stacked: 8 of these 13 trials in 4 stacks of at most 2 seeds"
    finished = {trial.spec.id for trial in found.trials if trial.role == "stage" or trial.name != "ours"}
    assert describe(found, finished)[-1] == "stacked: 2 of these 3 trials in 1 stack of at most 2 seeds"
    assert "stacked" not in describe(found, found.specs)[-1]


def test_an_adaptive_study_stacks_the_seeds_it_asks_for(plan, toy_project) -> None:
    toy_project.edit("replicates: 3", "replicates: {min: 3, max: 8, until: decided}")
    assert describe(plan(), [])[-1] == "stacked: 8 of these 13 trials in 4 stacks of at most 2 seeds"


def test_the_proposer_gives_a_stack_in_one_piece(plan) -> None:
    found = plan()
    proposer = PlanProposer(found, [])
    given = []
    while not given or len(given) < len(found.specs):
        ready = []
        while (answer := proposer.ask()) and hasattr(answer, "seed"):
            ready.append(answer)
        given += [found.labels[spec.id] for spec in ready]
        for spec in ready:
            proposer.tell(Outcome(trial_id=spec.id, attempt=1, status=Status.FINISHED))
    assert given == [found.labels[id_] for id_ in found.specs]


def test_a_stage_with_resources_of_its_own_says_itself_whether_it_is_stacked(plan, toy_project) -> None:
    toy_project.edit("needs: [pretrained]}", "needs: [pretrained], resources: {num_cpus: 2}}")
    toy_project.edit("toy.stacked:adapt", "toy.tasks:adapt")
    assert len(stacks(plan(), plan().specs)) == 3


def test_a_stage_that_inherits_needs_a_companion_too(plan, toy_project) -> None:
    toy_project.edit("toy.stacked:adapt", "toy.tasks:adapt")
    with pytest.raises(StudyError) as raised:
        plan()
    assert "resources.stack_seeds: task toy.tasks:adapt has no companion" in str(raised.value)
