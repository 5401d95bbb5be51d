"""How fast the parts beside the triangulation kernel are: two views, matching, alignment, soft-argmax, unprojection.

Each beside its peers in one run. Warm-up, rounds and spread are pytest-benchmark's; threads are set by the make target.
"""

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from core.geometry.alignment import align_similarity, nearest_rotation
from core.geometry.epipolar import epipolar_distances, fundamental_matrices
from core.geometry.rig import court_rig, projections, ring_rig
from core.geometry.two_view import correct_points, triangulate_two_views
from core.geometry.voxels import VoxelGrid, unproject
from core.nn.soft_argmax import soft_argmax, soft_argmax_3d
from core.testing import ring_scene

pytestmark = pytest.mark.bench


def _random(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def _pair(batch):
    """Frames of 17 joints in two views, noise of up to 3 px."""
    scene = ring_scene(4, 17, torch.Generator().manual_seed(0), batch=batch)
    points_px = scene.points_px[:, :2] + 6.0 * (_random(batch, 2, 17, 2).double() - 0.5)
    return scene.projections[:, :2].contiguous(), points_px


def _correct_by_opencv(fundamental, points_px):
    first, second = (view.flatten(0, 1).numpy()[None] for view in points_px.unbind(1))
    return np.stack(cv2.correctMatches(fundamental.numpy(), first, second))


@pytest.mark.parametrize("batch", [1, 64, 4096])
@pytest.mark.parametrize("correct", [correct_points, _correct_by_opencv], ids=["ours", "opencv"])
@pytest.mark.benchmark(group="optimal correction of two views")
def test_correction(benchmark, correct, batch):
    matrices, points_px = _pair(batch)
    benchmark.extra_info["points"] = 17 * batch
    assert benchmark(correct, fundamental_matrices(matrices)[0, 0, 1], points_px).size


@pytest.mark.benchmark(group="triangulation of two views, 4096 x 17 points")
def test_two_views(benchmark):
    matrices, points_px = _pair(4096)
    assert benchmark(triangulate_two_views, matrices, points_px).shape == (4096, 17, 3)


@pytest.mark.benchmark(group="triangulation of two views, 4096 x 17 points")
def test_two_views_by_opencv(benchmark):
    matrices, points_px = _pair(4096)
    F, (first, second) = fundamental_matrices(matrices)[0, 0, 1], matrices[0].numpy()

    def triangulate():
        left, right = _correct_by_opencv(F, points_px)[:, 0]
        return cv2.triangulatePoints(first, second, left.T.copy(), right.T.copy())

    assert benchmark(triangulate).shape == (4, 4096 * 17)


def _distances_by_opencv(projections, points_px, scores):
    """One person of one view and one of another at a time."""
    F = fundamental_matrices(projections)[0].numpy()
    points_px, scores = points_px.numpy(), scores.numpy()
    distances = np.full((*scores.shape[:3], *scores.shape[1:3]), np.inf)
    for frame, v, p, w, q in np.ndindex(*distances.shape):
        if v < w:
            left, right, weights = (
                points_px[frame, v, p],
                points_px[frame, w, q],
                scores[frame, v, p] * scores[frame, w, q],
            )
            right_lines = cv2.computeCorrespondEpilines(left[:, None], 1, F[v, w])[:, 0]
            left_lines = cv2.computeCorrespondEpilines(right[:, None], 2, F[v, w])[:, 0]
            offsets = np.abs((right_lines[:, :2] * right).sum(axis=1) + right_lines[:, 2])
            offsets += np.abs((left_lines[:, :2] * left).sum(axis=1) + left_lines[:, 2])
            distances[frame, v, p, w, q] = distances[frame, w, q, v, p] = np.average(offsets / 2, weights=weights)
    return torch.from_numpy(distances)


@pytest.mark.parametrize("frames", [1, 32])
@pytest.mark.parametrize("measure", [epipolar_distances, _distances_by_opencv], ids=["ours", "opencv_loop"])
@pytest.mark.benchmark(group="epipolar distances, 5 views of 4 people")
def test_epipolar_distances(benchmark, measure, frames):
    matrices = projections(court_rig())[:5].expand(frames, 5, 3, 4)
    points_px, scores = 1_000.0 * _random(frames, 5, 4, 17, 2), _random(frames, 5, 4, 17)
    benchmark.extra_info["frames"] = frames
    assert benchmark(measure, matrices, points_px, scores).shape == (frames, 5, 4, 5, 4)


def _rotation_by_svd(matrices):
    left, _, right = torch.linalg.svd(matrices)
    signs = torch.ones_like(matrices[:, 0])
    signs[:, 2] = torch.linalg.det(left @ right).sign()
    return (left * signs[:, None]) @ right


@pytest.mark.parametrize("batch", [1, 256, 4096])
@pytest.mark.parametrize("rotate", [nearest_rotation, _rotation_by_svd], ids=["ours", "torch_svd"])
@pytest.mark.benchmark(group="nearest rotation, float64")
def test_rotation(benchmark, rotate, batch):
    matrices = _random(batch, 3, 17).double() @ _random(batch, 17, 3).double()
    assert benchmark(rotate, matrices).shape == (batch, 3, 3)


def _align_by_svd(source, target):
    """The usual way, without care for what is not finite."""
    source_mean, target_mean = source.mean(dim=-2, keepdim=True), target.mean(dim=-2, keepdim=True)
    centred = source - source_mean
    products = (target - target_mean).mT @ centred
    rotation = _rotation_by_svd(products)
    scale = (rotation * products).sum(dim=(-2, -1), keepdim=True) / centred.square().sum(dim=(-2, -1), keepdim=True)
    return scale * centred @ rotation.mT + target_mean


@pytest.mark.parametrize("batch", [1, 256, 4096])
@pytest.mark.parametrize("align", [align_similarity, _align_by_svd], ids=["ours", "torch_svd"])
@pytest.mark.benchmark(group="Procrustes, poses of 17 joints, float32")
def test_procrustes(benchmark, align, batch):
    target = 1_000.0 * _random(batch, 17, 3)
    assert benchmark(align, target + 50.0 * _random(batch, 17, 1), target).shape == (batch, 17, 3)


def _over_the_grid(logits):
    """Expectation of every position, as a product with the grid of all of them; cells, last axis first."""
    sizes = logits.shape[2:]
    axes = torch.meshgrid(*(torch.arange(float(size)) for size in sizes), indexing="ij")
    grid = torch.stack(axes[::-1], dim=-1).flatten(0, -2)
    return (logits.flatten(2).softmax(-1)[..., None] * grid).sum(dim=-2)


@pytest.mark.parametrize("expect", [lambda x: soft_argmax(x, 4), _over_the_grid], ids=["ours", "grid"])
@pytest.mark.benchmark(group="soft-argmax 2D, 16 x 17 maps of 96 x 72, forward and backward")
def test_soft_argmax(benchmark, expect):
    logits = _random(16, 17, 96, 72).requires_grad_()
    assert benchmark(lambda: torch.autograd.grad(expect(logits).sum(), logits))[0].shape == logits.shape


@pytest.mark.parametrize("expect", [soft_argmax_3d, _over_the_grid], ids=["ours", "grid"])
@pytest.mark.benchmark(group="soft-argmax 3D, 17 volumes of 64^3, forward and backward")
def test_soft_argmax_3d(benchmark, expect):
    logits = _random(1, 17, 64, 64, 64).requires_grad_()
    assert benchmark(lambda: torch.autograd.grad(expect(logits).sum(), logits))[0].shape == logits.shape


def _unproject_view_by_view(features, matrices, grid, stride):
    """Project all voxels as a list of points and join the views' volumes, a view at a time."""
    axes = torch.meshgrid(*grid.offsets_mm(), indexing="ij")
    voxels = functional.pad(torch.stack(axes, dim=-1).view(-1, 3) + grid.centre_mm, (0, 1), value=1.0)
    size_px = torch.tensor([features.shape[-1], features.shape[-2]]) * stride
    total, count = 0.0, 0.0
    for feature, matrix in zip(features, matrices, strict=True):
        image = voxels @ matrix.T
        places = (image[:, :2] / image[:, 2:] + 0.5) * 2 / size_px - 1
        is_seen = (image[:, 2] > 0) & (places.abs() <= 1).all(dim=-1)
        found = functional.grid_sample(
            feature[None], places[None, None].float(), padding_mode="border", align_corners=False
        )
        total, count = total + found[0, :, 0] * is_seen, count + is_seen
    return (total / count.clamp(min=1)).view(-1, *grid.num_voxels)


def _unproject_by_indices(features, matrices, grid, stride):
    """Look up the four cells around each voxel's image, without `grid_sample`."""
    axes = torch.meshgrid(*grid.offsets_mm(), indexing="ij")
    voxels = functional.pad(torch.stack(axes, dim=-1).view(-1, 3) + grid.centre_mm, (0, 1), value=1.0)
    height, width = features.shape[-2:]
    total = 0.0
    for feature, matrix in zip(features, matrices, strict=True):
        image = voxels @ matrix.T
        x, y = ((image[:, :2] / image[:, 2:] + 0.5) / stride - 0.5).float().unbind(-1)
        left, top = x.floor().clamp(0, width - 2).long(), y.floor().clamp(0, height - 2).long()
        x, y = x - left, y - top
        upper = feature[:, top, left] * (1 - x) + feature[:, top, left + 1] * x
        lower = feature[:, top + 1, left] * (1 - x) + feature[:, top + 1, left + 1] * x
        total = total + upper * (1 - y) + lower * y
    return (total / len(features)).view(-1, *grid.num_voxels)


def _unproject(features, matrices, grid, stride):
    return unproject(features, matrices, grid, stride).mean()


@pytest.mark.parametrize(
    "way", [_unproject, _unproject_view_by_view, _unproject_by_indices], ids=["ours", "view_by_view", "indices"]
)
@pytest.mark.benchmark(group="unprojection, 4 views of 17 maps into 64^3 voxels, mean")
def test_unprojection(benchmark, way):
    features, rig = _random(4, 17, 100, 100), projections(ring_rig(4))
    centre_mm = torch.tensor([0.0, 0.0, 1_000.0], dtype=torch.float64)
    grid = VoxelGrid(centre_mm=centre_mm, side_mm=(2_500.0,) * 3, num_voxels=(64,) * 3)
    assert benchmark(way, features, rig, grid, 10).shape == (17, 64, 64, 64)
