"""Medians: of a masked axis against numpy, of points against a general minimiser."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from core.geometry.median import geometric_median, masked_median


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("num_values", [1, 2, 5, 8])
def test_the_mean_convention_is_that_of_numpy_and_the_lower_one_that_of_torch(num_values):
    values = random(20, num_values)
    valid = torch.ones_like(values, dtype=torch.bool)
    assert masked_median(values, valid, "mean").tolist() == pytest.approx(np.median(values.numpy(), axis=-1).tolist())
    torch.testing.assert_close(masked_median(values, valid, "lower"), values.median(dim=-1).values, rtol=0, atol=0)


def test_what_is_not_valid_does_not_count():
    values = torch.tensor([[1.0, float("nan"), 3.0, 100.0], [1.0, 2.0, 3.0, 4.0]])
    valid = torch.tensor([[True, False, True, False], [False] * 4])
    assert masked_median(values, valid).tolist() == [2.0, 0.0]


def test_the_median_of_a_masked_axis_has_exact_gradients():
    values = random(6, 5).requires_grad_()
    valid = random(6, 5, seed=1) > 0
    assert torch.autograd.gradcheck(lambda v: masked_median(v, valid), values)


@pytest.mark.parametrize("num_points", [3, 6, 10, 28])
def test_the_geometric_median_agrees_with_a_general_minimiser(num_points):
    points = 20.0 * random(8, num_points, 3)
    points[:, : num_points // 3] += 500.0
    found = geometric_median(points, torch.ones(8, num_points, dtype=torch.bool))
    for candidates, median in zip(points.numpy(), found.numpy(), strict=True):

        def cost(x, candidates=candidates):
            return np.linalg.norm(candidates - x, axis=1).sum()

        options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4_000, "maxfev": 4_000}
        best = minimize(cost, np.median(candidates, axis=0), method="Nelder-Mead", options=options).x
        assert np.abs(median - best).max() < 0.05
        assert cost(median) <= cost(best) + 1e-3


def test_it_converges_wherever_it_starts():
    """Also where the minimum lies almost on one of the points, and Newton's full step jumps across it."""
    points = 20.0 * random(3_000, 6, 3)
    valid = torch.ones(3_000, 6, dtype=torch.bool)
    turn = torch.linalg.qr(random(3, 3, seed=1)).Q
    turned = geometric_median(points @ turn, valid) @ turn.T
    torch.testing.assert_close(turned, geometric_median(points, valid), rtol=0, atol=1e-4)


def test_a_majority_in_one_place_is_the_median():
    points = torch.zeros(5, 3, dtype=torch.float64)
    points[3:] = torch.tensor([[1e6, 0.0, 0.0], [0.0, -1e9, 0.0]], dtype=torch.float64)
    found = geometric_median(points, torch.ones(5, dtype=torch.bool))
    assert found.abs().max() < 2e-3


def test_points_on_a_line_have_a_median_and_finite_gradients():
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [50, 0, 0], [100, 0, 0]], dtype=torch.float64)
    points.requires_grad_()
    found = geometric_median(points, torch.ones(5, dtype=torch.bool))
    assert (found - points[2]).abs().max() < 1e-2
    found.sum().backward()
    assert points.grad.isfinite().all()


def test_no_valid_point_gives_zero_and_no_gradient():
    points = torch.full((2, 4, 3), torch.nan, dtype=torch.float64)
    points[1] = random(4, 3)
    points.requires_grad_()
    valid = torch.tensor([[False] * 4, [True] * 4])
    found = geometric_median(points, valid)
    assert (found[0] == 0).all()
    found.sum().backward()
    assert (points.grad[0] == 0).all()
    assert (points.grad[1] != 0).any()


def test_the_gradient_is_that_of_the_exact_minimiser():
    points = (10.0 * random(3, 7, 3)).requires_grad_()
    valid = torch.ones(3, 7, dtype=torch.bool)
    valid[0, 2] = False
    assert torch.autograd.gradcheck(lambda p: geometric_median(p, valid), points, eps=1e-4, atol=1e-5)
