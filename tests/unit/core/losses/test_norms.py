"""Huber, L1, L2: values by hand, gradients, and the location that each finds in a sample."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.losses.norms import choose_norm, huber, l1, l2, lengths, masked_differences


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=3),
    st.floats(0.01, 100.0),
)
def test_huber_is_equation_15(vector, delta):
    d = math.sqrt(sum(x * x for x in vector))
    expected = 0.5 * d**2 if d <= delta else delta * (d - 0.5 * delta)
    found = float(huber(torch.tensor(vector, dtype=torch.float64), delta))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_l1_is_the_length_and_l2_half_its_square():
    difference = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert l1(difference).tolist() == [5.0, 0.0]
    assert l2(difference).tolist() == [12.5, 0.0]


def test_huber_becomes_l2_as_delta_grows_and_l1_as_it_vanishes():
    differences = random(50, 3)
    torch.testing.assert_close(huber(differences, 1e6), l2(differences))
    torch.testing.assert_close(huber(differences, 1e-9) / 1e-9, l1(differences))


@pytest.mark.parametrize("name", ["huber", "l1", "l2"])
def test_gradients_are_right_and_vanish_at_zero(name):
    norm = choose_norm(name, 1.0)
    assert torch.autograd.gradcheck(norm, (random(6, 3).requires_grad_(),))
    at_zero = torch.zeros(2, 3, requires_grad=True)
    norm(at_zero).sum().backward()
    assert (at_zero.grad == 0).all()


def test_a_length_has_a_right_gradient():
    assert torch.autograd.gradcheck(lengths, (random(4, 2).requires_grad_(),))


def location(norm, sample):
    """Where the summed norm is least, by bisection on its derivative."""
    low, high = sample.min(), sample.max()
    for _ in range(100):
        middle = ((low + high) / 2).clone().requires_grad_()
        (slope,) = torch.autograd.grad(norm((middle - sample)[:, None]).sum(), middle)
        low, high = (low, middle.detach()) if slope > 0 else (middle.detach(), high)
    return float(low)


def test_l2_finds_the_mean_l1_the_median_and_huber_neither():
    sample = torch.tensor([0.0, 1.0, 2.5, 3.0, 100.0], dtype=torch.float64)
    assert location(choose_norm("l2", 1.0), sample) == pytest.approx(21.3)
    assert location(choose_norm("l1", 1.0), sample) == pytest.approx(2.5)
    # By hand, at m: clip(m) + clip(m - 1) + (m - 2.5) + clip(m - 3) - 1 = 0 with clip to [-1, 1].
    assert location(choose_norm("huber", 1.0), sample) == pytest.approx(2.25)


def test_what_does_not_count_may_hold_nan_and_has_no_gradient():
    first, second = random(3, 2).requires_grad_(), random(3, 2, seed=1)
    second[1] = torch.nan
    counts = torch.tensor([True, False, True])
    differences = masked_differences(first, second, counts)
    assert (differences[1] == 0).all()
    torch.testing.assert_close(differences[0], first[0] - second[0])
    huber(differences).sum().backward()
    assert first.grad.isfinite().all()
    assert (first.grad[1] == 0).all()


def test_a_delta_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"delta must be > 0, got 0"):
        choose_norm("huber", 0.0)
