"""Percentage of correct parts on cases worked out by hand."""

import math

import pytest
import torch

from core.metrics.pcp import SHELF_LIMBS, correct_parts, pcp3d_percent


def actors(num_frames=4, num_actors=2, seed=0):
    shape = (num_frames, num_actors, 15, 3)
    return 400.0 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_parts_are_those_of_the_benchmark():
    assert SHELF_LIMBS == ((9, 10), (8, 7), (10, 11), (7, 6), (3, 4), (2, 1), (4, 5), (1, 0), (12, 13), (12, 14))


@pytest.mark.parametrize(("first_mm", "second_mm", "is_correct"), [(100, 0, True), (60, 40, True), (101, 0, False)])
def test_a_part_is_correct_if_its_ends_are_off_by_half_its_length_on_average(first_mm, second_mm, is_correct):
    truth = torch.tensor([[0.0, 0, 0], [100.0, 0, 0]])
    predicted = truth + torch.tensor([[0.0, 0, first_mm], [0, second_mm, 0]])
    assert correct_parts(predicted, truth, limbs=((0, 1),)).tolist() == [is_correct]


def test_exact_poses_have_all_parts():
    truth = actors()
    assert pcp3d_percent(truth, truth).tolist() == [100.0, 100.0]


def test_frames_without_the_actor_do_not_count_and_missing_poses_are_wrong():
    truth = actors(num_frames=4)
    predicted = truth.clone()
    truth[0, 0] = torch.nan
    predicted[1, 0] = torch.nan
    truth[:, 1] = torch.nan
    first, second = pcp3d_percent(predicted, truth).tolist()
    assert first == pytest.approx(100.0 * 2 / 3)
    assert math.isnan(second)


def test_a_lost_joint_costs_the_parts_it_ends():
    truth = actors(num_frames=1, num_actors=1)
    predicted = truth.clone()
    predicted[0, 0, 12] = torch.nan
    assert pcp3d_percent(predicted, truth).tolist() == [80.0]
