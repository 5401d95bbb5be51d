"""Losses on 3D poses: values by hand, the joint of the smooth one, gradients."""

import pytest
import torch

from core.losses.pose import pose_mse, smooth_pose_mse


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mse_is_the_mean_over_coordinates():
    assert float(pose_mse(torch.ones(2, 3, 3) * 2, torch.zeros(2, 3, 3))) == pytest.approx(4.0)


@pytest.mark.parametrize("loss", [pose_mse, smooth_pose_mse])
def test_invalid_joints_may_hold_anything(loss):
    predicted, target = random(2, 5, 3).requires_grad_(), random(2, 5, 3, seed=1)
    target[0, 2] = torch.nan
    valid = target.isfinite().all(dim=-1)
    found = loss(predicted, target, valid)
    torch.testing.assert_close(found, loss(predicted[valid], target[valid]))
    found.backward()
    assert predicted.grad.isfinite().all()
    assert (predicted.grad[0, 2] == 0).all()
    assert loss(predicted, target, torch.zeros_like(valid)).item() == 0.0


@pytest.mark.parametrize(
    ("error_mm", "loss_cm2"), [(0.0, 0.0), (100.0, 100.0), (200.0, 400.0), (2_000.0, 40_000.0**0.1 * 400.0**0.9)]
)
def test_the_smooth_loss_is_quadratic_up_to_20_cm_and_flat_beyond(error_mm, loss_cm2):
    assert float(smooth_pose_mse(torch.full((1, 1, 3), error_mm), torch.zeros(1, 1, 3))) == pytest.approx(loss_cm2)


@pytest.mark.parametrize("loss", [pose_mse, smooth_pose_mse])
def test_gradients_are_exact_on_both_sides_of_the_threshold(loss):
    predicted = (300.0 * random(2, 6, 3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: loss(p, torch.zeros(2, 6, 3)), predicted, eps=1e-3, atol=1e-4)


def test_exact_poses_have_finite_gradients():
    predicted = torch.zeros(1, 2, 3, requires_grad=True)
    smooth_pose_mse(predicted, torch.zeros(1, 2, 3)).backward()
    assert (predicted.grad == 0).all()
