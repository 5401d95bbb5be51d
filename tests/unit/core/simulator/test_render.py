"""Rendering: visibility is told by the z-buffer, colours by the garments, and pictures end at the camera's frame."""

from dataclasses import replace

import pytest
import torch

from core.simulator.body import Capsules, build_bodies
from core.simulator.crops import project
from core.simulator.draw import Shots
from core.simulator.outfits import draw_random_outfits, draw_team_outfits
from core.simulator.render import render_into
from core.skeleton import HUMAN36M

RED, GREEN, BLUE = torch.eye(3)
FRONT = 0


def take(scene, *, frames=(0,), players=(0,), views=(FRONT,), size_px=(64, 48), num_neighbours=4):
    """Render the given crops; returns images and truth."""
    shots = Shots(frame=torch.tensor(frames), player=torch.tensor(players), view=torch.tensor(views))
    images = torch.zeros(len(frames), 3, *size_px, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(0)
    return images, render_into(images, scene, shots, num_neighbours=num_neighbours, generator=generator)


def lone(scene, player=0):
    """Leave one player and no posts."""
    keep = slice(player, player + 1)
    bodies = Capsules(ends_mm=scene.bodies.ends_mm[:, keep], radii_mm=scene.bodies.radii_mm[:, keep])
    posts = Capsules(ends_mm=scene.posts.ends_mm[:0], radii_mm=scene.posts.radii_mm[:0])
    return replace(
        scene,
        joints_mm=scene.joints_mm[:, keep],
        ground_mm=scene.ground_mm[:, keep],
        bodies=bodies,
        colours=scene.colours[keep],
        posts=posts,
        post_colours=scene.post_colours[:0],
    )


def with_twin(scene, towards_camera_mm):
    """Add a copy of the only player, moved towards camera `FRONT` on the floor."""
    centre_mm = -torch.linalg.solve(scene.projections[FRONT, :, :3], scene.projections[FRONT, :, 3]).float()
    way = torch.nn.functional.normalize(centre_mm[:2] - scene.ground_mm[0, 0], dim=0)
    shift = torch.nn.functional.pad(way * towards_camera_mm, (0, 1))
    joints_mm = torch.cat([scene.joints_mm, scene.joints_mm + shift], dim=1)
    return replace(
        scene,
        joints_mm=joints_mm,
        ground_mm=torch.cat([scene.ground_mm, scene.ground_mm + shift[:2]], dim=1),
        bodies=build_bodies(joints_mm, torch.full((2,), 1850.0)),
        colours=scene.colours.expand(2, -1, -1, -1),
    )


def test_visible_joints_have_the_colour_of_the_body(scene):
    painted = replace(lone(scene), colours=GREEN.expand(1, 17, 2, 3))
    dark = replace(painted, room=replace(painted.room, texture=torch.zeros_like(painted.room.texture)))
    num_frames = dark.joints_mm.shape[0]
    frames = tuple(range(num_frames))
    images, truth = take(dark, frames=frames, players=(0,) * num_frames, views=(FRONT,) * num_frames)
    x, y = truth.joints_px.round().long().unbind(dim=-1)
    frame, joint = truth.visible.nonzero(as_tuple=True)
    red, green, blue = images[frame, :, y[frame, joint], x[frame, joint]].int().T
    assert frame.shape[0] > 10 * num_frames
    assert ((green > red + 20) & (green > blue + 20)).float().mean() > 0.98


def test_left_and_right_wear_warm_and_cool(scene):
    colours = torch.cat(
        [draw(5, torch.Generator().manual_seed(0)) for draw in (draw_team_outfits, draw_random_outfits)]
    )
    left_hand, right_hand = colours[:, 15, 0], colours[:, 16, 0]
    assert (left_hand[:, 0] > left_hand[:, 2]).all()
    assert (right_hand[:, 2] > right_hand[:, 0]).all()


def test_teams_are_told_by_their_jerseys():
    jersey = draw_team_outfits(6, torch.Generator().manual_seed(0))[:, 8, 0]
    assert torch.equal(jersey[0], jersey[2]) and torch.equal(jersey[1], jersey[5])
    assert (jersey[0] - jersey[1]).abs().max() > 0.2


def test_a_player_alone_is_hidden_by_nobody(scene):
    num_frames = scene.joints_mm.shape[0]
    _, truth = take(lone(scene), frames=tuple(range(num_frames)), players=(0,) * num_frames, views=(3,) * num_frames)
    assert not truth.hidden_by_others.any()
    assert 0.6 < truth.visible.float().mean() < 0.95


def test_a_twin_in_front_hides_the_target_and_a_twin_behind_does_not(scene):
    alone = lone(scene)
    _, before = take(with_twin(alone, 600.0))
    _, behind = take(with_twin(alone, -600.0))
    _, truth = take(alone)
    assert before.hidden_by_others.float().mean() > 0.5
    assert before.visible.sum() < truth.visible.sum() / 2
    assert not behind.hidden_by_others.any() and torch.equal(behind.visible, truth.visible)


def test_a_neighbour_that_is_not_drawn_hides_nothing(scene):
    _, truth = take(with_twin(lone(scene), 600.0), num_neighbours=0)
    assert not truth.hidden_by_others.any()


def test_the_far_shoulder_is_hidden_in_profile(scene):
    alone = lone(scene)
    views = range(scene.projections.shape[0])
    frames = [frame for frame in range(scene.joints_mm.shape[0]) for _ in views]
    _, truth = take(alone, frames=frames, players=(0,) * len(frames), views=tuple(views) * scene.joints_mm.shape[0])
    joints_mm = alone.joints_mm[frames, 0].double()
    depth_mm = project(truth.projections, joints_mm)[..., 2]
    left, right = HUMAN36M.index("LShoulder"), HUMAN36M.index("RShoulder")
    apart_mm = depth_mm[:, left] - depth_mm[:, right]
    profile = apart_mm.abs() > 250
    far = torch.where(apart_mm > 0, left, right)[profile]
    assert profile.sum() > 5
    assert truth.visible[profile.nonzero()[:, 0], far].float().mean() < 0.5


def bent(scene, **moved_mm):
    """Put joints of the only player's first frame elsewhere: offsets from a joint, in (right, up, to the camera)."""
    joints_mm = scene.joints_mm.clone()
    centre_mm = -torch.linalg.solve(scene.projections[FRONT, :, :3], scene.projections[FRONT, :, 3]).float()
    nearer = torch.nn.functional.normalize(centre_mm - joints_mm[0, 0, HUMAN36M.root], dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), nearer), dim=0)
    axes = torch.stack([right, torch.linalg.cross(nearer, right), nearer])
    for name, (origin, offset_mm) in moved_mm.items():
        place_mm = joints_mm[0, 0, HUMAN36M.index(origin)] + torch.tensor(offset_mm) @ axes
        joints_mm[0, 0, HUMAN36M.index(name)] = place_mm
    return replace(scene, joints_mm=joints_mm, bodies=build_bodies(joints_mm, torch.tensor([1850.0])))


def test_a_hip_behind_its_own_raised_knee_is_hidden(scene):
    leg = {"RKnee": ("RHip", (0.0, 0.0, 450.0)), "RAnkle": ("RKnee", (0.0, -450.0, 0.0))}
    _, truth = take(bent(lone(scene), **leg), size_px=(320, 256))
    assert truth.visible[0, HUMAN36M.index("RKnee")]
    assert not truth.visible[0, HUMAN36M.index("RHip")]


def test_a_thigh_that_points_at_the_camera_shows_the_knee_in_front(scene):
    leg = {"RKnee": ("RHip", (0.0, 20.0, 450.0)), "RAnkle": ("RHip", (0.0, 0.0, -400.0))}
    _, truth = take(bent(lone(scene), **leg), size_px=(320, 256))
    assert truth.visible[0, HUMAN36M.index("RKnee")]
    assert not truth.visible[0, HUMAN36M.index("RHip")]


def test_a_joint_behind_the_players_own_forearm_is_hidden_however_near(scene):
    arm = {"RElbow": ("Spine", (150.0, 0.0, 150.0)), "RWrist": ("Spine", (-100.0, 0.0, 150.0))}
    _, truth = take(bent(lone(scene), **arm), size_px=(320, 256))
    assert truth.visible[0, HUMAN36M.index("RWrist")]
    assert not truth.visible[0, HUMAN36M.index("Spine")]


def test_joints_outside_the_crop_are_not_visible(scene):
    num_frames = scene.joints_mm.shape[0]
    _, truth = take(
        scene, frames=tuple(range(num_frames)) * 2, players=(0,) * 2 * num_frames, views=(1,) * 2 * num_frames
    )
    x, y = truth.joints_px.unbind(dim=-1)
    outside = (x < -0.5) | (x >= 47.5) | (y < -0.5) | (y >= 63.5)
    assert not (truth.visible & outside).any()


def test_beyond_the_cameras_frame_it_is_black(scene):
    moved = replace(scene, image_size_px=(scene.image_size_px[0], 40))
    images, truth = take(moved)
    assert not truth.inside.any()
    assert images.float().mean() < take(scene)[0].float().mean() / 4


@pytest.mark.parametrize("size_px", [(64, 48), (96, 80)])
def test_what_is_visible_hardly_depends_on_the_resolution(scene, size_px):
    frames, views = tuple(range(12)), (2,) * 12
    _, fine = take(scene, frames=frames, players=(1,) * 12, views=views, size_px=(192, 144))
    _, coarse = take(scene, frames=frames, players=(1,) * 12, views=views, size_px=size_px)
    assert (fine.visible == coarse.visible).float().mean() > 0.9


def test_a_darker_camera_gives_darker_pictures(scene):
    dim = replace(scene, lighting=replace(scene.lighting, gain=scene.lighting.gain / 4))
    ratio = take(dim)[0].float().mean() / take(scene)[0].float().mean()
    assert 0.4 < ratio < 0.65
