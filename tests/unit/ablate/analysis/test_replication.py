"""Which trials adaptive replication asks for: by hand-written outcomes on a plan of three arms, and at random."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.analysis.contrasts import Verdict, analyse
from ablate.analysis.replication import Replication, reached, wanted
from ablate.analysis.results import collect, gather
from ablate.plan.model import Plan, PlannedTrial
from ablate.store import RunFacts, Store
from ablate.study.model import Adaptive, Arm, Metric
from ablate.trial import Outcome, Status, TrialSpec

from .conftest import build_study

RUN = RunFacts(attempt=1, started="2026-08-01T10:00:00", ended="2026-08-01T10:00:01", seconds=1.0, host="h", python="3")
CLEAR = (5.0, 5.2, 4.9, 5.1, 5.3, 4.8, 5.05, 5.15, 4.95, 5.0)
OPEN = (1.0, -1.2, 0.9, -0.8, 1.1, -1.0, 0.7, -0.9, 1.2, -1.1)
SEEDS = tuple(range(10))


def make_plan(names=("ours", "clear", "open"), *, step=1, minimum=3, metric=None, staged=False, seeds=SEEDS, **study):
    trials = []
    stages = {seed: TrialSpec(task="toy:adapt", parameters={}, seed=seed) for seed in seeds} if staged else {}
    trials += [PlannedTrial(spec=spec, role="stage", name="adapted") for spec in stages.values()]
    for seed in seeds or (None,):
        needs = {"adapted": stages[seed].id} if staged else {}
        for arm in names:
            spec = TrialSpec(task="toy:run", parameters={"arm": arm}, seed=seed, needs=needs)
            trials.append(PlannedTrial(spec=spec, role="arm", name=arm))
    metrics = (metric or Metric(name="m", unit="mm", better="lower"),)
    study.setdefault("adaptive", Adaptive(min=minimum, max=len(SEEDS), step=step, metric="m"))
    return Plan(
        study=build_study(list(names), metrics, **study),
        scale="quick",
        seeds=seeds,
        trials=tuple(trials),
        configuration={},
    )


def outcome(plan, arm, seed, value=None, status=Status.FINISHED):
    trial_id = next(one.spec.id for one in plan.trials if (one.name, one.spec.seed) == (arm, seed))
    return Outcome(trial_id=trial_id, attempt=1, status=status, metrics={} if value is None else {"m": value})


def asked(plan, trial_ids):
    """Seeds asked for, by arm or stage."""
    found = {}
    for trial in plan.trials:
        if trial.spec.id in trial_ids:
            found.setdefault(trial.name, []).append(trial.spec.seed)
    return found


def run(plan, values, order=None):
    """Run what is asked for until nothing is, one trial at a time; `values[arm]` are by seed."""
    replication = Replication(plan)
    done = {}
    while left := [trial_id for trial_id in plan.specs if trial_id in replication.wanted() and trial_id not in done]:
        trial_id = left[0] if order is None else order.choice(left)
        trial = next(one for one in plan.trials if one.spec.id == trial_id)
        done[trial_id] = outcome(plan, trial.name, trial.spec.seed, values.get(trial.name, OPEN)[trial.spec.seed or 0])
        replication.tell(done[trial_id])
    return replication, done


VALUES = {"ours": [0.0] * 10, "clear": CLEAR, "open": OPEN}


def test_every_arm_starts_with_its_first_seeds():
    plan = make_plan()
    assert asked(plan, Replication(plan).wanted()) == {arm: [0, 1, 2] for arm in VALUES}


def test_a_decided_arm_gets_no_more_and_the_reference_gets_what_an_open_arm_needs():
    plan = make_plan()
    replication, done = run(plan, VALUES)
    assert asked(plan, done) == {"ours": [*SEEDS], "clear": [0, 1, 2, 3], "open": [*SEEDS]}
    assert replication.verdicts() == {"clear": "worse", "open": "undecided"}


def test_no_more_is_asked_for_while_what_was_asked_for_runs():
    plan = make_plan()
    replication = Replication(plan)
    for arm in ("ours", "clear", "open"):
        for seed in (0, 2):
            replication.tell(outcome(plan, arm, seed, VALUES[arm][seed]))
    assert asked(plan, replication.wanted())["open"] == [0, 1, 2]
    for arm in ("ours", "open"):
        replication.tell(outcome(plan, arm, 1, VALUES[arm][1]))
    assert asked(plan, replication.wanted()) == {"ours": [0, 1, 2, 3], "clear": [0, 1, 2], "open": [0, 1, 2, 3]}


def test_seeds_come_by_the_step():
    plan = make_plan(step=4)
    _, done = run(plan, VALUES)
    assert asked(plan, done) == {"ours": [*SEEDS], "clear": [0, 1, 2, 3, 4, 5, 6], "open": [*SEEDS]}


def test_equivalence_ends_it_too():
    plan = make_plan(("ours", "open"), metric=Metric(name="m", unit="mm", better="lower", equivalent_within=4.0))
    replication, done = run(plan, {"ours": [0.0] * 10, "open": OPEN})
    assert replication.verdicts() == {"open": "equivalent"}
    assert len(asked(plan, done)["open"]) < 10


def test_a_failed_seed_is_made_up_for():
    plan = make_plan(("ours", "clear"))
    replication = Replication(plan)
    for seed in range(3):
        replication.tell(outcome(plan, "ours", seed, 0.0))
        status = Status.FAILED if seed == 1 else Status.FINISHED
        replication.tell(outcome(plan, "clear", seed, CLEAR[seed], status))
    assert asked(plan, replication.wanted())["clear"] == [0, 1, 2, 3]


def test_an_interrupted_trial_has_not_ended():
    plan = make_plan(("ours", "clear"))
    replication = Replication(plan)
    for seed in range(3):
        replication.tell(outcome(plan, "ours", seed, 0.0))
        replication.tell(
            outcome(plan, "clear", seed, CLEAR[seed], Status.INTERRUPTED if seed == 1 else Status.FINISHED)
        )
    assert asked(plan, replication.wanted())["clear"] == [0, 1, 2]


def test_an_arm_that_always_fails_is_given_up():
    plan = make_plan(("ours", "broken"))
    replication = Replication(plan)
    for seed in range(3):
        replication.tell(outcome(plan, "ours", seed, 0.0))
        replication.tell(outcome(plan, "broken", seed, status=Status.FAILED))
    assert asked(plan, replication.wanted()) == {"ours": [0, 1, 2], "broken": [0, 1, 2]}


def test_stages_are_wanted_with_what_needs_them():
    plan = make_plan(staged=True)
    assert asked(plan, Replication(plan).wanted())["adapted"] == [0, 1, 2]


def test_a_seed_whose_stage_failed_has_ended():
    plan = make_plan(("ours", "clear"), staged=True)
    replication = Replication(plan, [outcome(plan, "adapted", 1, status=Status.FAILED)])
    for seed in (0, 2):
        replication.tell(outcome(plan, "ours", seed, 0.0))
        replication.tell(outcome(plan, "clear", seed, CLEAR[seed]))
    assert asked(plan, replication.wanted())["clear"] == [0, 1, 2, 3]


def test_a_stage_that_is_run_again_brings_its_seed_back():
    plan = make_plan(("ours", "clear"), staged=True)
    replication = Replication(plan, [outcome(plan, "adapted", 1, status=Status.FAILED)])
    for seed in (0, 2):
        replication.tell(outcome(plan, "ours", seed, 0.0))
        replication.tell(outcome(plan, "clear", seed, CLEAR[seed]))
    replication.wanted()
    replication.tell(outcome(plan, "adapted", 1, 1.0))
    assert asked(plan, replication.wanted())["clear"] == [0, 1, 2]


def test_results_from_before_all_count():
    """A study that had ten seeds of everything loses none of them by becoming adaptive."""
    plan = make_plan()
    before = [outcome(plan, arm, seed, VALUES[arm][seed]) for arm in VALUES for seed in SEEDS]
    assert Replication(plan, before).wanted() == frozenset(plan.specs)


def test_a_contrast_to_another_arm_brings_that_arm_its_seeds():
    arms = (
        Arm(name="ours", overrides={}),
        Arm(name="noisy", overrides={}, against="noisy"),
        Arm(name="open", overrides={}, against="noisy"),
    )
    plan = make_plan(("ours", "noisy", "open"), arms=arms)
    _, done = run(plan, {"ours": [0.0] * 10, "noisy": [0.0] * 10, "open": OPEN})
    assert asked(plan, done) == {"ours": [0, 1, 2], "noisy": [*SEEDS], "open": [*SEEDS]}


def test_a_task_without_seeds_runs_once():
    plan = make_plan(seeds=())
    replication, done = run(plan, {"ours": [0.0], "clear": CLEAR, "open": OPEN})
    assert set(done) == set(plan.specs) == replication.wanted()
    assert replication.verdicts() == {"clear": "worse", "open": "worse"}


def test_a_fixed_study_wants_all_of_its_plan(tmp_path):
    plan = make_plan(adaptive=None)
    store = Store(tmp_path)
    assert wanted(plan, store) == frozenset(plan.specs)
    assert reached(plan, store) is plan
    assert Replication(plan).verdicts() == {}


def keep(store, plan, outcomes):
    for one in outcomes:
        store.write_spec(plan.specs[one.trial_id])
        store.finish(one.trial_id, store.claim(one.trial_id), one, RUN)


def test_the_plan_that_was_reached_has_no_gaps_and_no_lonely_seeds(tmp_path):
    plan = make_plan(staged=True)
    store = Store(tmp_path)
    _, done = run(plan, {**VALUES, "adapted": [0.0] * 10})
    keep(store, plan, done.values())
    so_far = reached(plan, store)
    assert set(so_far.specs) == set(done) == wanted(plan, store)
    found = analyse(gather(so_far, store))
    assert found.results.gaps == ()
    assert [one.unpaired for one in found.contrasts["m"]] == [(), ()]
    assert found.results.arm("clear").planned == (0, 1, 2, 3)


@given(st.randoms(use_true_random=False), st.integers(1, 3), st.floats(-2.0, 2.0))
def test_any_order_comes_to_what_the_report_says(order, step, shift):
    """Every time: the incremental verdicts are those of `analyse`, and what was decided stays decided."""
    plan = make_plan(("ours", "x", "y", "z"), step=step, minimum=2)
    draw = random.Random(order.random())
    values = {arm: [draw.gauss(shift * index, 1.0) for _ in SEEDS] for index, arm in enumerate(("ours", "x", "y", "z"))}
    replication, done, decided = Replication(plan), {}, set()
    while left := [one for one in plan.specs if one in replication.wanted() and one not in done]:
        trial_id = order.choice(left)
        trial = next(one for one in plan.trials if one.spec.id == trial_id)
        value = values[trial.name][trial.spec.seed]
        status = Status.FAILED if value > 3.0 else Status.FINISHED
        done[trial_id] = outcome(plan, trial.name, trial.spec.seed, value, status)
        replication.tell(done[trial_id])
        verdicts = replication.verdicts()
        assert verdicts == {one.arm: one.verdict for one in analyse(collect(plan, done)).contrasts["m"]}
        now_decided = {arm for arm, verdict in verdicts.items() if verdict is not Verdict.UNDECIDED}
        assert decided <= now_decided
        decided = now_decided
    assert Replication(plan, done.values()).wanted() == replication.wanted()


def test_a_first_seed_that_comes_back_undoes_what_rested_on_the_others():
    plan = make_plan(("ours", "clear"), staged=True)
    told = [outcome(plan, arm, seed, VALUES[arm][seed]) for arm in ("ours", "clear") for seed in range(1, 6)]
    replication = Replication(plan, [*told, outcome(plan, "adapted", 0, status=Status.FAILED)])
    assert replication.verdicts() == {"clear": "worse"}
    replication.tell(outcome(plan, "adapted", 0, 0.0))
    assert replication.verdicts() == {"clear": "undecided"}


@pytest.mark.parametrize("again", [Status.FINISHED, Status.FAILED])
def test_a_trial_that_is_run_again_counts_as_it_ended_last(again):
    plan = make_plan(("ours", "clear"), minimum=4)
    told = [outcome(plan, "ours", seed, 0.0) for seed in range(4)]
    told += [outcome(plan, "clear", seed, CLEAR[seed]) for seed in (0, 2, 3)]
    replication = Replication(plan, [*told, outcome(plan, "clear", 1, status=Status.FAILED)])
    assert asked(plan, replication.wanted())["clear"] == [0, 1, 2, 3, 4]
    last = outcome(plan, "clear", 1, CLEAR[1], again)
    replication.tell(last)
    assert replication.wanted() == Replication(plan, [*told, last]).wanted()
    assert (4 in asked(plan, replication.wanted())["clear"]) == (again is Status.FAILED)
