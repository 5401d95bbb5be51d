"""Trials that go on from the last state of another one."""

import itertools
import random
from dataclasses import replace
from functools import partial

import pytest

from ablate.trial import PARENT, Resources, Status, TrialSpec
from ablate.worker import run_trials


def _summing(*, num_steps: int, weight: float, trial: object) -> dict[str, float]:
    """Add up random numbers; the last draw, after the last report, is no part of the state."""
    state = trial.restore() or {"step": 0, "total": 0.0, "random": random.Random(0).getstate()}
    generator = random.Random()
    generator.setstate(state["random"])
    total = state["total"]
    for step in range(state["step"] + 1, num_steps + 1):
        total += weight * generator.random()
        known = {"step": step, "total": total, "random": generator.getstate()}
        trial.report(step, {"total": total}, state=partial(dict, known))
    return {"total": total, "luck": generator.random()}


@pytest.fixture
def chain(bench):
    """Make a trial and one that goes on from it."""

    def make(task: object = _summing, **more: object) -> tuple[TrialSpec, TrialSpec]:
        parent = bench.spec(task, parameters={"num_steps": 3, "weight": 1.0}, keeps_state=True, **more)
        parameters = {"num_steps": 6, "weight": 1.0}
        return parent, bench.spec(task, parameters=parameters, needs={PARENT: parent.id}, keeps_state=True, **more)

    return make


@pytest.mark.parametrize("interval_s", [0.0, 30.0])
def test_it_goes_on_where_the_other_one_ended(bench, chain, interval_s):
    parent, child = chain()
    assert bench.run(parent, checkpoint_interval_s=interval_s).status is Status.FINISHED
    assert bench.store.checkpoint_step(parent.id) == 3
    outcome = bench.run(child, checkpoint_interval_s=interval_s)
    assert [point.step for point in bench.store.curves(child.id)] == [4, 5, 6]
    whole = bench.spec(_summing, parameters={"num_steps": 6, "weight": 1.0})
    assert outcome.metrics == bench.run(whole).metrics  # to the last bit
    assert bench.store.checkpoint_step(whole.id) is None


@pytest.mark.parametrize("num_reports", [1, 2, 3])
def test_interrupted_it_goes_on_from_its_own_state(bench, chain, num_reports):
    parent, child = chain()
    answers = itertools.chain([False] * (num_reports - 1), itertools.repeat(True))
    undisturbed = _summing(num_steps=6, weight=1.0, trial=_Nobody())
    while bench.run(parent, stopping=partial(next, answers)).status is not Status.FINISHED:
        answers = itertools.chain([False] * (num_reports - 1), itertools.repeat(True))
    assert bench.store.checkpoint_step(parent.id) == 3
    answers = itertools.chain([False] * (num_reports - 1), itertools.repeat(True))
    assert bench.run(child, stopping=partial(next, answers)).status is Status.INTERRUPTED
    assert bench.run(child).metrics == undisturbed
    assert [point.step for point in bench.store.curves(child.id)] == [4, 5, 6]


class _Nobody:
    def restore(self) -> None:
        return None

    def report(self, *args: object, **more: object) -> None:
        pass


def _counting(*, num_steps: int, seed: int, trial: object) -> dict[str, float]:
    return _counting_stacked(num_steps=num_steps, seeds=(seed,), trials=(trial,))[0]


def _counting_stacked(*, num_steps: int, seeds: tuple[int, ...], trials: tuple[object, ...]) -> list[dict[str, float]]:
    states = [trial.restore() or {"step": 0, "total": 0} for trial in trials]
    for step in range(states[0]["step"] + 1, num_steps + 1):
        for index, (seed, trial) in enumerate(zip(seeds, trials, strict=True)):
            states[index] = {"step": step, "total": states[index]["total"] + seed}
            trial.report(step, {}, state=partial(dict, states[index]))
    return [{"total": state["total"]} for state in states]


def test_seeds_of_a_stack_go_on_each_from_its_own(bench):
    _counting_stacked.__qualname__ = _counting_stacked.__name__ = "_counting_stacked"
    bench.module._counting_stacked = _counting_stacked
    parents: dict[int, str] = {}
    for num_steps in (2, 4):
        specs = [
            bench.spec(
                _counting,
                parameters={"num_steps": num_steps},
                seed=seed,
                needs={PARENT: parents[seed]} if parents else {},
                keeps_state=True,
                resources=Resources(stack_seeds=2),
            )
            for seed in (5, 7)
        ]
        attempts = [(spec.id, bench.store.claim(spec.id)) for spec in specs]
        found = run_trials(bench.store, attempts, on_report=lambda report: False, stopping=lambda: False)
        parents = {spec.seed: spec.id for spec in specs}
    assert [outcome.metrics for outcome in found] == [{"total": 20.0}, {"total": 28.0}]
    assert [[point.step for point in bench.store.curves(id_)] for id_ in parents.values()] == [[3, 4], [3, 4]]


def test_what_a_repair_finds_of_a_finished_trial_stays_where_others_need_it(bench, chain):
    parent, child = chain()
    bench.run(parent)
    assert bench.store.repair([parent.id]) == []
    assert bench.store.checkpoint_step(parent.id) == 3
    assert bench.run(child).status is Status.FINISHED


def test_a_state_that_is_gone_is_told_by_the_one_that_needs_it(bench, chain):
    parent, child = chain()
    bench.run(parent)
    bench.store.put_aside(parent.id)
    outcome = bench.run(child)
    assert outcome.status is Status.FAILED
    assert f"RuntimeError: trial {parent.id} has no state, which this trial goes on from" in outcome.error


def test_a_task_that_gives_no_state_fails_at_once(bench, chain):
    def task(*, num_steps: int, weight: float, trial: object) -> dict[str, float]:
        trial.restore()
        trial.report(num_steps, {"x": weight})
        return {}

    parent, _ = chain(task)
    outcome = bench.run(parent)
    assert outcome.status is Status.FAILED
    assert "the task saved no state for others to go on from: give trial.report(..., state=...)" in outcome.error


def test_a_task_that_does_not_ask_for_its_state_fails(bench, chain):
    def task(*, num_steps: int, weight: float, trial: object) -> dict[str, float]:
        trial.report(num_steps, {"x": weight}, state=dict)
        return {}

    parent, child = chain(task)
    assert bench.run(parent).status is Status.FINISHED
    assert f"never called trial.restore(), but was to go on from trial {parent.id}" in bench.run(child).error


def test_what_keeps_its_state_is_another_trial(chain):
    parent, _ = chain()
    assert replace(parent, keeps_state=False).id != parent.id
    assert "keeps_state" not in replace(parent, keeps_state=False).content()
