import pytest

from ablate.errors import StudyError
from ablate.target import bind, instantiate, load_task

TYPED = """
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Optional


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    depth: int = 2
    pair: tuple[int, float] = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    must: bool
    size_mm: float = 2500
    inner: Inner = Inner()
    maybe: Optional[Inner] = None
    either: Inner | Other = Inner()
    path: Path = Path("x")
    mixed: int | str = 3
    made: int = field(init=False, default=7)

    def __post_init__(self) -> None:
        if self.size_mm < 0:
            raise ValueError(f"size_mm must be >= 0, got {self.size_mm}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    must: bool


def run(*, config: Config, num: int = 3, many: list[int] = [1], seed: int = 0, trial=None) -> dict[str, object]:
    return {"config": config, "num": num, "many": many, "seed": seed, "trial": trial}


def stage(*, config: Part) -> dict[str, object]:
    return {}
"""


@pytest.fixture
def task(toy_project):
    toy_project.write("toy/typed.py", TYPED)
    return load_task("toy.typed:run")


def faults_of(task, configuration) -> list[str]:
    with pytest.raises(StudyError) as raised:
        bind(task, configuration)
    return [f"{fault.key}: {fault.message}" for fault in raised.value.faults]


def test_all_fields_are_there_with_defaults_as_their_type_has_them(task) -> None:
    bound = bind(task, {"config": {"must": True}})
    inner = {"depth": 2, "pair": [1, 2.0]}
    assert bound.parameters == {
        "config": {
            "must": True,
            "size_mm": 2500.0,
            "inner": inner,
            "maybe": None,
            "either": inner,
            "path": "x",
            "mixed": 3,
        },
        "num": 3,
        "many": [1],
    }
    assert isinstance(bound.parameters["config"]["size_mm"], float)
    assert isinstance(bound.parameters["config"]["inner"]["pair"][1], float)


def test_a_number_spelt_as_integer_or_float_binds_to_the_same(task) -> None:
    one, other = ({"config": {"must": False, "size_mm": size, "inner": {"pair": [1, size]}}} for size in (20, 20.0))
    assert repr(bind(task, one)) == repr(bind(task, other))


def test_what_the_task_does_not_declare_is_left_out(toy_project, task) -> None:
    configuration = {"config": {"must": True, "size_mm": 3, "unknown": {"x": 1}}, "more": 1}
    assert bind(load_task("toy.typed:stage"), configuration).parameters == {"config": {"must": True}}
    assert "unknown" not in bind(task, configuration).parameters["config"]


def test_a_nullable_dataclass_is_pruned_and_a_union_of_two_must_fit_whole(task) -> None:
    given = {"config": {"must": True, "maybe": {"depth": 1, "extra": 2}, "either": {"width": 4}}}
    parameters = bind(task, given).parameters["config"]
    assert parameters["maybe"] == {"depth": 1, "pair": [1, 2.0]}
    assert parameters["either"] == {"width": 4}
    assert faults_of(task, {"config": {"must": True, "either": {"width": 4, "dept": 1}}}) == [
        "config.either.width: does not go with the other keys here; "
        "each of depth, pair, width is known, but not all together",
        "config.either.dept: unknown key; expected one of depth, pair, width -- did you mean 'depth'?",
    ]


@pytest.mark.parametrize(
    ("configuration", "fault"),
    [
        ({}, "config.must: missing: it must be given"),
        ({"config": 3}, "config: expected keys with values, got 3"),
        ({"config": {"must": 1}}, "config.must: expected true or false, got 1"),
        ({"config": {"must": True, "size_mm": "1"}}, "config.size_mm: expected a number, got '1'"),
        ({"config": {"must": True, "size_mm": -1}}, "config: size_mm must be >= 0, got -1.0"),
        ({"config": {"must": True, "inner": None}}, "config.inner: expected keys with values, got null"),
        ({"config": {"must": True, "inner": {"depth": 1.5}}}, "config.inner.depth: expected an integer, got 1.5"),
        ({"config": {"must": True, "mixed": [1]}}, "config.mixed: expected an integer or text, got [1]"),
        ({"config": {"must": True}, "num": True}, "num: expected an integer, got true"),
        ({"config": {"must": True}, "many": [1, "2"]}, "many.1: expected an integer, got '2'"),
        ({"config": {"must": True}, "many": 2}, "many: expected a list, got 2"),
    ],
)
def test_a_wrong_type_is_told_with_its_key(task, configuration, fault: str) -> None:
    assert faults_of(task, configuration) == [fault]


def test_a_misspelt_choice_gets_the_nearest(toy_project) -> None:
    (fault,) = faults_of(load_task("toy.tasks:quick"), {"method": {"kind": "wieghted"}})
    assert fault == "method.kind: expected 'plain' or 'weighted', got 'wieghted' -- did you mean 'weighted'?"


def test_the_worker_gets_the_declared_types_seed_and_trial(task) -> None:
    parameters = bind(task, {"config": {"must": True, "inner": {"pair": [3, 4]}, "path": "a/b"}}).parameters
    trial = object()
    result = instantiate(task.path, parameters, seed=5, trial=trial)()
    config = result["config"]
    assert type(config).__name__ == "Config"
    assert config.inner.pair == (3, 4.0)
    assert (config.path.parts, config.made) == (("a", "b"), 7)
    assert (result["num"], result["many"], result["seed"]) == (3, [1], 5)
    assert result["trial"] is trial


def test_a_task_that_takes_a_seed_is_not_called_without(task) -> None:
    parameters = bind(task, {"config": {"must": True}}).parameters
    with pytest.raises(ValueError, match="takes a seed, got none"):
        instantiate(task.path, parameters, seed=None, trial=None)


def test_parameters_of_an_older_task_are_refused_on_the_worker(task) -> None:
    with pytest.raises(StudyError, match="older: unknown key; expected one of config, num, many"):
        instantiate(task.path, {"config": {"must": True}, "older": 1}, seed=0, trial=None)


def test_what_data_are_behind_a_parameter_is_asked(toy_project) -> None:
    task = load_task("toy.tasks:run")
    (toy_project.root / "images").mkdir()
    (toy_project.root / "images" / "1.png").touch()
    assert bind(task, {}).fingerprints == {"data": "none"}
    assert bind(task, {"data": {"folder": "images"}}).fingerprints == {"data": "1.png"}


def test_data_that_are_not_there_are_a_fault_at_their_key(toy_project) -> None:
    task = load_task("toy.tasks:run")
    assert faults_of(task, {"data": {"folder": "nowhere"}}) == [
        "data: there is no folder nowhere; run the download first"
    ]


def test_a_fingerprint_that_breaks_is_told_with_its_type(toy_project) -> None:
    toy_project.edit('return "none"', "raise KeyError('x')", name="toy/tasks.py")
    assert faults_of(load_task("toy.tasks:run"), {}) == ["data: fingerprint() of Data failed: KeyError: 'x'"]


def test_dataclasses_in_lists_and_mappings_are_asked_as_well(toy_project) -> None:
    toy_project.write(
        "toy/lists.py",
        "from toy.tasks import Data\n"
        "def run(*, sets: tuple[Data, ...], named: dict[str, Data]) -> dict[str, float]: ...\n",
    )
    bound = bind(load_task("toy.lists:run"), {"sets": [{}, {"num_samples": 1}], "named": {"a": {}}})
    assert bound.fingerprints == {"sets.0": "none", "sets.1": "none", "named.a": "none"}
