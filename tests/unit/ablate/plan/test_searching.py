"""What `check` says of a search, and what a study that searches plans."""

from collections.abc import Callable
from typing import Any

import pytest

from ablate.errors import StudyError
from ablate.plan.expand import expand
from ablate.study.load import load_study

SEARCH = """\
search:
  per: arm
  space:
    method.sigma_mm: {type: float, low: 1, high: 100, log: true}
    method.num_steps: {type: int, low: 2, high: 8}
    data.num_samples: {choices: [4, 5]}
  budget: 6
  metric: error
  seeds: 2
"""
RANGE = "method.sigma_mm: {type: float, low: 1, high: 100, log: true}"
INT = "method.num_steps: {type: int, low: 2, high: 8}"
SPLIT = '    evaluate_on: Literal["validation", "test"] = "test"\n'


@pytest.fixture
def searching(toy_project: Any) -> Any:
    """The toy project with a search, and a task that tells validation from test data."""
    toy_project.edit("    num_steps: int = 4\n", f"    num_steps: int = 4\n{SPLIT}", "toy/tasks.py")
    toy_project.edit("metrics:\n", f"{SEARCH}metrics:\n")
    return toy_project


CASES: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "bounds the wrong way round": ([("low: 1, high: 100, log: true", "low: 100, high: 1")], []),
    "a log range through zero": (
        [("low: 1, high", "low: 0, high"), ("low: 2, high: 8", "low: -2, high: 8, log: true")],
        [],
    ),
    "ranges that are none": (
        [
            (RANGE, "method.sigma_mm: {low: 1, high: 2}"),
            (INT, "method.num_steps: {type: int, low: 1.5, high: 8, step: 3}"),
            ("{choices: [4, 5]}", "{choices: [4, 4], step: 1}"),
        ],
        [],
    ),
    "steps that lead nowhere": (
        [
            (RANGE, "method.sigma_mm: {type: float, low: 1, high: 2, step: 0.3}"),
            ("high: 8}", "high: 8, log: true, step: 2}"),
        ],
        [],
    ),
    "unknown keys at any depth": ([("high: 8}", "hihg: 8}"), ("  budget: 6", "  budget: {trails: 6}")], []),
    "an unknown sampler and an unknown pruner": (
        [("  budget: 6", "  budget: 6\n  sampler: tpee\n  pruner: {name: ash}")],
        [],
    ),
    "a budget that never ends": ([("  budget: 6", "  budget: {}")], []),
    "a grid over what has no grid": (
        [("  budget: 6", "  budget: 6\n  sampler: grid"), ("{choices: [4, 5]}", "{choices: [4, 5], when: {a.b: 1}}")],
        [],
    ),
    "a metric that is not there": ([("  metric: error", "  metric: eror")], []),
    "a metric of the test split": (
        [("  metric: error", "  metric: test/error"), ("name: error,", "name: test/error,")],
        [],
    ),
    "several metrics": ([("  metric: error", "  metric: [error, multi/error]")], []),
    "conditions on what is no choice": (
        [
            ("high: 8}", "high: 8, when: {method.sigma_mm: 3}}"),
            ("log: true}", "log: true, when: {data.num_samples: 6}}"),
        ],
        [],
    ),
    "conditions in a circle": (
        [
            (RANGE, "method.kind: {choices: [plain, weighted], when: {data.num_samples: 4}}"),
            ("[4, 5]}", "[4, 5], when: {method.kind: plain}}"),
        ],
        [],
    ),
    "adaptive replication": ([("replicates: 2", "replicates: {min: 2, max: 4}")], []),
    "parameters that no task has": (
        [("method.num_steps:", "method.num_step:"), ("data.num_samples:", "dta.num_samples:")],
        [],
    ),
    "values that a parameter does not take": (
        [
            (INT, "method.num_steps: {type: float, low: 2.5, high: 8}"),
            ("data.num_samples: {choices: [4, 5]}", "method.kind: {choices: [plain, wieghted]}"),
            ("by weight: {method.kind: weighted}", "by weight: {method.sizes: [1]}"),
        ],
        [],
    ),
    "what arms set": ([(RANGE, f"{RANGE}\n    method.kind: {{choices: [plain, weighted]}}")], []),
    "what the platform decides": ([(INT, "seed: {choices: [0, 1]}\n    replicates: {type: int, low: 1, high: 3}")], []),
    "who says what is measured": (
        [
            ("data=dots]", "data=dots, method.evaluate_on=test]"),
            ("ours: {}", "ours: {method: {evaluate_on: validation}}"),
            ("data.num_samples: {choices: [4, 5]}", "method.evaluate_on: {choices: [validation, test]}"),
        ],
        ["method.evaluate_on=validation"],
    ),
    "seeds of the table": ([("  seeds: 2", "  seeds: {number: 2, first: 1}")], []),
}


@pytest.fixture
def said(searching: Any) -> Callable[..., str]:
    """Check a changed study and give what is said."""
    original = searching.study.read_text()

    def check(changes: list[tuple[str, str]], overrides: list[str]) -> str:
        searching.write("studies/toy.yaml", original)
        searching.edit("\n  rough: {method.sigma_mm: 20}", "")
        for old, new in changes:
            searching.edit(old, new)
        with pytest.raises(StudyError) as raised:
            expand(load_study(searching.study, overrides))
        return str(raised.value)

    return check


def test_what_check_says_of_a_search_is_as_reviewed(said: Callable[..., str], golden: Callable[..., None]) -> None:
    golden("search_faults.txt", "\n\n".join(f"# {name}\n{said(*case)}" for name, case in CASES.items()) + "\n")


@pytest.fixture
def plan(searching: Any) -> Any:
    searching.edit("  rough: {method.sigma_mm: 20}\n", "")
    return expand(load_study(searching.study))


def test_a_task_that_does_not_tell_validation_from_test_is_refused(said: Callable[..., str], searching: Any) -> None:
    searching.edit(SPLIT, "", "toy/tasks.py")
    assert "toy.yaml:8:1: task: a search needs a task with one parameter of type Literal" in said([], [])
    searching.edit(
        "    num_samples: int = 5\n",
        f"    num_samples: int = 5\n{SPLIT}{SPLIT.replace('evaluate', 'test')}",
        "toy/tasks.py",
    )
    assert "it has several: data.evaluate_on, data.test_on" in said([], [])


def test_what_is_known_beforehand_are_the_untuned_arms_on_test_data(plan: Any) -> None:
    untuned = [trial for trial in plan.trials if trial.role == "untuned"]
    assert [trial.label for trial in untuned[:2]] == ["ours untuned seed 0", "by weight untuned seed 0"]
    assert {trial.spec.parameters["method"]["evaluate_on"] for trial in untuned} == {"test"}
    assert {trial.role for trial in plan.trials} == {"untuned", "stage"}
    assert [(one.arm, one.arms) for one in plan.searches] == [("ours", ("ours",)), ("by weight", ("by weight",))]


def test_configurations_run_on_validation_data_with_the_searchs_seeds_and_the_winner_on_test_data(plan: Any) -> None:
    given = {"method.sigma_mm": 3.0, "data.num_samples": 5}
    tried = plan.configurations.tried("by weight", "by weight #0", given)
    mains = [trial for trial in tried if trial.role == "search"]
    assert [trial.spec.seed for trial in mains] == [1000, 1001]
    for trial in mains:
        method = trial.spec.parameters["method"]
        assert (method["sigma_mm"], method["kind"], method["evaluate_on"]) == (3.0, "weighted", "validation")
    assert {trial.spec.parameters["data"]["num_samples"] for trial in tried} == {5}  # stages follow what they take
    measured = [trial for trial in plan.configurations.measured("by weight", given) if trial.role == "arm"]
    assert [(trial.label, trial.spec.parameters["method"]["evaluate_on"]) for trial in measured] == [
        ("by weight seed 0", "test"),
        ("by weight seed 1", "test"),
    ]


def test_a_larger_budget_is_the_same_search_and_another_space_is_not(searching: Any, plan: Any) -> None:
    keys = [one.key for one in plan.searches]
    searching.edit("  budget: 6", "  budget: {trials: 60, hours: 2}\n  parallel: 3")
    assert [one.key for one in expand(load_study(searching.study)).searches] == keys
    searching.edit("high: 100", "high: 101")
    assert not set(keys) & {one.key for one in expand(load_study(searching.study)).searches}


def test_without_arms_there_is_one(searching: Any) -> None:
    text = searching.study.read_text()
    searching.write(
        "studies/toy.yaml",
        text[: text.index("arms:")] + text[text.index("replicates:") :].replace("per: arm", "per: study"),
    )
    plan = expand(load_study(searching.study))
    assert [(one.arm, one.arms) for one in plan.searches] == [("base", ("base",))]


def test_per_study_tunes_the_reference_for_all_arms(searching: Any) -> None:
    searching.edit("  rough: {method.sigma_mm: 20}\n", "")
    searching.edit("per: arm", "per: study")
    plan = expand(load_study(searching.study))
    assert [(one.arm, one.arms) for one in plan.searches] == [("ours", ("ours", "by weight"))]
