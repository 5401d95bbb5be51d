"""What a training step of each method takes in `EpochTraining` and `PhasedTraining`, beside loops written by hand.

And what it saves to train five seeds at once. On the CPU it is processor time of one thread that is compared, which a
busy machine disturbs least; on a GPU it is the wall's.
"""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from core.train.minibatches import seeded
from tests.bench.measuring import Contract, Peer
from tests.bench.training import (
    LARGE,
    LIFTER,
    MIDDLE,
    NUM_SEEDS,
    SMALL,
    UGCN,
    by_hand,
    mlp_case,
    phase_by_hand,
    phased,
    task_phases,
    trained,
)

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

MIN_SPEED = 0.95
ROUNDS = Contract(budget_s=0.0, min_rounds=9)
NUM_PHASE_STEPS = {"finetuning": 3, "lifting": 20}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def peer(work, amount, device):
    """Let a call on a GPU begin and end with nothing under way."""

    def call():
        work()
        if device != "cpu":
            torch.cuda.synchronize()

    return Peer(call, amount)


def ratio(comparison, name, device):
    return comparison.cpu_ratio(name) if device == "cpu" else comparison.wall_ratio(name)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["by hand", "EpochTraining"])
@named([SMALL, MIDDLE, LIFTER, UGCN])
def test_a_step_of_one_seed(side_by_side, tmp_path, case, name, device):
    def peers():
        fits, schedule = case.fits(device, tmp_path)
        ours = replace(fits[0], generator=seeded(9))
        theirs = replace(fits[0], network=deepcopy(fits[0].network), generator=seeded(9))
        assert trained([ours], schedule, tmp_path)[0] == pytest.approx(by_hand(theirs, schedule), rel=1e-4)
        num_steps = schedule.num_epochs * schedule.steps_per_epoch
        return {
            "by hand": peer(lambda: by_hand(theirs, schedule), num_steps, device),
            "EpochTraining": peer(lambda: trained([ours], schedule, tmp_path), num_steps, device),
        }

    group = f"training step, {case.name}, {device}"
    comparison = side_by_side(group, name, peers, unit="steps", contract=ROUNDS)
    assert ratio(comparison, name, device).median <= 1.0 / MIN_SPEED


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["by hand", "PhasedTraining"])
@pytest.mark.parametrize("phase_name", NUM_PHASE_STEPS)
def test_a_step_of_triangulation_as_self_supervision(side_by_side, tmp_path, phase_name, name, device):
    num_steps = NUM_PHASE_STEPS[phase_name]

    def peers():
        phase = task_phases(device, tmp_path)[phase_name]
        before = deepcopy(phase.state())
        phased(phase, num_steps, tmp_path)
        expected = deepcopy(phase.module.state_dict())
        phase.load(before)
        phase_by_hand(phase, num_steps)
        for key, values in phase.module.state_dict().items():
            torch.testing.assert_close(values, expected[key])
        return {
            "by hand": peer(lambda: phase_by_hand(phase, num_steps), num_steps, device),
            "PhasedTraining": peer(lambda: phased(phase, num_steps, tmp_path), num_steps, device),
        }

    group = f"training step, triangulation as self-supervision, {phase_name}, {device}"
    comparison = side_by_side(group, name, peers, unit="steps", contract=ROUNDS)
    assert ratio(comparison, name, device).median <= 1.0 / MIN_SPEED


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["five runs", "at once"])
@named([mlp_case(64, 16, 60), SMALL, MIDDLE, LARGE, LIFTER, UGCN])
def test_five_seeds(side_by_side, tmp_path, case, name, device):
    def peers():
        fits, schedule = case.fits(device, tmp_path)
        apart = [
            replace(fit, network=deepcopy(fit.network), generator=seeded(9, seed)) for seed, fit in enumerate(fits)
        ]
        together = [replace(fit, generator=seeded(9, seed)) for seed, fit in enumerate(fits)]
        curves = [trained([fit], schedule, tmp_path)[0] for fit in apart]
        for found, expected in zip(trained(together, schedule, tmp_path), curves, strict=True):
            assert found == pytest.approx(expected, rel=0.02)
        num_steps = NUM_SEEDS * schedule.num_epochs * schedule.steps_per_epoch

        def one_by_one():
            return [trained([fit], schedule, tmp_path) for fit in apart]

        return {
            "five runs": peer(one_by_one, num_steps, device),
            "at once": peer(lambda: trained(together, schedule, tmp_path), num_steps, device),
        }

    group = f"training of five seeds, {case.name}, {device}"
    comparison = side_by_side(group, name, peers, unit="steps", contract=ROUNDS)
    if name == "at once" and "width 64" in case.name:
        assert ratio(comparison, name, device).median < 1.0
