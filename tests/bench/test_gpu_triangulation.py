"""How fast joints are triangulated on a GPU, in float32: the Triton kernels, plain torch, and a batched SVD in torch.

A call ends when its result is there. `points_per_s` in the saved file is by the median.
"""

import pytest
import torch

from core.geometry import shifted
from core.geometry.gpu import triton_backend
from core.geometry.robust import RobustConfig
from core.testing import ring_scene

pytestmark = [
    pytest.mark.bench,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU"),
    pytest.mark.skipif(triton_backend() is None, reason="no Triton"),
]

NUM_JOINTS = 17
FRAMES = [64, 4_096, 65_536]


def scene_on_gpu(num_views, num_frames):
    scene = ring_scene(max(num_views, 4), NUM_JOINTS, torch.Generator().manual_seed(0), batch=num_frames)
    rig, points_px = scene.projections[:1, :num_views].float().cuda(), scene.points_px[:, :num_views].float().cuda()
    return rig.expand(num_frames, -1, -1, -1), points_px + torch.randn_like(points_px)


def by_svd(projections, points_px):
    """The last right singular vector of the rows of all views."""
    rows = points_px[..., None] * projections[..., None, 2:, :] - projections[..., None, :2, :]
    vectors = torch.linalg.svd(rows.movedim(-4, -3).flatten(-3, -2)).Vh[..., -1, :]
    return vectors[..., :3] / vectors[..., 3:]


def by_triton(projections, points_px):
    return triton_backend().dlt(projections, points_px, None, "scene")


def by_torch(projections, points_px):
    return shifted.dlt(projections, points_px, None, "scene")


def robust_by_triton(projections, points_px):
    return triton_backend().robust(projections, points_px, RobustConfig(), None).points_mm


def robust_by_torch(projections, points_px):
    return shifted.robust(projections, points_px, RobustConfig(), None).points_mm


def all_pairs_by_svd(projections, points_px):
    """Only the decompositions of the robust form: every pair of views and all of them."""
    pairs = torch.combinations(torch.arange(projections.shape[1], device=points_px.device))
    by_svd(projections[:, pairs].flatten(0, 1), points_px[:, pairs].flatten(0, 1))
    return by_svd(projections, points_px)


def measure(benchmark, solve, projections, points_px, *, backward):
    """Time a call until the GPU is done, and note points per second."""
    points_px.requires_grad_(backward)

    def call():
        points_mm = solve(projections, points_px)
        if backward:
            points_px.grad = None
            points_mm.sum().backward()
        torch.cuda.synchronize()
        return points_mm

    assert benchmark(call).isfinite().all()
    if benchmark.enabled:
        num_points = points_px.shape[0] * NUM_JOINTS
        benchmark.extra_info["points_per_s"] = num_points / benchmark.stats.stats.median


@pytest.mark.parametrize("num_frames", FRAMES)
@pytest.mark.parametrize("num_views", [2, 4, 8])
@pytest.mark.parametrize("solve", [by_triton, by_torch, by_svd])
@pytest.mark.benchmark(group="dlt on a GPU, forward")
def test_dlt(benchmark, solve, num_views, num_frames):
    measure(benchmark, solve, *scene_on_gpu(num_views, num_frames), backward=False)


@pytest.mark.parametrize("num_views", [4, 8])
@pytest.mark.parametrize("solve", [by_triton, by_torch, by_svd])
@pytest.mark.benchmark(group="dlt on a GPU, forward and backward, 4096 frames")
def test_dlt_and_its_gradient(benchmark, solve, num_views):
    measure(benchmark, solve, *scene_on_gpu(num_views, 4_096), backward=True)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "forward_and_backward"])
@pytest.mark.parametrize("solve", [robust_by_triton, robust_by_torch, all_pairs_by_svd])
@pytest.mark.benchmark(group="robust on a GPU, 8 views, 4096 frames")
def test_robust(benchmark, solve, backward):
    measure(benchmark, solve, *scene_on_gpu(8, 4_096), backward=backward)
