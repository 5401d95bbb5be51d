"""Hopeless configurations end early: who is given up, what is never started, and the same after any end."""

import json
import math
import random
from pathlib import Path
from typing import Any

import optuna
import pytest

from ablate.plan.grown import num_to_come
from ablate.plan.pruning import Pruning
from ablate.search.history import State
from ablate.search.ledger import Ledger
from ablate.search.model import Budget, Objective, Pruner, Sampler, Search
from ablate.store import Store
from ablate.trial import Outcome, Status, TrialSpec

NUM_STEPS = 27


def falling(spec: TrialSpec) -> list[float]:
    """A curve that falls to the same order as its end: the farther from 10, the worse all along."""
    floor = abs(math.log10(spec.parameters["method"]["sigma_mm"]) - 1.0)
    return [floor + (spec.seed or 0) / 1e6 + 1.0 / step for step in range(1, NUM_STEPS + 1)]


def entries(driver: Any) -> list[Any]:
    (planned,) = driver.plan.searches
    return Ledger(driver.store, "toy", planned.key).entries()


def error(entry: Any) -> float:
    """What the driver's trials come to, less the part of the seed."""
    return abs(entry.parameters["method.sigma_mm"] - 10) + entry.parameters["method.num_steps"]


def asha(make_search: Any, seeds: int = 1, name: str = "asha") -> Any:
    return make_search(
        ("  seeds: 2", f"  seeds: {seeds}\n  pruner: {{name: {name}, min_steps: 3, reduction: 3}}"),
        ("per: arm", "per: study"),
        ("  budget: 6", "  budget: 20"),
    )


def test_what_is_given_up_is_what_bare_optuna_gives_up(make_search: Any, drive: Any, tmp_path: Path) -> None:
    driver = drive(asha(make_search), Store(tmp_path / "s"))
    driver.curve = falling
    assert driver.run()
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=3, reduction_factor=3)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), pruner=pruner)
    found = entries(driver)
    assert len(found) == 20
    for entry in found:
        trial = study.ask()
        sigma_mm = trial.suggest_float("method.sigma_mm", 1, 100, log=True)
        trial.suggest_int("method.num_steps", 2, 8)
        assert trial.params == entry.parameters
        is_pruned = False
        for step, value in entry.points.items():
            assert not is_pruned
            assert value == pytest.approx(abs(math.log10(sigma_mm) - 1.0) + 1e-3 + 1.0 / step, abs=1e-9)
            trial.report(value, step)
            is_pruned = trial.should_prune()
        assert is_pruned is (entry.state is State.PRUNED)
        assert is_pruned or len(entry.points) == NUM_STEPS
        study.tell(
            trial, None if is_pruned else entry.values[0], state=optuna.trial.TrialState.PRUNED if is_pruned else None
        )
    assert 10 <= sum(entry.state is State.PRUNED for entry in found) < 20


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
def test_a_killed_search_gives_up_the_same(make_search: Any, drive: Any, tmp_path: Path, name: str) -> None:
    plan = asha(make_search, name=name)
    undisturbed = drive(plan, Store(tmp_path / "one"))
    undisturbed.curve = falling
    assert undisturbed.run()
    killed, draws = drive(plan, Store(tmp_path / "other")), random.Random(3)
    killed.curve = falling
    while not killed.run(most=draws.randrange(1, 6)):
        pass
    assert killed.told() == undisturbed.told()
    assert [entry.points for entry in entries(killed)] == [entry.points for entry in entries(undisturbed)]
    assert State.PRUNED in {entry.state for entry in entries(killed)}
    again = drive(plan, killed.store)
    assert again.run() and again.proposed == []
    assert num_to_come(plan, killed.store) == 0


def test_seeds_of_a_hopeless_configuration_that_have_not_begun_are_never_run(
    make_search: Any, drive: Any, tmp_path: Path
) -> None:
    plan = make_search(
        ("  seeds: 2", "  seeds: 8\n  pruner: wilcoxon"), ("per: arm", "per: study"), ("  budget: 6", "  budget: 12")
    )
    driver = drive(plan, Store(tmp_path / "s"))
    assert driver.run()
    pruned = [entry for entry in entries(driver) if entry.state is State.PRUNED]
    assert pruned
    for entry in pruned:
        assert 4 <= len(entry.trials) < 8
        assert list(entry.points) == list(range(len(entry.trials)))
        assert all(driver.store.record(trial_id).status is Status.FINISHED for trial_id in entry.trials.values())
    told = [entry for entry in entries(driver) if entry.state is State.TOLD]
    assert min(map(error, told)) == min(map(error, entries(driver)))


def test_a_stage_that_only_withdrawn_trials_need_is_withdrawn_too(make_search: Any, drive: Any, tmp_path: Path) -> None:
    plan = make_search(
        ("  seeds: 2", "  seeds: 8\n  pruner: wilcoxon"), ("per: arm", "per: study"), ("  budget: 6", "  budget: 12")
    )
    driver = drive(plan, Store(tmp_path / "s"))
    driver.run()
    needed = {need for spec in driver.proposed for need in spec.needs.values()}
    stages = {spec.id for spec in driver.proposed if spec.task.endswith(("adapt", "pretrain"))}
    assert stages == needed


def _search(name: str) -> Search:
    return Search(
        per="study",
        space=(),
        sampler=Sampler(name="random", seed=0),
        pruner=Pruner(name=name, metric="val/error"),
        budget=Budget(trials=1),
        objectives=(Objective(metric="error", better="lower"),),
        seeds=(1000, 1001),
    )


def test_the_value_at_a_step_is_the_mean_over_the_seeds_once_all_came_to_it() -> None:
    heard: list[tuple[int, float]] = []

    def judge(step: int, value: float) -> bool:
        heard.append((step, value))
        return step >= 2

    pruning = Pruning(_search("median"), ["a", "b"], judge)
    pruning.look_at_point("a", 1, {"val/error": 1.0})
    pruning.look_at_point("a", 2, {"val/error": 2.0})
    pruning.look_at_point("b", 1, {"error": 9.0})
    assert heard == []
    pruning.look_at_point("b", 1, {"val/error": 4.0})
    assert (heard, pruning.is_hopeless) == ([(1, 2.5)], False)
    pruning.look_at_point("b", 1, {"val/error": 100.0})  # computed again after a loss
    pruning.look_at_point("b", 2, {"val/error": 4.0})
    assert heard == [(1, 2.5), (2, 3.0)]
    assert pruning.is_hopeless
    assert pruning.points == {1: 2.5, 2: 3.0}
    pruning.look_at_end(Outcome(trial_id="a", attempt=1, status=Status.FINISHED, metrics={"error": 7.0}))
    assert len(heard) == 2


def test_without_a_pruner_nothing_is_looked_at() -> None:
    pruning = Pruning(_search("none"), ["a"], lambda step, value: True)
    pruning.look_at_point("a", 1, {"val/error": 1.0})
    pruning.look_at_end(Outcome(trial_id="a", attempt=1, status=Status.FINISHED, metrics={"error": 7.0}))
    assert not pruning.is_hopeless and json.dumps(pruning.points) == "{}"
