"""How fast joints are triangulated, beside a batched SVD in torch and OpenCV, in one run.

Warm-up, rounds and spread are pytest-benchmark's; threads are set by the make target.
"""

import cv2
import pytest
import torch

from core.geometry.triangulation import RobustConfig, triangulate_dlt, triangulate_robust
from core.testing import ring_scene

pytestmark = pytest.mark.bench


def _scene(num_views, batch):
    scene = ring_scene(num_views, 17, torch.Generator().manual_seed(0), batch=batch)
    return scene.projections.float(), scene.points_px.float()


def _by_svd(projections, points_px):
    """The field's usual way: the last right singular vector of the stacked rows."""
    rows = points_px[..., None] * projections[:, :, None, None, 2] - projections[:, :, None, :2]
    stacked = rows.permute(0, 2, 1, 3, 4).flatten(2, 3)
    point = torch.linalg.svd(stacked).Vh[..., -1, :]
    return point[..., :3] / point[..., 3:]


@pytest.mark.parametrize("num_views", [2, 4, 8])
@pytest.mark.parametrize("solve", [triangulate_dlt, _by_svd], ids=["ours", "torch_svd"])
@pytest.mark.benchmark(group="dlt, 256 x 17 points")
def test_dlt(benchmark, solve, num_views):
    projections, points_px = _scene(num_views, 256)
    assert benchmark(solve, projections, points_px).shape == (256, 17, 3)


@pytest.mark.benchmark(group="dlt, 256 x 17 points")
def test_opencv_with_two_views(benchmark):
    projections, points_px = _scene(2, 256)
    first, second = projections[0].numpy()
    left, right = (points_px[:, view].flatten(0, 1).T.contiguous().numpy() for view in (0, 1))
    assert benchmark(cv2.triangulatePoints, first, second, left, right).shape == (4, 256 * 17)


@pytest.mark.parametrize("batch", [1, 3, 24])
@pytest.mark.benchmark(group="robust, 8 views, forward and backward")
def test_robust_training_step(benchmark, batch):
    projections, points_px = _scene(8, batch)
    points_px.requires_grad_()

    def step():
        points_px.grad = None
        triangulate_robust(projections, points_px, RobustConfig()).points_mm.sum().backward()
        return points_px.grad

    assert benchmark(step).isfinite().all()
