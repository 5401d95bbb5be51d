"""The robust triangulation: pairs, geometric median, view weights, WSS."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from core.geometry.triangulation import RobustConfig, WssRule, triangulate_dlt, triangulate_robust
from core.testing import ring_scene


def noisy(num_views, num_joints, px, seed=0, batch=None):
    scene = ring_scene(num_views, num_joints, torch.Generator().manual_seed(seed), batch=batch)
    shake = torch.randn(scene.points_px.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    return scene, scene.points_px + px * shake


def by_the_paper(projections, points_px, sigma_mm):
    """Eq. 4 to 6, one joint at a time, with scipy's minimiser and numpy's median. The frame is the whole rig's."""
    num_views, num_joints = points_px.shape[:2]
    weights, wss_mm2 = np.zeros((num_views, num_joints)), np.zeros(num_joints)
    pairs = list(combinations(range(num_views), 2))
    for joint in range(num_joints):
        points = []
        for pair in pairs:
            mask = torch.zeros(num_views, 1, dtype=torch.float64)
            mask[list(pair)] = 1
            points.append(triangulate_dlt(projections, points_px[:, joint : joint + 1], mask)[0].numpy())
        points = np.stack(points)

        def cost(x, points=points):
            return np.linalg.norm(points - x, axis=1).sum()

        start = np.median(points, axis=0)
        centre = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
        squares = ((points - centre) ** 2).sum(1)
        wss_mm2[joint] = squares.mean()
        for view in range(num_views):
            partners = [np.exp(-s / sigma_mm**2) for s, pair in zip(squares, pairs, strict=True) if view in pair]
            weights[view, joint] = np.median(partners)
    return torch.from_numpy(weights), torch.from_numpy(wss_mm2)


@pytest.mark.parametrize("num_views", [3, 4, 5, 6])
def test_weights_and_wss_are_those_of_the_paper(num_views):
    scene, points_px = noisy(num_views, 4, px=1.5)
    points_px[0] += 15.0
    found = triangulate_robust(scene.projections, points_px, RobustConfig())
    weights, wss_mm2 = by_the_paper(scene.projections, points_px, sigma_mm=10.0)
    torch.testing.assert_close(found.weights, weights.clamp(min=1e-4), rtol=0, atol=1e-4)
    torch.testing.assert_close(found.wss_mm.square(), wss_mm2, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(
        found.points_mm, triangulate_dlt(scene.projections, points_px, found.weights), rtol=0, atol=1e-9
    )
    assert found.kept.all()


def test_outliers_of_one_view_are_weighed_down():
    scene, points_px = noisy(8, 17, px=1.0, batch=3)
    points_px[:, 3] += 60.0
    plain_mm = (triangulate_dlt(scene.projections, points_px) - scene.joints_mm).norm(dim=-1).mean()
    found = triangulate_robust(scene.projections, points_px, RobustConfig())
    assert (found.points_mm - scene.joints_mm).norm(dim=-1).mean() < 0.2 * plain_mm
    assert found.weights[:, 3].max() < 0.01 < found.weights[:, 0].min()


def test_an_even_number_of_partners_has_two_medians():
    scene, points_px = noisy(5, 6, px=1.0)
    mean = triangulate_robust(scene.projections, points_px, RobustConfig(even_median="mean")).weights
    lower = triangulate_robust(scene.projections, points_px, RobustConfig(even_median="lower")).weights
    assert (lower < mean).all()
    scene, points_px = noisy(4, 6, px=3.0)
    mean = triangulate_robust(scene.projections, points_px, RobustConfig(even_median="mean")).weights
    lower = triangulate_robust(scene.projections, points_px, RobustConfig(even_median="lower")).weights
    torch.testing.assert_close(lower, mean, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("statistic", "rms_mm"), [("rms_mm", 20.0), ("mean_square_mm2", 20.0**0.5), ("mean_square_m2", 4472.135955)]
)
def test_the_three_readings_of_the_threshold(statistic, rms_mm):
    assert WssRule(statistic=statistic, threshold=20.0).threshold_rms_mm == pytest.approx(rms_mm)


def test_scattered_joints_are_kept_discarded_or_weighed_equally():
    scene, points_px = noisy(5, 4, px=0.2)
    points_px[0, 1] += 80.0
    results = {
        above: triangulate_robust(scene.projections, points_px, RobustConfig(wss=WssRule(threshold=20.0, above=above)))
        for above in ("keep", "discard", "equal_weights")
    }
    assert (results["keep"].wss_mm > 20.0).tolist() == [False, True, False, False]
    assert results["keep"].kept.all()
    assert results["discard"].kept.tolist() == [True, False, True, True]
    torch.testing.assert_close(results["discard"].points_mm, results["keep"].points_mm, rtol=0, atol=0)
    assert results["equal_weights"].kept.all()
    assert (results["equal_weights"].weights[:, 1] == 1).all()
    plain_mm = triangulate_dlt(scene.projections, points_px)
    torch.testing.assert_close(results["equal_weights"].points_mm[1], plain_mm[1], rtol=0, atol=1e-9)
    torch.testing.assert_close(results["equal_weights"].points_mm[0], results["keep"].points_mm[0], rtol=0, atol=0)


def test_where_all_weights_vanish_they_are_equal_at_the_floor():
    scene, points_px = noisy(5, 4, px=40.0)
    found = triangulate_robust(scene.projections, points_px, RobustConfig(sigma_mm=1e-3))
    is_at_floor = (found.weights == 1e-4).all(dim=0)
    assert is_at_floor.any()
    plain_mm = triangulate_dlt(scene.projections, points_px)
    torch.testing.assert_close(found.points_mm[is_at_floor], plain_mm[is_at_floor], rtol=0, atol=1e-7)


def test_a_missing_view_is_as_if_it_were_not_there():
    scene, points_px = noisy(5, 6, px=2.0)
    visible = torch.ones(5, 6, dtype=torch.bool)
    visible[2, 1] = False
    points_px[2, 1] = torch.nan
    found = triangulate_robust(scene.projections, points_px, RobustConfig(), visible=visible)
    assert found.points_mm.isfinite().all()
    assert found.weights[2, 1] == 0
    others = triangulate_robust(scene.projections[[0, 1, 3, 4]], points_px[[0, 1, 3, 4], 1:2], RobustConfig())
    torch.testing.assert_close(found.weights[[0, 1, 3, 4], 1], others.weights[:, 0], rtol=0, atol=0.02)


def test_a_missing_view_leaves_the_other_joints_alone():
    scene, points_px = noisy(5, 6, px=2.0)
    visible = torch.ones(5, 6, dtype=torch.bool)
    visible[2, 1] = False
    found = triangulate_robust(scene.projections, points_px, RobustConfig(), visible=visible)
    full = triangulate_robust(scene.projections, points_px, RobustConfig())
    rest = [0, 2, 3, 4, 5]
    torch.testing.assert_close(found.points_mm[rest], full.points_mm[rest], rtol=0, atol=1e-9)


@pytest.mark.parametrize("detach", [True, False])
def test_lost_joints_have_nan_points_no_weight_and_no_gradient(detach):
    scene, points_px = noisy(4, 5, px=2.0)
    points_px[1, 0] = torch.nan
    visible = torch.ones(4, 5, dtype=torch.bool)
    visible[1:, 1] = False
    points_px.requires_grad_()
    config = RobustConfig(wss=WssRule(threshold=100.0), detach_weights=detach)
    found = triangulate_robust(scene.projections, points_px, config, visible=visible)
    assert found.points_mm.isnan().all(dim=-1).tolist() == [True, True, False, False, False]
    assert found.kept.tolist() == [False, False, True, True, True]
    assert (found.weights[:, :2] == 0).all()
    assert found.wss_mm.isnan().tolist() == [True, True, False, False, False]
    (found.points_mm.square().sum() + found.weights.sum()).backward()
    assert points_px.grad.isfinite().all()
    assert (points_px.grad[:, :2] == 0).all()
    assert (points_px.grad[:, 2:] != 0).any()


@pytest.mark.parametrize("detach", [True, False])
def test_exact_detections_have_finite_gradients(detach):
    """All pairs meet in one point: distances from the median are zero."""
    scene = ring_scene(4, 3)
    points_px = scene.points_px.clone().requires_grad_()
    found = triangulate_robust(scene.projections, points_px, RobustConfig(detach_weights=detach))
    torch.testing.assert_close(found.points_mm, scene.joints_mm, rtol=0, atol=1e-6)
    assert (found.weights > 0.999).all()
    found.points_mm.sum().backward()
    assert points_px.grad.isfinite().all()


def test_detached_weights_are_constants():
    scene, points_px = noisy(5, 3, px=2.0)
    points_px.requires_grad_()
    found = triangulate_robust(scene.projections, points_px, RobustConfig())
    assert not found.weights.requires_grad
    (gradient,) = torch.autograd.grad(found.points_mm.sum(), points_px)
    fixed_mm = triangulate_dlt(scene.projections, points_px, found.weights)
    (expected,) = torch.autograd.grad(fixed_mm.sum(), points_px)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("num_views", [2, 3, 4, 6, 8])
def test_the_full_gradient_is_exact(num_views):
    scene, points_px = noisy(num_views + 1, 2, px=1.5, seed=num_views)
    projections, points_px = scene.projections[:num_views], points_px[:num_views].clone().requires_grad_()
    config = RobustConfig(detach_weights=False)

    def run(px):
        found = triangulate_robust(projections, px, config)
        return found.points_mm, 10.0 * found.weights

    assert torch.autograd.gradcheck(run, points_px, eps=1e-5, atol=2e-4, rtol=1e-3)


def test_two_views_agree_with_themselves():
    scene, points_px = noisy(3, 4, px=5.0)
    projections, points_px = scene.projections[:2], points_px[:2]
    found = triangulate_robust(projections, points_px, RobustConfig())
    torch.testing.assert_close(found.weights, torch.ones_like(found.weights), rtol=0, atol=1e-9)
    torch.testing.assert_close(found.points_mm, triangulate_dlt(projections, points_px), rtol=0, atol=1e-9)


def test_an_empty_batch_and_float32():
    scene = ring_scene(4, 5, batch=2, dtype=torch.float32)
    found = triangulate_robust(scene.projections[:0], scene.points_px[:0], RobustConfig())
    assert found.points_mm.shape == (0, 5, 3)
    assert found.weights.shape == (0, 4, 5)
    assert found.kept.shape == (0, 5)
    found = triangulate_robust(scene.projections, scene.points_px, RobustConfig())
    assert {found.points_mm.dtype, found.weights.dtype, found.wss_mm.dtype} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"sigma_mm": 0.0}, "sigma_mm must be > 0, got 0.0"),
        ({"weight_floor": 0.0}, r"weight_floor must be in \(0, 1\], got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        RobustConfig(**settings)
    with pytest.raises(ValueError, match="threshold must be >= 0, got nan"):
        WssRule(threshold=float("nan"))
