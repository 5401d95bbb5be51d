import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.losses.crossview import (
    bone_direction_loss,
    bone_vectors,
    exchange_views,
    project_normalised,
    reprojection_loss,
    symmetry_loss,
    transform_loss,
)
from core.skeleton import HUMAN36M

NUM_BONES = 16


def scene(seed=0, batch=3, noise=0.1):
    """Two cameras a quarter turn apart, a pose before them, and what each makes of it; metres, float64."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    move = torch.tensor([5.0, 0.0, 5.0], dtype=torch.float64)
    there = torch.cat([turn, move[:, None]], dim=1)
    back = torch.cat([turn.T, -(turn.T @ move)[:, None]], dim=1)
    to_other = torch.stack([there, back]).expand(batch, 2, 3, 4)
    first = torch.randn(batch, 17, 3, generator=generator, dtype=torch.float64) * 0.4
    first = first + torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64)
    truth = torch.stack([first, first @ turn.T + move], dim=1)
    guess = truth + noise * torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    return truth, guess, to_other


def distance(first, second):
    return sum((a - b) ** 2 for a, b in zip(first.tolist(), second.tolist(), strict=True)) ** 0.5


def bone(pose, index):
    parent, child = HUMAN36M.bones[index]
    return pose[child] - pose[parent]


def literal_symmetry(poses):
    total = 0.0
    children = [child for _, child in HUMAN36M.bones]
    for pose in poses:
        for k in range(NUM_BONES):
            mirrored = children.index(HUMAN36M.mirror[children[k]])
            total += abs(float(bone(pose, k).norm() - bone(pose, mirrored).norm()))
    return total


def literal_transform(pose, other):
    total = 0.0
    for _ in range(2):  # the sum over i, on which nothing depends
        for j in range(17):
            total += distance(pose[0, j], other[0, j]) + distance(pose[1, j], other[1, j])
    return total


def literal_bone_direction(pose, other):
    total = 0.0
    for view in range(2):
        for k in range(NUM_BONES):
            mine, theirs = bone(pose[view], k), bone(other[view], k)
            total += 1 - float(mine @ theirs / (mine.norm() * theirs.norm()))
    return total


def test_every_loss_is_its_equation_written_out():
    truth, guess, to_other = scene()
    others = exchange_views(guess, to_other)
    points, labels = project_normalised(guess, 0.1), project_normalised(truth, 0.1)
    expected = {"reprojection": 0.0, "symmetry": 0.0, "transform": 0.0, "bones": 0.0}
    for sample in range(3):
        pairs = [(points[sample, i, j], labels[sample, i, j]) for i in range(2) for j in range(17)]
        expected["reprojection"] += sum(distance(*pair) for pair in pairs) / 3
        expected["symmetry"] += literal_symmetry(guess[sample]) / 3
        expected["transform"] += literal_transform(guess[sample], others[sample]) / 3
        expected["bones"] += literal_bone_direction(guess[sample], others[sample]) / 3
    assert float(reprojection_loss(points, labels)) == pytest.approx(expected["reprojection"])
    assert float(symmetry_loss(guess, HUMAN36M)) == pytest.approx(expected["symmetry"])
    assert float(transform_loss(guess, others)) == pytest.approx(expected["transform"])
    assert float(bone_direction_loss(guess, others, HUMAN36M)) == pytest.approx(expected["bones"])


def test_exchanged_views_are_the_other_camera_s_poses_joint_by_joint():
    truth, guess, to_other = scene(batch=1)
    others = exchange_views(guess, to_other)
    for j in range(17):
        for view, other in ((0, 1), (1, 0)):
            moved = to_other[0, other, :, :3] @ guess[0, other, j] + to_other[0, other, :, 3]
            torch.testing.assert_close(others[0, view, j], moved)
    torch.testing.assert_close(exchange_views(truth, to_other), truth)


@pytest.mark.parametrize("name", ["reprojection", "symmetry", "transform", "bones"])
def test_losses_have_exact_gradients(name):
    truth, guess, to_other = scene(batch=2)

    def loss(poses):
        if name == "reprojection":
            return reprojection_loss(project_normalised(poses, 0.1), project_normalised(truth, 0.1))
        if name == "symmetry":
            return symmetry_loss(poses, HUMAN36M)
        others = exchange_views(poses, to_other)
        return transform_loss(poses, others) if name == "transform" else bone_direction_loss(poses, others, HUMAN36M)

    assert torch.autograd.gradcheck(loss, [guess.requires_grad_()])


def trained(loss, start, num_steps=400, rate=0.02):
    """Poses that a loss is left to itself with."""
    poses = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([poses], lr=rate)
    for step in range(num_steps):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / num_steps) ** 2
        optimiser.zero_grad()
        value = loss(poses)
        value.backward()
        optimiser.step()
    return poses.detach()


def test_reprojection_alone_puts_joints_on_their_rays_and_leaves_the_depth():
    truth, guess, _ = scene()
    labels = project_normalised(truth, 0.1)
    found = trained(lambda poses: reprojection_loss(project_normalised(poses, 0.1), labels), guess)
    rays = torch.nn.functional.pad(labels, (0, 1), value=1.0)
    on_ray = rays * found[..., 2:]
    assert (found - on_ray).norm(dim=-1).max() < 2e-3
    assert (found[..., 2] - truth[..., 2]).abs().mean() > 0.03


def test_symmetry_alone_makes_both_sides_equally_long():
    _, guess, _ = scene()
    found = trained(lambda poses: symmetry_loss(poses, HUMAN36M), guess)
    lengths = bone_vectors(found, HUMAN36M).norm(dim=-1)
    children = [child for _, child in HUMAN36M.bones]
    for left, right in HUMAN36M.left_right:
        sides = lengths[..., children.index(left)], lengths[..., children.index(right)]
        torch.testing.assert_close(*sides, rtol=0, atol=2e-3)
        assert sides[0].min() > 0.05


def test_agreement_of_positions_alone_makes_the_views_one():
    _, guess, to_other = scene()
    found = trained(lambda poses: transform_loss(poses, exchange_views(poses, to_other)), guess)
    assert (found - exchange_views(found, to_other)).norm(dim=-1).max() < 3e-3
    between = (guess + exchange_views(guess, to_other)) / 2
    torch.testing.assert_close(found, between, rtol=0, atol=3e-3)


def test_agreement_of_bones_alone_leaves_their_lengths_free():
    truth, guess, to_other = scene(noise=0.05)
    stretched = guess * torch.tensor([1.0, 1.3], dtype=torch.float64)[:, None, None]

    def loss(poses):
        return bone_direction_loss(poses, exchange_views(poses, to_other), HUMAN36M)

    found = trained(loss, stretched, num_steps=600)
    assert loss(found) < 1e-3 * loss(stretched)
    lengths = bone_vectors(found, HUMAN36M).norm(dim=-1)
    assert (lengths[:, 1] / lengths[:, 0]).mean() > 1.2
    assert loss(truth) == pytest.approx(0, abs=1e-9)


@settings(deadline=None)
@given(scale=st.floats(0.2, 5.0), shift=st.floats(-2.0, 2.0), seed=st.integers(0, 1000))
def test_bone_directions_do_not_see_size_or_place(scale, shift, seed):
    _, guess, to_other = scene(seed)
    others = exchange_views(guess, to_other)
    expected = bone_direction_loss(guess, others, HUMAN36M)
    torch.testing.assert_close(bone_direction_loss(guess, scale * others + shift, HUMAN36M), expected)


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_truth_has_no_loss_but_its_own_asymmetry(seed):
    truth, _, to_other = scene(seed)
    others = exchange_views(truth, to_other)
    assert float(transform_loss(truth, others)) == pytest.approx(0, abs=1e-9)
    assert float(bone_direction_loss(truth, others, HUMAN36M)) == pytest.approx(0, abs=1e-9)
    mirrored = truth[..., list(HUMAN36M.mirror), :] * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert float(symmetry_loss(truth + mirrored, HUMAN36M)) == pytest.approx(0, abs=1e-9)


def test_joints_behind_the_camera_have_finite_images_and_gradients():
    poses = torch.tensor([[[0.1, 0.2, -1.0], [0.1, 0.2, 0.0]]], dtype=torch.float64, requires_grad=True)
    points = project_normalised(poses, 0.5)
    points.sum().backward()
    torch.testing.assert_close(points, 2 * poses[..., :2])
    assert poses.grad.isfinite().all()
