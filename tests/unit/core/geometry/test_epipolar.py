"""Fundamental matrices against the constraint they state and OpenCV, and the distances between people of two views."""

import cv2
import numpy as np
import pytest
import torch

from core.geometry.epipolar import epipolar_distances, fundamental_matrices
from core.geometry.projection import project_points
from core.geometry.rig import court_rig, projections

COURT = projections(court_rig())


def homogeneous(points):
    return torch.nn.functional.pad(points, (0, 1), value=1.0)


def people(batch=2, views=3, people=4, seed=0):
    """Unrelated points, some of them not seen."""
    generator = torch.Generator().manual_seed(seed)
    points_px = 1_000.0 * torch.rand(batch, views, people, 5, 2, generator=generator, dtype=torch.float64)
    scores = torch.rand(batch, views, people, 5, generator=generator, dtype=torch.float64)
    scores[..., 3] = 0
    return COURT[:views].expand(batch, views, 3, 4), points_px, scores


@pytest.mark.parametrize("origin_m", [0.0, 50.0, 1_000.0])
@pytest.mark.parametrize("factor", [1.0, -1e-6, 1e6])
def test_images_of_a_point_satisfy_the_constraint(origin_m, factor):
    points_mm = 2_000.0 * torch.rand(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    away = COURT.clone()
    away[..., 3] -= 1_000.0 * origin_m * COURT[..., :3].sum(dim=-1)
    images = homogeneous(project_points(COURT, points_mm))
    lines = torch.einsum("vwba,vna->vwnb", fundamental_matrices(factor * away), images)
    distances_px = torch.einsum("vwnb,wnb->vwn", lines, images).abs() / lines[..., :2].norm(dim=-1)
    distances_px.diagonal().zero_()
    assert distances_px.max() < 1e-9 * max(1.0, origin_m)


def test_the_other_order_is_the_transpose_and_a_view_has_none_with_itself():
    F = fundamental_matrices(COURT.float().expand(2, 8, 3, 4))
    assert F.shape == (2, 8, 8, 3, 3)
    assert F.dtype == torch.float64
    size = F.abs().max()
    torch.testing.assert_close(F, F.transpose(1, 2).mT, rtol=0, atol=float(1e-14 * size))
    assert F.diagonal(dim1=1, dim2=2).abs().max() < 1e-14 * size


def test_affine_cameras_have_one_too():
    affine = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    affine[:, 2] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    points = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    first, second = homogeneous(project_points(affine, points))
    F = fundamental_matrices(affine)[0, 1]
    assert F.abs().max() > 0.1
    assert torch.einsum("nb,ba,na->n", second, F, first).abs().max() < 1e-13


def by_opencv(projections, points_px, scores):
    """One person of one view and one of another at a time."""
    F = fundamental_matrices(projections)
    expected = np.full((*scores.shape[:3], *scores.shape[1:3]), np.inf)
    for b, v, p, w, q in np.ndindex(*expected.shape):
        shared = (scores[b, v, p] * scores[b, w, q]).numpy()
        if v == w or shared.sum() == 0:
            continue
        matrix = F[b, v, w].numpy()
        right = cv2.computeCorrespondEpilines(points_px[b, v, p].numpy()[:, None], 1, matrix)[:, 0]
        left = cv2.computeCorrespondEpilines(points_px[b, w, q].numpy()[:, None], 2, matrix)[:, 0]
        distances = abs((right * homogeneous(points_px[b, w, q]).numpy()).sum(axis=1))
        distances += abs((left * homogeneous(points_px[b, v, p]).numpy()).sum(axis=1))
        expected[b, v, p, w, q] = (shared * distances / 2).sum() / shared.sum()
    return expected


def test_distances_agree_with_opencv_one_by_one():
    matrices, points_px, scores = people()
    scores[1, 2, 1] = 0
    found_px = epipolar_distances(matrices, points_px, scores)
    np.testing.assert_allclose(found_px.numpy(), by_opencv(matrices, points_px, scores), rtol=1e-9)
    assert epipolar_distances(matrices, points_px.float(), scores.float()).dtype == torch.float32


def test_the_same_people_are_nearest_to_themselves():
    joints_mm = 300.0 * torch.randn(3, 9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    joints_mm = joints_mm + torch.tensor([[[-2_000.0, 0, 0]], [[0, 1_500.0, 0]], [[2_500.0, -800.0, 0]]])
    points_px = project_points(COURT.expand(3, 8, 3, 4), joints_mm).transpose(0, 1)
    found_px = epipolar_distances(COURT, points_px, torch.ones(8, 3, 9, dtype=torch.float64))
    between_px = found_px.transpose(1, 2)[~torch.eye(8, dtype=torch.bool)]
    assert between_px.diagonal(dim1=1, dim2=2).max() < 1e-8
    assert between_px[:, ~torch.eye(3, dtype=torch.bool)].min() > 10
    assert found_px.transpose(1, 2).diagonal().isinf().all()
    torch.testing.assert_close(found_px.flatten(0, 1).flatten(1), found_px.flatten(0, 1).flatten(1).mT)


def test_a_nan_joint_counts_as_unseen_and_a_nan_camera_matches_nobody():
    matrices, points_px, scores = people()
    unseen = scores.clone()
    unseen[0, 1, 2, 4] = 0
    points_px[0, 1, 2, 4, 0] = torch.nan
    expected = epipolar_distances(matrices, points_px, unseen)
    torch.testing.assert_close(epipolar_distances(matrices, points_px, scores), expected)
    broken = matrices.clone()
    broken[1, 0, 1, 2] = torch.nan
    found = epipolar_distances(broken, points_px, scores)
    assert found[1, 0].isinf().all()
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1, 1:, :, 1:], expected[1, 1:, :, 1:])


def test_no_frames_and_strided_input_are_fine():
    matrices, points_px, scores = people()
    assert epipolar_distances(matrices[:0], points_px[:0], scores[:0]).shape == (0, 3, 4, 3, 4)
    strided = points_px.movedim(2, 0).contiguous().movedim(0, 2)
    assert not strided.is_contiguous()
    assert torch.equal(epipolar_distances(matrices, strided, scores), epipolar_distances(matrices, points_px, scores))
