"""What `ablate check` says about bad input, as a user sees it: each message names its place and what is right."""

from collections.abc import Callable
from typing import Any

import pytest

from ablate.errors import StudyError
from ablate.plan.expand import expand
from ablate.study.load import load_study

TYPED = """

class Errors(TypedDict):
    error: float


def typed(*, method: Method, seed: int) -> Errors:
    return {"error": method.sigma_mm}


def literal(*, method: Method, seed: int) -> dict[Literal["error", "multi/errors"], float]:
    return {"error": method.sigma_mm, "multi/errors": 1.0}


def typed_stacked(*, method: str, seeds: tuple[int, ...], trials: tuple, more: int) -> list[Errors]:
    return []
"""
STAGES = """\
stages:
  pretrained: {task: "toy.tasks:pretrain"}
  adapted: {task: "toy.tasks:adapt", needs: [pretrained]}
task: toy.tasks:run
needs: [adapted]
"""
ARMS = """\
arms:
  ours: {}
  rough: {method.sigma_mm: 20}
  by weight: {method.kind: weighted}
"""
DESIGN = """\
design:
  kind: factorial
  factors:
    sigma: {key: method.sigma_mm, values: [5, 10]}
    steps: {levels: {few: {method.num_steps: 4}, many: {method.num_steps: 40}}}
"""

CASES: dict[str, tuple[list[tuple[str, str]], list[str]]] = {
    "YAML syntax": ([("base: [method=smooth, data=dots]", "base: [method=smooth, data=dots")], []),
    "a doubled key": ([("replicates: 2", "replicates: 2\nreplicates: 3")], []),
    "unknown keys at any depth": (
        [
            ("replicates: 2", "replicate: 2"),
            ("needs: [pretrained]}", "need: [pretrained], resources: {cpus: 1}}"),
            ("{name: error, unit: mm, better: lower}", "{name: error, units: mm, better: lower}"),
        ],
        [],
    ),
    "wrong types": ([("replicates: 2", "replicates: 2.5"), ("needs: [adapted]", "needs: adapted")], []),
    "a reference that is no arm": ([("reference: ours", "reference: our")], []),
    "parameters that the task does not have": (
        [
            ("{method.sigma_mm: 20}", "{method.sigma: 20, metod.kind: plain}"),
            ("data=dots]", "data=dots, data.samples=3]"),
        ],
        ["method.step=3"],
    ),
    "values that a parameter does not take": (
        [("{method.sigma_mm: 20}", "{method.sigma_mm: wide, method.sizes: [1, two]}"), ("weighted}", "wieghted}")],
        [],
    ),
    "options that a Hydra group does not have": (
        [("data=dots]", "data=dot]"), ("{method.sigma_mm: 20}", "{method: sharpe}")],
        ["scale=standart"],
    ),
    "a metric that a TypedDict does not have": ([(STAGES, "task: toy.tasks:typed\n"), (", data=dots", "")], []),
    "a metric that Literal keys do not have": ([(STAGES, "task: toy.tasks:literal\n"), (", data=dots", "")], []),
    "two arms that are one": ([("method.sigma_mm: 20", "method.sigma_mm: 5.0")], []),
    "an empty plan": ([(ARMS, "arms: {}\n")], []),
    "no seeds": ([], ["replicates=0"]),
    "arms in a circle": (
        [("{method.sigma_mm: 20}", "{from: by weight}"), ("{method.kind:", "{from: rough, method.kind:")],
        [],
    ),
    "a package that may not be imported": ([("plugins: [toy]\n", "")], []),
    "a task that is not there": ([("toy.tasks:run", "toy.tasks:rum"), ("toy.tasks:adapt", "toy.task:adapt")], []),
    "a design that sets what no task takes": (
        [
            (ARMS, DESIGN),
            ("reference: ours\n", ""),
            ("method.sigma_mm, values", "method.sigma, values"),
            ("num_steps: 40", "num_steps: many"),
        ],
        [],
    ),
    "a design whose arms are one": (
        [(ARMS, DESIGN), ("reference: ours\n", ""), ("many: {method.num_steps: 40}", "many: {}")],
        [],
    ),
    "a design whose rules leave nothing": (
        [(ARMS, DESIGN + "  only: [{sigma: 5, steps: many}]\n  exclude: [{sigma: 5}]\n"), ("reference: ours\n", "")],
        [],
    ),
    "seeds stacked without a companion": ([("replicates: 2", "replicates: 2\nresources: {stack_seeds: 5}")], []),
    "a companion with other parameters": (
        [
            (STAGES, "task: toy.tasks:typed\n"),
            (", data=dots", ""),
            ("  - {name: multi/error, unit: mm, better: lower}\n", ""),
            ("replicates: 2", "replicates: 2\nresources: {stack_seeds: 5}"),
        ],
        [],
    ),
    "a stage without a seed that should be stacked": (
        [('"toy.tasks:pretrain"', '"toy.tasks:pretrain", resources: {stack_seeds: 2}')],
        [],
    ),
    "stacks of nothing": ([("replicates: 2", "replicates: 2\nresources: {stack_seeds: 0}")], []),
    "the command line": ([], ["method.sigma_mm", "method.sigma_mm=nan", "~data"]),
}


@pytest.fixture
def said(toy_project: Any) -> Callable[..., str]:
    """Check a changed study and give what is said."""
    original = toy_project.study.read_text()
    tasks = (toy_project.root / "toy/tasks.py").read_text()
    toy_project.write("toy/tasks.py", tasks.replace("import Literal", "import Literal, TypedDict") + TYPED)

    def check(changes: list[tuple[str, str]], overrides: list[str]) -> str:
        toy_project.write("studies/toy.yaml", original)
        for old, new in changes:
            toy_project.edit(old, new)
        with pytest.raises(StudyError) as raised:
            expand(load_study(toy_project.study, overrides))
        return str(raised.value)

    return check


def test_what_check_says_about_bad_input_is_as_reviewed(said: Callable[..., str], golden: Callable[..., None]) -> None:
    golden("check_faults.txt", "\n\n".join(f"# {name}\n{said(*case)}" for name, case in CASES.items()) + "\n")
