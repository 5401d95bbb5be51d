"""How often `until: decided` is wrong, and how many seeds it takes: whole studies, simulated through the platform.

Each study has a reference and three arms, whose results share the reference's noise by seed. The platform's own
`Replication` asks for trials, is told one result at a time, and decides after each: nothing here decides anything.
"""

import math
from collections import Counter

import numpy as np
import pytest

from ablate.analysis.contrasts import Verdict, analyse
from ablate.analysis.replication import Replication
from ablate.analysis.results import collect
from ablate.plan.model import Plan, PlannedTrial
from ablate.study.model import Adaptive, Metric
from ablate.trial import Outcome, Status, TrialSpec
from tests.studies import bare_study

pytestmark = pytest.mark.bench

NUM_STUDIES = 2_000
MAX_SEEDS = 20
ARMS = ("reference", "a", "b", "c")
DIFFERENCE_SD = math.sqrt(2.0)
"""Of an arm minus the reference, each with noise of sd 1 of its own."""
WRONG = (Verdict.BETTER, Verdict.WORSE)


def make_plan(adaptive):
    metrics = (Metric(name="m", unit="mm", better="lower"),)
    study = bare_study(ARMS, name="calibration", num_replicates=MAX_SEEDS, metrics=metrics, adaptive=adaptive)
    seeds = tuple(range(MAX_SEEDS))
    trials = [
        PlannedTrial(spec=TrialSpec(task="toy:run", parameters={"arm": arm}, seed=seed), role="arm", name=arm)
        for seed in seeds
        for arm in ARMS
    ]
    return Plan(study=study, scale="quick", seeds=seeds, trials=tuple(trials), configuration={})


def outcome(trial, values):
    value = float(values[trial.spec.seed, ARMS.index(trial.name)])
    return Outcome(trial_id=trial.spec.id, attempt=1, status=Status.FINISHED, metrics={"m": value})


def run_adaptive(plan, values):
    """Run what is asked for, one trial at a time in the plan's order; give the verdicts and the number of trials."""
    replication = Replication(plan)
    done = {}
    while left := replication.wanted() - done.keys():
        trial = next(one for one in plan.trials if one.spec.id in left)
        done[trial.spec.id] = outcome(trial, values)
        replication.tell(done[trial.spec.id])
    return replication.verdicts(), len(done)


def simulate(shifts, noise="normal", seed=0):
    """Run all studies; `shifts` are the arms' true differences in sd of a paired difference."""
    plan = make_plan(Adaptive(min=3, max=MAX_SEEDS, step=1, metric="m"))
    generator = np.random.default_rng(seed)
    shape = (NUM_STUDIES, MAX_SEEDS, len(ARMS))
    values = generator.normal(size=shape) if noise == "normal" else generator.standard_t(3, size=shape)
    values += np.array([0.0, *shifts]) * DIFFERENCE_SD
    return [run_adaptive(plan, one) for one in values]


def wrong_rate(verdicts, arms):
    return sum(any(one[arm] in WRONG for arm in arms) for one in verdicts) / len(verdicts)


LIMIT = 0.05 + 2.0 * math.sqrt(0.05 * 0.95 / NUM_STUDIES)


@pytest.mark.parametrize(("shifts", "arms"), [((0.0, 0.0, 0.0), "abc"), ((2.0, 0.0, 0.0), "bc")])
def test_looking_after_every_seed_finds_no_more_than_5_percent_where_there_is_nothing(say, shifts, arms):
    """Also where one arm has an effect, whose decision makes Holm's adjustment of the others milder."""
    found = simulate(shifts)
    rate = wrong_rate([verdicts for verdicts, _ in found], arms)
    say(f"shifts {shifts} sd: {rate:.2%} of {NUM_STUDIES} studies decide wrongly (limit {LIMIT:.2%})")
    assert rate <= LIMIT


def test_the_usual_way_of_looking_after_every_seed_would_fail_this(say):
    """The check can fail: fixed-sample verdicts, looked at after every seed from the third, are wrong too often."""
    plan = make_plan(None)
    generator = np.random.default_rng(0)
    num_studies, num_wrong = 200, 0
    for _ in range(num_studies):
        values = generator.normal(size=(MAX_SEEDS, len(ARMS)))
        done = {}
        for place, trial in enumerate(plan.trials, start=1):
            done[trial.spec.id] = outcome(trial, values)
            if place % len(ARMS) == 0 and trial.spec.seed >= 2:
                contrasts = analyse(collect(plan, done)).contrasts["m"]
                if any(one.verdict in WRONG for one in contrasts):
                    num_wrong += 1
                    break
    print(
        f"\nt intervals, looked at after every seed: {num_wrong / num_studies:.1%} of {num_studies} studies are wrong"
    )
    assert num_wrong / num_studies > LIMIT


def test_large_effects_take_at_most_half_the_seeds_of_a_fixed_number(say):
    found = simulate((2.0, 2.0, 2.0))
    trials = np.mean([number for _, number in found]) / len(ARMS)
    verdicts = Counter(str(verdict) for one, _ in found for verdict in one.values())
    say(f"effect of 2 sd: {trials:.2f} seeds an arm on average, {dict(verdicts)}")
    assert trials <= MAX_SEEDS / 2
    assert verdicts["worse"] / verdicts.total() > 0.99


def test_heavy_tails_do_not_break_it(say):
    """Noise of Student's t with 3 degrees of freedom, which the sequence does not assume."""
    found = simulate((0.0, 0.0, 0.0), noise="t3")
    rate = wrong_rate([verdicts for verdicts, _ in found], "abc")
    say(f"t3 noise without effect: {rate:.2%} of {NUM_STUDIES} studies decide wrongly")
    assert rate <= LIMIT
