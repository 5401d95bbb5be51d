"""Motion: constant bones, players apart, feet on the floor, smooth, and a function of its generator alone."""

import pytest
import torch

from core.simulator.motion import simulate_motion
from core.simulator.paths import MIN_DISTANCE_MM
from core.simulator.subjects import SHORTEST_MM, TALLEST_MM, draw_subjects
from core.skeleton import HUMAN36M

FLOOR_MM = (9000.0, 6400.0)


def play(seed, num_players=10, num_frames=120):
    generator = torch.Generator().manual_seed(seed)
    subjects = draw_subjects(num_players, generator)
    return subjects, simulate_motion(subjects, num_frames, fps=4.0, floor_mm=FLOOR_MM, generator=generator)


@pytest.fixture(scope="module")
def game():
    return play(0)


def test_bones_keep_their_lengths_over_time(game):
    joints_mm = game[1].joints_mm
    for parent, child in HUMAN36M.bones:
        length_mm = (joints_mm[:, :, parent] - joints_mm[:, :, child]).norm(dim=-1)
        torch.testing.assert_close(length_mm, length_mm[:1].expand_as(length_mm), rtol=0, atol=0.05)


def test_bones_differ_between_subjects_and_agree_between_sides(game):
    joints_mm = game[1].joints_mm[0]
    thigh_mm = {s: (joints_mm[:, hip] - joints_mm[:, hip + 1]).norm(dim=-1) for s, hip in (("right", 1), ("left", 4))}
    torch.testing.assert_close(thigh_mm["left"], thigh_mm["right"], rtol=0, atol=0.05)
    assert thigh_mm["left"].std() > 10


def test_statures_are_those_of_players(game):
    stature_mm = game[0].stature_mm
    assert stature_mm.min() >= SHORTEST_MM and stature_mm.max() <= TALLEST_MM


def test_players_repel(game):
    ground_mm = game[1].ground_mm
    apart_mm = (ground_mm[:, :, None] - ground_mm[:, None]).norm(dim=-1)
    apart_mm[:, range(10), range(10)] = torch.inf
    assert apart_mm.min() > 0.9 * MIN_DISTANCE_MM


def test_players_stay_on_the_floor(game):
    assert (game[1].ground_mm.abs() <= torch.tensor(FLOOR_MM) / 2).all()


def test_nobody_sinks_and_most_stand(game):
    subjects, motion = game
    lowest_mm = motion.joints_mm[..., 2].amin(dim=-1)
    ankle_mm = 0.045 * subjects.stature_mm
    assert (lowest_mm > ankle_mm - 1).all()
    assert ((lowest_mm - ankle_mm) < 30).float().mean() > 0.5


def test_the_pelvis_stands_over_the_ground_position(game):
    motion = game[1]
    torch.testing.assert_close(motion.joints_mm[:, :, HUMAN36M.root, :2], motion.ground_mm)


def test_movement_is_smooth(game):
    step_mm = (game[1].joints_mm[1:] - game[1].joints_mm[:-1]).norm(dim=-1)
    assert 100 < step_mm.mean() < 700
    assert step_mm.max() < 3000


def test_left_is_left_of_where_the_player_faces(game):
    joints_mm = game[1].joints_mm
    names = ("LHip", "RHip", "LShoulder", "RShoulder")
    left_hip, right_hip, left_shoulder, right_shoulder = (joints_mm[:, :, HUMAN36M.index(name)] for name in names)
    same = ((left_hip - right_hip) * (left_shoulder - right_shoulder)).sum(dim=-1) > 0
    assert same.float().mean() > 0.99


def test_knees_bend_backwards(game):
    joints_mm = game[1].joints_mm
    leftward = joints_mm[:, :, 4] - joints_mm[:, :, 1]
    ahead = torch.linalg.cross(leftward, torch.tensor([0.0, 0.0, 1.0]).expand_as(leftward))
    for hip, knee, ankle in ((1, 2, 3), (4, 5, 6)):
        bend = joints_mm[:, :, knee] - (joints_mm[:, :, hip] + joints_mm[:, :, ankle]) / 2
        assert ((bend * ahead).sum(dim=-1) > 0).float().mean() > 0.95


def test_the_same_seed_gives_the_same_motion_and_another_seed_another():
    first, again, other = (play(seed, num_players=4, num_frames=8)[1].joints_mm for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
