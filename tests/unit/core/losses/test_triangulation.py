"""Losses of Eq. 1, 3 and 8: values by hand, and which path the gradient takes."""

import pytest
import torch

from core.geometry.projection import project_points
from core.geometry.triangulation import triangulate_dlt
from core.losses.triangulation import blended_triangulation_loss, supervised_loss, triangulation_loss
from core.testing import ring_scene


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noisy_views():
    scene = ring_scene(3, 4, batch=2)
    return scene.projections, scene.points_px + 3.0 * random(2, 3, 4, 2)


def reproject(projections, points_px):
    return project_points(projections, triangulate_dlt(projections, points_px))


def test_the_supervised_loss_is_the_sum_of_squares_over_the_number_of_detections():
    predicted = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    assert float(supervised_loss(predicted, torch.zeros(1, 2, 2))) == pytest.approx(25.0 / 2)


def test_a_missing_label_may_hold_anything_and_has_no_gradient():
    predicted = random(2, 3, 2).requires_grad_()
    labels = random(2, 3, 2, seed=1)
    labels[0, 1] = torch.nan
    labelled = labels.isfinite().all(dim=-1)
    loss = supervised_loss(predicted, labels, labelled)
    assert loss.item() == pytest.approx(((predicted - labels).square().nansum() / 6).item())
    loss.backward()
    assert predicted.grad.isfinite().all()
    assert (predicted.grad[0, 1] == 0).all()


def test_weights_multiply_squared_distances():
    detected, reprojected, weights = random(2, 3, 4, 2), random(2, 3, 4, 2, seed=1), random(2, 3, 4, seed=2).abs()
    expected = (weights * (detected - reprojected).square().sum(dim=-1)).sum() / 24
    torch.testing.assert_close(triangulation_loss(detected, reprojected, weights), expected)


def test_a_joint_that_is_not_kept_lowers_the_loss_and_has_no_gradient():
    detected, weights = random(2, 3, 4, 2).requires_grad_(), random(2, 3, 4, seed=2).abs().requires_grad_()
    reprojected = random(2, 3, 4, 2, seed=1)
    reprojected[1, :, 2] = torch.nan
    kept = torch.ones(2, 4, dtype=torch.bool)
    kept[1, 2] = False
    loss = triangulation_loss(detected, reprojected, weights, kept)
    squares = weights * (detected - reprojected).square().sum(dim=-1)
    torch.testing.assert_close(loss, squares.nansum() / 24)
    loss.backward()
    assert detected.grad.isfinite().all()
    assert (detected.grad[1, :, 2] == 0).all()
    assert (weights.grad[1, :, 2] == 0).all()


def test_nothing_kept_is_a_loss_of_zero():
    detected = random(1, 3, 4, 2).requires_grad_()
    loss = triangulation_loss(detected, torch.full_like(detected, torch.nan), None, torch.zeros(1, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert (detected.grad == 0).all()


def gradient(alpha):
    projections, points_px = noisy_views()
    points_px.requires_grad_()
    loss = blended_triangulation_loss(points_px, reproject(projections, points_px), alpha)
    return loss.item(), torch.autograd.grad(loss, points_px)[0]


def test_alpha_changes_the_gradient_and_not_the_value():
    (first, direct), (second, half), (third, through) = gradient(1.0), gradient(0.5), gradient(0.0)
    assert first == pytest.approx(second)
    assert second == pytest.approx(third)
    torch.testing.assert_close(half, (direct + through) / 2)
    assert not torch.allclose(direct, through)


def test_half_is_half_of_the_full_gradient_and_one_has_fixed_targets():
    projections, points_px = noisy_views()
    points_px.requires_grad_()
    reprojected = reproject(projections, points_px)
    (full,) = torch.autograd.grad(triangulation_loss(points_px, reprojected), points_px, retain_graph=True)
    torch.testing.assert_close(gradient(0.5)[1], full / 2)
    torch.testing.assert_close(gradient(1.0)[1], 2 * (points_px - reprojected).detach() / points_px[..., 0].numel())


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\]"):
        blended_triangulation_loss(random(1, 2, 1, 2), random(1, 2, 1, 2), alpha)


def test_gradients_are_exact():
    detected, reprojected = random(2, 2, 3, 2).requires_grad_(), random(2, 2, 3, 2, seed=1).requires_grad_()
    weights = random(2, 2, 3, seed=2).abs().requires_grad_()
    kept = torch.tensor([[True, False, True], [True, True, True]])
    assert torch.autograd.gradcheck(lambda d, r, w: triangulation_loss(d, r, w, kept), (detected, reprojected, weights))
