import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from ablate.errors import StudyError
from ablate.target import instantiate_stacked, load_companion, load_task


def run(*, width: float, seed: int, trial: object) -> dict[str, float]:
    return {"x": width + seed}


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """A module with the task above, to which companions are added."""
    found = ModuleType("companion_tasks")
    sys.modules[found.__name__] = found
    found.run = run
    yield found
    del sys.modules[found.__name__]


@pytest.fixture
def refusal(module) -> Callable[..., str]:
    def of(companion: object = None) -> str:
        if companion is not None:
            module.run_stacked = companion
        with pytest.raises(StudyError) as raised:
            load_companion(load_task("companion_tasks:run"))
        return str(raised.value)

    return of


def test_a_companion_gets_the_parameters_all_seeds_and_all_trials(module) -> None:
    def run_stacked(*, width: float, seeds: tuple[int, ...], trials: tuple[object, ...]) -> list[dict[str, float]]:
        return [{"x": width + seed, "trial": trial} for seed, trial in zip(seeds, trials, strict=True)]

    module.run_stacked = run_stacked
    call = instantiate_stacked("companion_tasks:run", {"width": 2}, seeds=[3, 5], trials=["a", "b"])
    assert call() == [{"x": 5.0, "trial": "a"}, {"x": 7.0, "trial": "b"}]


def test_a_task_that_takes_no_trial_has_a_companion_without_trials(module) -> None:
    def run(*, seed: int) -> dict[str, float]:
        return {"x": seed}

    def run_stacked(*, seeds: tuple[int, ...]) -> list[dict[str, float]]:
        return [{"x": seed} for seed in seeds]

    module.run, module.run_stacked = run, run_stacked
    assert instantiate_stacked("companion_tasks:run", {}, seeds=[1], trials=["a"])() == [{"x": 1}]


def test_without_a_companion_it_says_what_to_write(refusal) -> None:
    said = refusal()
    assert "companion_tasks:run has no companion" in said
    assert "write companion_tasks:run_stacked, which takes what the task takes" in said
    assert "`seeds: tuple[int, ...]` and `trials: tuple[Trial, ...]` in place of `seed` and `trial`" in said


def test_a_task_without_a_seed_has_nothing_to_stack(module, refusal) -> None:
    def run(*, width: float) -> dict[str, float]:
        return {"x": width}

    module.run = run
    assert "companion_tasks:run takes no seed, so there is nothing to stack" in refusal()


@pytest.mark.parametrize(
    ("companion", "complaint"),
    [
        (lambda *, width, seeds: [], "lacks 'trials', declares 'width' as another type"),
        (lambda *, seeds, trials, more: [], "lacks 'width', has 'more' besides"),
        (lambda width, /, *, seeds, trials: [], "takes 'width' by position only"),
        (lambda **anything: [], "lacks 'width', lacks 'seeds', lacks 'trials', has 'anything' besides"),
    ],
)
def test_other_parameters_than_the_tasks_are_named(refusal, companion, complaint) -> None:
    assert f"companion_tasks:run_stacked {complaint}: a companion takes" in refusal(companion)


def test_a_type_that_is_not_there_is_a_fault_of_the_companion(refusal) -> None:
    def run_stacked(*, width: "Width", seeds: tuple[int, ...], trials: object) -> list[dict[str, float]]:
        return []

    assert "the signature of companion_tasks:run_stacked cannot be read" in refusal(run_stacked)
