"""Several seeds in one call: each trial keeps its own record, curves, checkpoints, files and log."""

import os
import random
import sys
import warnings
from collections.abc import Callable
from functools import partial

import pytest

from ablate.errors import StoreError
from ablate.trial import Outcome, Resources, Status, TrialSpec
from ablate.worker import run_trials

Trials = tuple[object, ...]


def counted(*, seed: int, trial: object) -> dict[str, float]:
    """Add up the seed three times; exact in any order."""
    return counted_stacked(seeds=(seed,), trials=(trial,))[0]


def counted_stacked(*, seeds: tuple[int, ...], trials: Trials) -> list[dict[str, float]]:
    """Do the same for several seeds, step by step."""
    states = [trial.restore() or {"step": 0, "total": 0} for trial in trials]
    firsts = [state["step"] for state in states]
    for step in range(min(firsts) + 1, 4):
        for index, (seed, trial) in enumerate(zip(seeds, trials, strict=True)):
            states[index] = {"step": step, "total": states[index]["total"] + seed}
            trial.report(step, {"total": states[index]["total"]}, state=partial(dict, states[index]))
    for state, trial in zip(states, trials, strict=True):
        trial.artifact("total.txt").write_text(str(state["total"]))
    return [{"total": state["total"]} for state in states]


@pytest.fixture
def stack(bench) -> Callable[..., list[TrialSpec]]:
    """Make trials of a task and its companion, one per seed."""

    def make(task: Callable, companion: Callable, seeds: tuple[int, ...], **resources: object) -> list[TrialSpec]:
        companion.__qualname__ = companion.__name__ = f"{task.__name__}_stacked"
        setattr(bench.module, companion.__name__, companion)
        asked = Resources(stack_seeds=len(seeds), **resources)
        return [bench.spec(task, seed=seed, resources=asked) for seed in seeds]

    return make


@pytest.fixture
def run(bench) -> Callable[..., list[Outcome]]:
    def call(specs: list[TrialSpec], **options: object) -> list[Outcome]:
        attempts = [(spec.id, bench.store.claim(spec.id)) for spec in specs]
        defaults = {"on_report": bench.reports.append, "stopping": lambda: False}
        return run_trials(bench.store, attempts, **{**defaults, **options})

    return call


def test_each_trial_has_its_own_record_curves_and_files(bench, stack, run) -> None:
    specs = stack(counted, counted_stacked, (2, 5, 7))
    outcomes = run(specs)
    assert [outcome.metrics for outcome in outcomes] == [{"total": 6.0}, {"total": 15.0}, {"total": 21.0}]
    for spec, outcome in zip(specs, outcomes, strict=True):
        record = bench.store.record(spec.id)
        assert (record.outcome, record.run.num_stacked) == (outcome, 3)
        assert [point.metrics["total"] for point in bench.store.curves(spec.id)] == [spec.seed * k for k in (1, 2, 3)]
        assert (bench.store.artifacts(spec.id) / "total.txt").read_text() == str(3 * spec.seed)
    assert [(report.trial_id, report.step) for report in bench.reports[:3]] == [(spec.id, 1) for spec in specs]


def test_records_and_curves_are_those_of_separate_runs(bench, stack, run) -> None:
    specs = stack(counted, counted_stacked, (2, 5))
    together = [(one.status, one.metrics, one.error) for one in run(specs)]
    curves = [[(point.step, point.metrics) for point in bench.store.curves(spec.id)] for spec in specs]
    for spec in specs:
        bench.store.put_aside(spec.id)
    assert [(one.status, one.metrics, one.error) for spec in specs for one in run([spec])] == together
    assert [[(point.step, point.metrics) for point in bench.store.curves(spec.id)] for spec in specs] == curves


def test_asked_to_stop_all_save_at_the_same_step_and_go_on_from_there(bench, stack, run) -> None:
    specs = stack(counted, counted_stacked, (2, 5))
    outcomes = run(specs, stopping=lambda: len(bench.reports) >= 1)
    assert [outcome.status for outcome in outcomes] == [Status.INTERRUPTED] * 2
    assert [bench.store.checkpoint_step(spec.id) for spec in specs] == [2, 2]
    outcomes = run(specs)
    assert [outcome.metrics for outcome in outcomes] == [{"total": 6.0}, {"total": 15.0}]
    assert [[point.step for point in bench.store.curves(spec.id)] for spec in specs] == [[1, 2, 3]] * 2


def test_one_that_had_not_restored_when_the_stack_stopped_keeps_its_points(bench, stack, run) -> None:
    def one_by_one(*, seeds: tuple[int, ...], trials: Trials) -> list[dict[str, float]]:
        return [counted(seed=seed, trial=trial) for seed, trial in zip(seeds, trials, strict=True)]

    specs = stack(counted, one_by_one, (2, 5))
    run(specs[1:], stopping=lambda: len(bench.reports) >= 1)
    run(specs, stopping=lambda: True)
    assert [bench.store.checkpoint_step(spec.id) for spec in specs] == [2, 2]
    assert [[point.step for point in bench.store.curves(spec.id)] for spec in specs] == [[1, 2], [1, 2]]
    assert [outcome.metrics for outcome in run(specs)] == [{"total": 6.0}, {"total": 15.0}]


def test_what_is_printed_goes_to_each_log_alone(bench, stack, run, capsys) -> None:
    def task(*, seed: int) -> dict[str, float]:
        return {}

    def both(*, seeds: tuple[int, ...]) -> list[dict[str, float]]:
        print("printed by both")
        print("complained", file=sys.stderr)
        warnings.warn("warned", stacklevel=1)
        os.write(sys.stdout.fileno(), b"written to the descriptor\n")
        return [{} for _ in seeds]

    specs = stack(task, both, (1, 2))
    run(specs)
    for spec in specs:
        log = bench.log(spec)
        for text in ("seeds 1, 2 stacked", "printed by both", "complained", "warned", "--- attempt 1 finished"):
            assert text in log
    assert "written to the descriptor" in bench.log(specs[0])
    assert capsys.readouterr().out == ""


def test_what_one_raises_is_the_failure_of_all(bench, stack, run) -> None:
    def task(*, seed: int) -> dict[str, float]:
        return {}

    def broken(*, seeds: tuple[int, ...]) -> list[dict[str, float]]:
        raise RuntimeError(f"no luck with seed {seeds[1]}")

    specs = stack(task, broken, (1, 2))
    outcomes = run(specs)
    assert [outcome.status for outcome in outcomes] == [Status.FAILED] * 2
    for spec, outcome in zip(specs, outcomes, strict=True):
        assert outcome.error.endswith("RuntimeError: no luck with seed 2\n")
        assert outcome.error in bench.log(spec)


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ({"x": 1.0}, "expected a list of 2 dicts of numbers, one per seed, got dict"),
        ([{"x": 1.0}], "expected a list of 2 dicts of numbers, one per seed, got 1 of them"),
        ([{"x": 1.0}, {"x": "1"}], "returned for seed 2: expected a dict of numbers by name, got str '1' at 'x'"),
    ],
)
def test_another_result_than_a_list_of_metrics_has_failed(stack, run, result, complaint) -> None:
    def task(*, seed: int) -> dict[str, float]:
        return {}

    def odd(*, seeds: tuple[int, ...]) -> list[dict[str, float]]:
        return result

    assert all(complaint in outcome.error for outcome in run(stack(task, odd, (1, 2))))


def test_the_process_is_that_of_the_first_seed(bench, stack, run) -> None:
    drawn = []

    def task(*, seed: int) -> dict[str, float]:
        drawn.append(random.random())
        return {}

    def together(*, seeds: tuple[int, ...]) -> list[dict[str, float]]:
        drawn.append(random.random())
        return [{} for _ in seeds]

    specs = stack(task, together, (3, 4))
    run(specs)
    bench.store.put_aside(specs[0].id)
    run(specs[:1])
    assert drawn[0] == drawn[1]


def test_one_that_is_finished_already_is_left_out(bench, stack, run) -> None:
    specs = stack(counted, counted_stacked, (2, 5, 7))
    run(specs[:1])
    outcomes = run(specs)
    assert [(outcome.attempt, outcome.metrics["total"]) for outcome in outcomes] == [(1, 6.0), (1, 15.0), (1, 21.0)]
    assert [bench.store.record(spec.id).run.num_stacked for spec in specs] == [1, 2, 2]


def test_a_stack_of_which_one_was_overtaken_does_not_start(bench, stack, run) -> None:
    specs = stack(counted, counted_stacked, (2, 5))
    attempts = [(spec.id, bench.store.claim(spec.id)) for spec in specs]
    bench.store.claim(specs[1].id)
    with pytest.raises(StoreError, match="attempt 1 may not write"):
        run_trials(bench.store, attempts, on_report=bench.reports.append, stopping=lambda: False)
    assert bench.reports == []


def test_a_stack_of_which_one_is_overtaken_in_its_middle_ends_without_records(bench, stack, run) -> None:
    def task(*, seed: int, trial: object) -> dict[str, float]:
        return {}

    def together(*, seeds: tuple[int, ...], trials: Trials) -> list[dict[str, float]]:
        bench.store.claim(specs[1].id)
        for trial in trials:
            trial.report(1, {"x": 1.0})
        return [{} for _ in seeds]

    specs = stack(task, together, (2, 5))
    with pytest.raises(StoreError, match="the newest is 2"):
        run(specs)
    assert [bench.store.record(spec.id) for spec in specs] == [None, None]


def test_a_limit_is_for_the_whole_stack(stack, run) -> None:
    def task(*, seed: int, trial: object) -> dict[str, float]:
        return {}

    def endless(*, seeds: tuple[int, ...], trials: Trials) -> list[dict[str, float]]:
        while True:
            for trial in trials:
                trial.report(1, {"x": 1.0})

    outcomes = run(stack(task, endless, (1, 2), time_limit_s=0.1))
    assert [outcome.error for outcome in outcomes] == ["exceeded its time limit of 0.1 s"] * 2
