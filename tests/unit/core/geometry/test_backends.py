"""Every back-end of triangulation against float64 SVD and the reference form: accuracy, bad points, shapes."""

from functools import cache

import numpy as np
import pytest
import torch

from core.geometry import reference
from core.geometry.camera import Camera
from core.geometry.projection import project_points, scene_frame
from core.geometry.robust import RobustConfig, WssRule
from core.testing import ring_scene

NUM_FRAMES = 5_900


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(shape, px, seed=1):
    return px * torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def rows_in_scene(projections, points_px, weights, dtype):
    """The rows of all views in the scene's frame, times the weights, and the frame."""
    frame = scene_frame(projections)
    local, points = frame.localise(projections.double()).to(dtype), points_px.to(dtype)
    rows = points[..., None] * local[..., None, 2:, :] - local[..., None, :2, :]
    if weights is not None:
        rows = rows * weights.to(dtype)[..., None, None]
    return rows.transpose(-4, -3).flatten(-3, -2), frame


def by_svd(projections, points_px, weights=None, *, dtype=torch.float64):
    """The textbook: the last right singular vector of the rows, computed in a precision."""
    rows, frame = rows_in_scene(projections, points_px, weights, dtype)
    vectors = torch.linalg.svd(rows).Vh[..., -1, :]
    return frame.to_world((vectors[..., :3] / vectors[..., 3:]).double())


def errors_mm(found, expected):
    """Distances; infinite where a point was lost."""
    return (found.double() - expected).norm(dim=-1).nan_to_num(nan=torch.inf).flatten()


def two_cameras(baseline_deg):
    """Two cameras 5 m from the origin, which both look at."""
    angle_rad = np.deg2rad(baseline_deg)
    eyes_mm = [(5_000.0, 0.0, 500.0), (5_000.0 * np.cos(angle_rad), 5_000.0 * np.sin(angle_rad), 500.0)]
    return torch.stack(
        [Camera.look_at(eye, (0.0, 0.0, 0.0), focal_px=1_150.0, size_px=(1_000, 1_000)).projection for eye in eyes_mm]
    )


def ring(num_views, batch=NUM_FRAMES):
    """A ring's scene; of two cameras a right angle apart for two views."""
    scene = ring_scene(4 if num_views == 2 else num_views, 17, generator(num_views), batch=batch)
    return scene.projections[:, :num_views], scene.points_px[:, :num_views]


def pair(baseline_deg):
    projections = two_cameras(baseline_deg).expand(500, 2, 3, 4)
    joints_mm = ring_scene(2, 17, batch=500).joints_mm - torch.tensor([0.0, 0.0, 1_000.0], dtype=torch.float64)
    return projections, project_points(projections, joints_mm)


@cache
def sound(num_views, noise_px, dtype):
    """10^5 points and what float64 SVD makes of them."""
    projections, exact_px = ring(num_views)
    points_px = (exact_px + noise(exact_px.shape, noise_px)).to(dtype)
    rig = projections[:1].to(dtype)
    return rig.expand_as(projections), points_px, by_svd(rig, points_px)


@pytest.mark.parametrize(("num_views", "noise_px"), [(2, 2.0), (3, 0.0), (4, 20.0), (8, 2.0)])
def test_sound_rigs_agree_with_svd_to_the_last_digits(backend, num_views, noise_px):
    """The most of 10^5 points in float64."""
    projections, points_px, expected = sound(num_views, noise_px, torch.float64)
    assert points_px[:, 0, :, 0].numel() > 1e5
    assert errors_mm(backend.dlt(projections, points_px, None, "scene"), expected).max() < 1e-6


@pytest.mark.parametrize(("num_views", "noise_px"), [(2, 2.0), (3, 0.0), (4, 20.0), (8, 2.0)])
def test_float32_is_exact_to_a_micrometre(backend, num_views, noise_px):
    projections, points_px, expected = sound(num_views, noise_px, torch.float32)
    found = backend.dlt(projections, points_px, None, "scene")
    assert found.dtype == torch.float32
    assert errors_mm(found, expected).median() < 2e-4
    assert errors_mm(found, expected).quantile(0.99) < 1e-3


DEGENERATE = {
    "1 degree": lambda: pair(1.0),
    "30 degrees": lambda: pair(30.0),
    "opposing": lambda: pair(180.0),
    "almost opposing": lambda: pair(175.0),
    "three views": lambda: ring(3, 500),
    "eight views": lambda: ring(8, 500),
}


@pytest.mark.parametrize("rig", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("outlier_px", [0.0, 60.0])
@pytest.mark.parametrize("power", [0, 1, 3])
def test_float32_is_nowhere_worse_than_svd_in_float32(backend, rig, outlier_px, power):
    """Also for random weights; cubed, one view of many often is all that counts."""
    projections, points_px = rig()
    points_px = points_px + noise(points_px.shape, 1.0)
    points_px[:, 0] += noise(points_px[:, 0].shape, outlier_px, seed=2)
    rig, points_px = projections[:1].float(), points_px.float()
    weights = torch.rand(points_px.shape[:-1], generator=generator(3)) ** power
    values = torch.linalg.svdvals(rows_in_scene(rig, points_px, weights, torch.float64)[0])
    is_determined = (values[..., -2] > 1e-6 * values[..., 0]).flatten()
    assert is_determined.double().mean() > 0.9
    exact = by_svd(rig, points_px, weights)
    single = by_svd(rig, points_px, weights, dtype=torch.float32)
    errors = errors_mm(backend.dlt(rig.expand_as(projections), points_px, weights, "scene"), exact)
    assert errors[is_determined].max() <= errors_mm(single, exact)[is_determined].max()


@pytest.mark.parametrize("offset_mm", [(50_000.0, 0.0, 0.0), (-600_000.0, 800_000.0, 0.0)])
def test_a_distant_origin_costs_float32_the_grid_of_its_results(backend, offset_mm):
    shift = torch.tensor(offset_mm, dtype=torch.float64)
    scene = ring_scene(4, 17, generator(), batch=200)
    projections = scene.projections.clone()
    projections[..., 3] -= projections[..., :3] @ shift
    points_px = (scene.points_px + noise(scene.points_px.shape, 2.0)).float()
    found = backend.dlt(projections, points_px, None, "scene")
    grid_mm = torch.finfo(torch.float32).eps * shift.norm()
    assert errors_mm(found, by_svd(projections, points_px)).max() < 1e-3 + grid_mm


def hard_batch():
    """Frames with all that breaks implementations, and sound ones between them."""
    projections, points_px = ring(5, 12)
    points_px = points_px + noise(points_px.shape, 3.0)
    weights = torch.rand(points_px.shape[:-1], generator=generator(1), dtype=torch.float64)
    projections = projections.clone()
    points_px[0, 2, 3] = torch.nan
    points_px[1, 0, 16, 1] = torch.inf
    weights[2, :, 5] = 0
    weights[3, 1:, 6] = 0
    weights[4, 2:, 7] = 0
    weights[5] *= 1e-20
    weights[6, 1, 4] = torch.nan
    projections[7, 1, 0, 0] = torch.nan
    projections[8], points_px[8] = projections[8, :1].clone(), points_px[8, :1].clone()
    projections[9] *= torch.tensor([1e6, -1.0, 1e-6, -3.0, 0.5], dtype=torch.float64)[:, None, None]
    points_px[10, 2, 3] = 1e4
    points_px[10, 2, 4] = torch.nan
    weights[10, 2, 4] = 0
    return projections, points_px, weights


@pytest.mark.parametrize("metric", ["scene", "raw"])
def test_hard_points_are_lost_where_the_reference_loses_them(backend, metric):
    projections, points_px, weights = hard_batch()
    expected = reference.dlt(projections, points_px, weights, metric)
    found = backend.dlt(projections, points_px, weights, metric)
    assert (found.isnan() == expected.isnan()).all()
    assert 70 > expected.isnan().any(dim=-1).sum() > 36
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-2 if metric == "raw" else 1e-5, equal_nan=True)


@pytest.mark.parametrize("metric", ["scene", "raw"])
def test_gradients_of_hard_points_are_those_of_the_reference(backend, metric):
    def gradients(module):
        projections, points_px, weights = hard_batch()
        points_px.requires_grad_()
        weights.requires_grad_()
        found = module.dlt(projections, points_px, weights, metric)
        found[found.isfinite().all(dim=-1)].square().sum().backward()
        return points_px.grad, weights.grad

    for found, expected in zip(gradients(backend), gradients(reference), strict=True):
        assert found.isfinite().all()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().median()))


@pytest.mark.parametrize("num_views", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_the_dlt_are_exact(backend, num_views, weighted):
    projections, points_px = (tensor[0] for tensor in ring(num_views, 1))
    points_px = (points_px[:, :3] + noise((num_views, 3, 2), 3.0)).requires_grad_()
    weights = torch.rand(num_views, 3, generator=generator(), dtype=torch.float64) + 0.2
    inputs = (points_px, weights.requires_grad_()) if weighted else (points_px,)
    assert torch.autograd.gradcheck(
        lambda px, w=None: backend.dlt(projections, px, w, "scene"), inputs, eps=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("num_views", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("detach", [True, False])
def test_gradients_of_the_robust_form_are_exact(backend, num_views, detach):
    projections, points_px = (tensor[0] for tensor in ring(num_views, 1))
    points_px = (points_px[:, :2] + noise((num_views, 2, 2), 1.5)).requires_grad_()
    weights = backend.robust(projections, points_px, RobustConfig(), None).weights

    def run(px):
        found = backend.robust(projections, px, RobustConfig(detach_weights=detach), None)
        return found.points_mm if detach else (found.points_mm, 10.0 * found.weights)

    if detach:
        found = backend.robust(projections, points_px, RobustConfig(), None).points_mm
        (gradient,) = torch.autograd.grad(found.sum(), points_px)
        fixed = reference.dlt(projections, points_px, weights, "scene")
        (expected,) = torch.autograd.grad(fixed.sum(), points_px)
        torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-9)
    else:
        assert torch.autograd.gradcheck(run, points_px, eps=1e-5, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("num_views", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("even_median", ["mean", "lower"])
@pytest.mark.parametrize("above", ["keep", "equal_weights", "discard"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_robust_form_agrees_with_the_reference(backend, num_views, even_median, above, dtype):
    """By quantile: results jump where the spread crosses its threshold and where a median changes its partner."""
    projections, points_px = ring(num_views, 40)
    points_px = points_px + noise(points_px.shape, 2.0)
    points_px[:, 0] += noise(points_px[:, 0].shape, 15.0, seed=2)
    visible = torch.rand(points_px.shape[:-1], generator=generator(4)) > 0.1
    points_px[3, 1, 2] = torch.nan
    config = RobustConfig(even_median=even_median, wss=WssRule(threshold=30.0, above=above))
    found = backend.robust(projections.to(dtype), points_px.to(dtype), config, visible)
    expected = reference.robust(projections.to(dtype), points_px.to(dtype), config, visible)
    share = 0.99 if dtype == torch.float32 else 1.0
    assert (found.kept == expected.kept).double().mean() >= share
    assert (found.points_mm.isnan() == expected.points_mm.isnan()).all()
    assert (found.wss_mm.isnan() == expected.wss_mm.isnan()).all()
    tolerance = 2e-2 if dtype == torch.float32 else 1e-4
    for name in ("points_mm", "weights", "wss_mm"):
        wanted = getattr(expected, name)
        difference = (getattr(found, name) - wanted).abs() / wanted.abs().clamp(min=1.0)
        assert difference[difference.isfinite()].double().quantile(share) < tolerance, name


@pytest.mark.parametrize("detach", [True, False])
def test_gradients_of_the_robust_form_with_missing_views_are_those_of_the_reference(backend, detach):
    def gradient(module):
        projections, points_px = ring(6, 20)
        points_px = (points_px + noise(points_px.shape, 3.0)).requires_grad_()
        visible = torch.rand(points_px.shape[:-1], generator=generator(4)) > 0.3
        config = RobustConfig(detach_weights=detach, wss=WssRule(threshold=60.0, above="equal_weights"))
        found = module.robust(projections, points_px, config, visible)
        loss = found.points_mm.nan_to_num().square().sum() / 1e3
        if not detach:
            loss = loss + found.weights.square().sum()
        loss.backward()
        return points_px.grad

    torch.testing.assert_close(gradient(backend), gradient(reference), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_point_does_not_depend_on_its_neighbours(native, dtype):
    """To the bit: in blocks of any size, wherever it lies, near points that take more steps or another path."""
    projections, points_px, weights = (tensor.to(dtype) for tensor in hard_batch())
    whole = native.dlt(projections, points_px, weights, "scene")
    robust = native.robust(projections, points_px, RobustConfig(), None)
    for frame, joint in [(0, 0), (4, 7), (9, 3), (10, 3), (11, 16)]:
        single = (projections[frame], points_px[frame, :, joint : joint + 1])
        alone = native.dlt(*single, weights[frame, :, joint : joint + 1], "scene")
        torch.testing.assert_close(alone[0], whole[frame, joint], rtol=0, atol=0)
        alone = native.robust(*single, RobustConfig(), None)
        torch.testing.assert_close(alone.points_mm[0], robust.points_mm[frame, joint], rtol=0, atol=0)
        torch.testing.assert_close(alone.weights[:, 0], robust.weights[frame, :, joint], rtol=0, atol=0)


@pytest.mark.parametrize("num_joints", [1, 15, 16, 17, 255, 256, 257, 600])
@pytest.mark.parametrize("num_frames", [1, 3, 33])
def test_any_number_of_points_is_solved(backend, num_joints, num_frames):
    scene = ring_scene(3, num_joints, generator(), batch=num_frames)
    points_px = scene.points_px.clone().requires_grad_()
    found = backend.dlt(scene.projections, points_px, None, "scene")
    torch.testing.assert_close(found, scene.joints_mm, rtol=0, atol=1e-6)
    found.sum().backward()
    assert (points_px.grad != 0).all()


@pytest.mark.parametrize("num_threads", [2, 5])
def test_threads_do_not_change_a_bit(native, num_threads):
    projections, points_px = (tensor.float() for tensor in ring(4, 400))
    before = torch.get_num_threads()
    one = native.dlt(projections, points_px, None, "scene"), native.robust(projections, points_px, RobustConfig(), None)
    try:
        torch.set_num_threads(num_threads)
        many = native.dlt(projections, points_px, None, "scene")
        robust = native.robust(projections, points_px, RobustConfig(), None)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(many, one[0], rtol=0, atol=0)
    torch.testing.assert_close(robust.weights, one[1].weights, rtol=0, atol=0)


def test_frames_with_their_own_rigs_and_strides_are_told_apart(any_backend):
    projections = torch.stack([ring_scene(4, 9).projections, ring_scene(4, 9, radius_mm=7_000.0).projections])[
        [0, 1, 1, 0]
    ]
    joints_mm = ring_scene(4, 9, generator(), batch=4).joints_mm
    points_px = project_points(projections, joints_mm)
    strided = points_px.movedim(0, -1).contiguous().movedim(-1, 0)
    scattered = torch.stack([projections, projections.flip(0)], dim=-1)[..., 0]
    for given, points in ((projections, points_px), (scattered, strided), (projections[:, None], points_px[:, None])):
        found = any_backend.dlt(given, points, None, "scene").reshape(4, 9, 3)
        torch.testing.assert_close(found, joints_mm, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_are_computed_in_longer_ones(backend, dtype):
    projections, points_px = ring(4, 2)
    points_px = points_px.to(dtype)
    found = backend.dlt(projections, points_px, None, "scene")
    assert found.dtype == dtype
    torch.testing.assert_close(found, by_svd(projections, points_px).to(dtype), rtol=1e-2, atol=1e-2)


def test_lost_joints_are_counted(any_backend):
    projections, points_px = ring(4, 3)
    points_px = points_px.clone()
    points_px[1, 2, 3] = torch.nan
    points_px[2, 0, 4] = torch.nan
    assert int(any_backend.robust(projections, points_px, RobustConfig(), None).num_lost) == 2


def test_an_empty_batch_has_empty_results(any_backend):
    scene = ring_scene(4, 7, batch=6)
    for points_px, shape in ((scene.points_px[:0], (0, 7, 3)), (scene.points_px[:, :, :0], (6, 0, 3))):
        projections = scene.projections[: len(points_px)]
        weights = torch.ones_like(points_px[..., 0])
        assert any_backend.dlt(projections, points_px, weights, "scene").shape == shape
        assert any_backend.dlt(projections, points_px, None, "raw").shape == shape
        found = any_backend.robust(projections, points_px, RobustConfig(), None)
        assert found.points_mm.shape == shape and found.weights.shape == points_px.shape[:-1]
