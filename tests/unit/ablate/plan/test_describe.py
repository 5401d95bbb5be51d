import pytest

from ablate.plan.causes import Cause, Kind, Reason
from ablate.plan.describe import describe, trial_lines
from ablate.plan.expand import expand
from ablate.study.load import load_study

ARMS = "  rough: {method.sigma_mm: 20}\n  by weight: {method.kind: weighted}\n"
ADAPTIVE = "replicates: {min: 2, max: 5, until: decided, metric: multi/error}"


@pytest.fixture
def plan(toy_project):
    return lambda *overrides: expand(load_study(toy_project.study, overrides))


def reason(kind: Kind, detail: str = "") -> Reason:
    return Reason(causes=(Cause(kind=kind, items=(detail,) if detail else ()),))


def test_a_plan_is_told_in_four_lines(plan) -> None:
    found = plan()
    finished = [*list(found.specs)[:3], "of another study"]
    assert describe(found, finished) == [
        "toy at scale quick, seeds 0 to 1",
        "pretrained 1 -> adapted 2 -> 6 trials (3 arms x 2 seeds)",
        "arms: ours (reference); rough; by weight",
        "3 finished, 6 to run",
    ]


def test_one_seed_and_one_trial_are_told_as_one(plan, toy_project) -> None:
    toy_project.edit(ARMS, "")
    lines = describe(plan("replicates=1", "first_seed=4"), [])
    assert lines[:2] == ["toy at scale quick, seed 4", "pretrained 1 -> adapted 1 -> 1 trial"]


def test_a_fork_and_what_is_needed_beside_are_drawn(plan, toy_project) -> None:
    toy_project.edit("rough: {method.sigma_mm: 20}", "rough: {data.num_samples: 9}")
    toy_project.edit("needs: [adapted]\narms", "needs: [adapted, pretrained]\narms")
    assert describe(plan(), [])[1] == "pretrained 2 -> adapted 4 -> 6 trials (3 arms x 2 seeds, with pretrained)"


STAGE = """\
import json
from toy.tasks import Data


def one(*, data: Data) -> dict[str, float]:
    return {"x": 1.0}


def two(*, data: Data, y: int = 2) -> dict[str, float]:
    return {"x": 2.0}


def three(*, data: Data, seed: int) -> dict[str, float]:
    return {"x": 3.0}
"""


@pytest.mark.parametrize(
    ("stages", "lines"),
    [
        (
            {"a": ("one", []), "b": ("two", []), "c": ("three", ["a", "b"])},
            ["a 1 -> c 2 (with b 1) -> 6 trials (3 arms x 2 seeds)"],
        ),
        (
            {"a": ("one", []), "b": ("two", ["a"]), "d": ("three", ["a"]), "c": ("three", ["b", "d"])},
            ["a -> d 2", "a 1 -> b 1 -> c 2 (with d) -> 6 trials (3 arms x 2 seeds)"],
        ),
        ({"c": ("one", [])}, ["c 1 -> 6 trials (3 arms x 2 seeds)"]),
    ],
)
def test_stages_that_are_no_chain_are_still_readable(plan, toy_project, stages, lines) -> None:
    toy_project.write("toy/stages.py", STAGE)
    entries = "".join(
        f"  {name}: {{task: toy.stages:{task}, needs: {needs}}}\n" for name, (task, needs) in stages.items()
    )
    text = toy_project.study.read_text().replace("'", "")
    head, _, rest = text.partition("stages:\n")
    rest = rest.partition("task: toy.tasks:run\nneeds: [adapted]\n")[2]
    toy_project.write(
        "studies/toy.yaml", f"{head}stages:\n{entries}task: toy.tasks:run\nneeds: [c]\n{rest}".replace("'", "")
    )
    found = describe(plan(), [])
    assert found[1 : 1 + len(lines)] == lines
    assert found[1 + len(lines)].startswith("arms: ")


def test_many_arms_are_cut(plan, toy_project) -> None:
    toy_project.edit(ARMS, "".join(f"  arm {i}: {{method.sigma_mm: {i + 100}}}\n" for i in range(999)))
    (line,) = [line for line in describe(plan("replicates=1"), []) if line.startswith("arms")]
    assert line.endswith("; arm 9; arm 10; ... and 988 more")


def test_reasons_are_grouped_and_what_is_a_trials_own_is_left_out(plan) -> None:
    found = plan()
    ids = list(found.specs)
    why = dict.fromkeys(ids, reason(Kind.CODE, "toy/noise.py")) | {
        ids[0]: reason(Kind.CACHED),
        ids[1]: reason(Kind.INTERRUPTED, "goes on from step 3"),
        ids[2]: reason(Kind.INTERRUPTED, "goes on from step 8"),
    }
    assert describe(found, ids[:1], why)[-1] == "1 finished, 8 to run: 6 code changed: toy/noise.py; 2 interrupted"
    assert trial_lines(found, why)[1:4] == [
        f"{ids[1]}  adapted seed 0    interrupted: goes on from step 3",
        f"{ids[2]}  adapted seed 1    interrupted: goes on from step 8",
        f"{ids[3]}  ours seed 0       code changed: toy/noise.py",
    ]


def test_reasons_that_are_long_get_a_line_each(plan) -> None:
    found = plan()
    why = {id_: reason(Kind.DATA, f"key {index} {'x' * 40}") for index, id_ in enumerate(found.specs)}
    *_, head, first, _, _, _, _, _, _, _, last = describe(found, [], why)
    assert head == "0 finished, 9 to run:"
    assert first == f"  1 data changed: key 0 {'x' * 40}"
    assert last == "  1 for other reasons"


def test_an_adaptive_study_says_what_it_costs_at_least_and_at_most(plan, toy_project) -> None:
    toy_project.edit("replicates: 2", ADAPTIVE)
    found = plan()
    lines = describe(found, [])
    assert lines[:2] == [
        "toy at scale quick, 2 to 5 seeds until decided on multi/error",
        "pretrained 1 -> adapted 5 -> at most 15 trials (3 arms x at most 5 seeds)",
    ]
    assert lines[-1] == "0 finished, 9 to run now and at most 12 more until decided"
    done = [trial.spec.id for trial in found.trials if trial.spec.seed in {None, 0, 1}]
    assert describe(found, done, asked=done)[-1] == "9 finished, 0 to run: decided, or at the last seed"


def test_a_design_is_told_by_its_factors(plan, toy_project) -> None:
    toy_project.edit(
        f"arms:\n  ours: {{}}\n{ARMS}reference: ours\n",
        "design:\n  kind: factorial\n  factors:\n    sigma: {key: method.sigma_mm, values: [20, 10]}\n"
        "    weights: {levels: {none: {}, some: {method.kind: weighted}}}\n",
    )
    lines = describe(plan(), [])
    assert "design: factorial over sigma (20, 10) x weights (none, some)" in lines
