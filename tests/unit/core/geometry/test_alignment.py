"""Alignments against scipy, and poses that are degenerate."""

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation

from core.geometry import alignment
from core.geometry.alignment import align_scale, align_similarity, nearest_rotation


@pytest.fixture(autouse=True, params=["closed form", "svd"])
def way(request, monkeypatch):
    """Every fact holds for both ways to the rotation, which the size of the batch chooses between."""
    monkeypatch.setattr(alignment, "MIN_CLOSED_FORM", 0 if request.param == "closed form" else 1_000_000)


def poses(*shape, seed=0):
    return 500.0 * torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def disparity(aligned, target):
    """Sum of squares left, with the target centred and of unit size: scipy's measure."""
    centred = target - target.mean(dim=-2, keepdim=True)
    return (aligned - target).square().sum(dim=(-2, -1)) / centred.square().sum(dim=(-2, -1))


def test_a_similarity_is_undone_exactly():
    target = poses(4, 17)
    rotation = torch.from_numpy(Rotation.from_euler("xyz", [0.3, -1.2, 2.5]).as_matrix())
    source = 0.37 * target @ rotation.T + torch.tensor([5_000.0, -300.0, 20.0], dtype=torch.float64)
    torch.testing.assert_close(align_similarity(source, target), target, rtol=0, atol=1e-8)


def test_it_agrees_with_scipy_where_no_reflection_helps():
    target = poses(6, 17)
    source = target + 0.3 * poses(6, 17, seed=1)
    found = disparity(align_similarity(source, target), target)
    expected = [procrustes(t.numpy(), s.numpy())[2] for t, s in zip(target, source, strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    centred_source = source - source.mean(dim=1, keepdim=True)
    centred_target = target - target.mean(dim=1, keepdim=True)
    rotation, size = orthogonal_procrustes(centred_source[0].numpy(), centred_target[0].numpy())
    expected_pose = size / centred_source[0].square().sum() * centred_source[0] @ torch.from_numpy(rotation)
    torch.testing.assert_close(align_similarity(source, target)[0] - target[0].mean(dim=0), expected_pose)


def test_a_mirror_image_is_not_made_to_fit():
    target = poses(3, 17)
    mirrored = target * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    for mirror_error, pose in zip(disparity(align_similarity(mirrored, target), target), target, strict=True):
        assert mirror_error > 0.05
        assert procrustes(pose.numpy(), (pose * torch.tensor([1.0, 1, -1])).numpy())[2] < 1e-12


def test_no_other_rotation_or_scale_is_better():
    target, source = poses(17), poses(17, seed=2)
    best = align_similarity(source, target)
    error = (best - target).square().sum()
    centre = best.mean(dim=0)
    for angles in np.eye(3) * 0.01:
        turned = (best - centre) @ torch.from_numpy(Rotation.from_rotvec(angles).as_matrix()) + centre
        assert (turned - target).square().sum() > error
    for scale in (0.99, 1.01):
        assert ((best - centre) * scale + centre - target).square().sum() > error


def test_flat_and_collapsed_poses_are_aligned_finitely():
    flat = poses(5, 17)
    flat[..., 2] = 0
    torch.testing.assert_close(align_similarity(2 * flat + 7, flat), flat, rtol=0, atol=1e-8)
    collapsed = torch.ones(5, 17, 3, dtype=torch.float64)
    centre = flat.mean(dim=-2, keepdim=True).expand_as(flat)
    torch.testing.assert_close(align_similarity(collapsed, flat), centre)
    assert (align_scale(torch.zeros_like(flat), flat) == 0).all()


def test_a_nan_loses_its_pose_alone():
    target, source = poses(3, 17), poses(3, 17, seed=3)
    source[1, 4, 2] = torch.nan
    aligned = align_similarity(source, target)
    assert aligned.isnan().flatten(1).all(dim=1).tolist() == [False, True, False]
    torch.testing.assert_close(aligned[2], align_similarity(source[2], target[2]), rtol=0, atol=1e-9)


def test_the_scale_is_that_of_least_squares():
    target, source = poses(17), poses(17, seed=4)
    expected = np.linalg.lstsq(source.numpy().reshape(-1, 1), target.numpy().ravel(), rcond=None)[0][0]
    torch.testing.assert_close(align_scale(source, target), expected * source)


def rotations(number, seed):
    quaternions = torch.randn(number, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.from_numpy(Rotation.from_quat(quaternions.numpy()).as_matrix())


@pytest.mark.parametrize(
    "values", [(1, 0.5, 0.2), (1, 0.5, 0), (1, 1, 1), (1, 1e-3, 1e-5), (1, 0.7, -0.3), (1, 1e-6, 0)]
)
@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_the_nearest_rotation_is_as_exact_as_its_matrix_allows(values, size):
    left, right = rotations(200, 0), rotations(200, 1)
    matrices = size * (left * torch.tensor(values, dtype=torch.float64)) @ right.mT
    found = nearest_rotation(matrices)
    gap = values[1] + values[2]
    torch.testing.assert_close(found, left @ right.mT, rtol=0, atol=1e-14 / gap)
    torch.testing.assert_close(found @ found.mT, torch.eye(3).double().expand_as(found), rtol=0, atol=1e-14)
    assert (torch.linalg.det(found) > 0).all()


@pytest.mark.parametrize("values", [(0, 0, 0), (1, 0, 0), (1, 1, -1), (1, 0.5, -0.5)])
def test_where_many_rotations_are_nearest_it_is_one_of_them(values):
    matrices = (rotations(200, 0) * torch.tensor(values, dtype=torch.float64)) @ rotations(200, 1).mT
    found = nearest_rotation(matrices)
    torch.testing.assert_close((found * matrices).sum(dim=(1, 2)), torch.full((200,), float(sum(values))).double())
    assert (torch.linalg.det(found) - 1).abs().max() < 1e-12


def test_gradients_are_exact():
    inputs = (poses(2, 6).requires_grad_(), poses(2, 6, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(align_similarity, inputs, eps=1e-3)


def test_a_lost_pose_has_no_gradient_and_no_poses_are_fine():
    source, target = poses(3, 6).requires_grad_(), poses(3, 6, seed=1)
    target[1, 0, 0] = torch.inf
    align_similarity(source, target).nansum().backward()
    assert source.grad.isfinite().all()
    assert (source.grad[1] == 0).all()
    assert align_similarity(source[:0], target[:0]).shape == (0, 6, 3)


def test_strided_input_and_float32_are_fine():
    source, target = poses(5, 17), poses(5, 17, seed=1)
    expected = align_similarity(source, target)
    strided = source.mT.contiguous().mT
    torch.testing.assert_close(align_similarity(strided, target), expected, rtol=0, atol=1e-9)
    single = align_similarity(source.float(), target.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-2)
