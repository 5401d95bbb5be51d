from dataclasses import replace

import pytest

from ablate.search.stacks import Likeness, has_room, in_stacks
from ablate.trial import Resources, TrialSpec

THREE = Resources(stack_seeds=3)


def spec(seed: int | None, *, resources: Resources = THREE, **fields: object) -> TrialSpec:
    return TrialSpec(**{"task": "m:f", "parameters": {"x": 1}, "seed": seed, "resources": resources, **fields})


def nothing(trial_id: str) -> TrialSpec:
    raise AssertionError("nobody needs anything")


def sizes(*specs: TrialSpec) -> list[int]:
    known = {one.id: one for one in STAGES}
    return [len(stack) for stack in in_stacks(specs, Likeness(known.__getitem__))]


STAGES = [TrialSpec(task="m:g", parameters={"x": x}, seed=seed) for x in (1, 2) for seed in (0, 1)]
ONE_FOR_ALL = TrialSpec(task="m:h", parameters={}, seed=None)
STAGES.append(ONE_FOR_ALL)


def test_seeds_of_one_arm_are_put_together_as_far_as_there_is_room() -> None:
    assert sizes(*map(spec, range(7))) == [3, 3, 1]


@pytest.mark.parametrize(
    "other",
    [
        spec(1, task="m:g"),
        spec(1, parameters={"x": 2}),
        spec(1, code="another"),
        spec(1, resources=replace(THREE, num_cpus=2.0)),
        spec(1, needs={"h": ONE_FOR_ALL.id}),
    ],
    ids=["task", "parameters", "code", "resources", "needs"],
)
def test_whatever_else_differs_keeps_trials_apart(other: TrialSpec) -> None:
    assert sizes(spec(0), other) == [1, 1]


def test_by_default_and_without_a_seed_nothing_is_stacked() -> None:
    assert sizes(*(spec(seed, resources=Resources()) for seed in range(2))) == [1, 1]
    assert not has_room([spec(None)])


def test_stages_may_differ_in_their_seed_and_in_nothing_else() -> None:
    same = [spec(seed, needs={"g": STAGES[seed].id, "h": ONE_FOR_ALL.id}) for seed in (0, 1)]
    assert sizes(*same) == [2]
    assert sizes(same[0], spec(1, needs={"g": STAGES[3].id, "h": ONE_FOR_ALL.id})) == [1, 1]


def test_data_that_follow_from_the_seed_may_differ() -> None:
    assert Likeness(nothing).may_join(spec(1, data={"d": "b"}), [spec(0, data={"d": "a"})])
