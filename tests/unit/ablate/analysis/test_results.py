"""What is gathered from the store, and that nothing planned goes missing without a word."""

import pytest

from ablate.analysis.results import collect, gather
from ablate.plan.model import Plan, PlannedTrial
from ablate.store import RunFacts, Store
from ablate.study.model import Metric
from ablate.trial import Outcome, Status, TrialSpec

METRICS = (Metric(name="a", unit="mm", better="lower"), Metric(name="b", unit="mm", better="lower"))
RUN = RunFacts(attempt=1, started="2026-08-01T10:00:00", ended="2026-08-01T10:00:01", seconds=1.0, host="h", python="3")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture
def make_plan(make_study):
    def make(places):
        trials = tuple(
            PlannedTrial(spec=TrialSpec(task="toy:run", parameters={"x": x}, seed=seed), role="arm", name=name)
            for name, x, seed in places
        )
        names = list(dict.fromkeys(name for name, _, _ in places))
        return Plan(study=make_study(names, METRICS), scale="quick", seeds=(0, 1), trials=trials, configuration={})

    return make


def end(store, trial, status=Status.FINISHED, metrics=None, error=None):
    store.write_spec(trial.spec)
    attempt = store.claim(trial.spec.id)
    outcome = Outcome(trial_id=trial.spec.id, attempt=attempt, status=status, metrics=metrics or {}, error=error)
    store.finish(trial.spec.id, attempt, outcome, RUN)


def test_numbers_stand_by_arm_metric_and_seed(store, make_plan):
    plan = make_plan([("ours", 1, 0), ("ours", 1, 1)])
    for index, trial in enumerate(plan.trials):
        end(store, trial, metrics={"a": float(index), "b": 5.0, "unasked": 9.0})
    results = gather(plan, store)
    assert results.arm("ours").values == {"a": {0: 0.0, 1: 1.0}, "b": {0: 5.0, 1: 5.0}}
    assert results.gaps == ()


def test_arms_that_share_a_trial_share_its_numbers(store, make_plan):
    plan = make_plan([("ours", 1, 0), ("twin", 1, 0)])
    end(store, plan.trials[0], metrics={"a": 1.0, "b": 2.0})
    results = gather(plan, store)
    assert results.arm("ours").values == results.arm("twin").values


def test_every_missing_number_has_its_reason(store, make_plan):
    plan = make_plan([("ours", 1, 0), ("ours", 1, 1), ("other", 2, 0), ("other", 2, 1)])
    end(store, plan.trials[0], Status.FAILED, error="Traceback\n  line\nValueError: NaN loss\n")
    end(store, plan.trials[1], Status.INTERRUPTED)
    end(store, plan.trials[2], metrics={"a": float("nan")})
    gaps = {(gap.arm, gap.seed, gap.metric): gap.reason for gap in gather(plan, store).gaps}
    assert gaps == {
        ("ours", 0, None): "failed: ValueError: NaN loss",
        ("ours", 1, None): "interrupted",
        ("other", 0, "a"): "it is nan",
        ("other", 0, "b"): "the task did not return it",
        ("other", 1, None): "not run",
    }


def test_stages_are_no_arms(store, make_plan):
    plan = make_plan([("ours", 1, 0)])
    stage = PlannedTrial(spec=TrialSpec(task="toy:pre", parameters={}, seed=None), role="stage", name="pre")
    plan = Plan(study=plan.study, scale="quick", seeds=(0,), trials=(stage,), configuration={})
    assert gather(plan, store).gaps == ()


def test_an_unknown_arm_or_metric_is_a_key_error(store, make_plan):
    results = gather(make_plan([("ours", 1, 0)]), store)
    with pytest.raises(KeyError, match="theirs"):
        results.arm("theirs")
    with pytest.raises(KeyError, match="c"):
        results.metric("c")


def staged_plan(make_plan):
    """Two seeds of one arm, each with a stage of its own."""
    plan = make_plan([("ours", 1, 0)])
    stages = [TrialSpec(task="toy:pre", parameters={}, seed=seed) for seed in (0, 1)]
    specs = [TrialSpec(task="toy:run", parameters={}, seed=one.seed, needs={"pre": one.id}) for one in stages]
    trials = [PlannedTrial(spec=spec, role="stage", name="pre") for spec in stages]
    trials += [PlannedTrial(spec=spec, role="arm", name="ours") for spec in specs]
    return Plan(study=plan.study, scale="quick", seeds=(0, 1), trials=tuple(trials), configuration={})


@pytest.mark.parametrize(
    ("stage", "pending"),
    [(None, {1}), (Status.FINISHED, {1}), (Status.INTERRUPTED, {1}), (Status.FAILED, set()), (Status.PRUNED, set())],
)
def test_a_seed_is_pending_until_it_ended_or_its_stage_was_lost(make_plan, stage, pending):
    plan = staged_plan(make_plan)
    ended = [(plan.trials[0], Status.FINISHED), (plan.trials[2], Status.FINISHED)]
    ended += [] if stage is None else [(plan.trials[1], stage)]
    outcomes = {one.spec.id: Outcome(trial_id=one.spec.id, attempt=1, status=status) for one, status in ended}
    (found,) = collect(plan, outcomes).arms
    assert (found.planned, found.pending) == ((0, 1), pending)


@pytest.mark.parametrize(("status", "pending"), [(Status.FAILED, set()), (Status.INTERRUPTED, {1})])
def test_a_failed_trial_has_ended_and_an_interrupted_one_has_not(store, make_plan, status, pending):
    plan = make_plan([("ours", 1, 0), ("ours", 1, 1)])
    end(store, plan.trials[0], metrics={"a": 1.0, "b": 2.0})
    end(store, plan.trials[1], status)
    assert gather(plan, store).arm("ours").pending == pending
