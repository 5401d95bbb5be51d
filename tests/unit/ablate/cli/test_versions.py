"""What lies between two plans, in words."""

from dataclasses import replace

import pytest

from ablate.cli.versions import arm_changes, plan_changes
from ablate.plan.expand import expand
from ablate.plan.model import Plan
from ablate.study.load import load_study


@pytest.fixture
def plan(toy_project) -> Plan:
    return expand(load_study(toy_project.study))


def changed(plan: Plan, *, only: str = "", **changes: object) -> Plan:
    """Give the plan with something else in all its trials, or in those of one name."""
    trials = [
        replace(trial, spec=replace(trial.spec, **changes)) if only in ("", trial.name) else trial
        for trial in plan.trials
    ]
    return replace(plan, trials=tuple(trials), code={**plan.code, "new": {"toy/tasks.py": "1", "toy/more.py": "2"}})


def test_nothing_is_said_to_be_different_where_nothing_is(plan: Plan) -> None:
    assert plan_changes(plan, plan) == ["code, data and parameters are the same"]


def test_scale_and_seeds_come_first(plan: Plan) -> None:
    other = replace(plan, scale="standard", seeds=(0, 1, 2))
    assert plan_changes(other, plan) == ["scale: quick -> standard", "seeds: 0 to 1 -> 0 to 2"]


def test_the_files_that_changed_are_named(plan: Plan) -> None:
    names = set(next(iter(plan.code.values())))
    assert names == {"toy/tasks.py", "toy/noise.py", "toy/__init__.py"}
    (line,) = plan_changes(changed(plan, code="new"), plan)
    assert line == "code changed: toy/__init__.py (gone), toy/more.py (added), toy/noise.py (gone), toy/tasks.py"
    assert plan_changes(changed(plan, code="other"), plan) == ["code changed: which files is not known any more"]


def test_what_changed_for_some_says_for_which(plan: Plan) -> None:
    (line,) = plan_changes(changed(plan, only="rough", data={"data": "1"}), plan)
    assert line == "data changed: data (in rough)"


def test_arms_differ_in_what_they_set(plan: Plan) -> None:
    assert arm_changes(plan, "rough", plan, "ours") == ["parameters changed: method.sigma_mm 5 -> 20"]
    other = changed(replace(plan, scale="standard"), task="toy.tasks:other", needs={})
    assert arm_changes(other, "ours", plan, "ours") == [
        "scale: quick -> standard",
        "task: toy.tasks:run -> toy.tasks:other",
        "needs changed: adapted",
    ]
