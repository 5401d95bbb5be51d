"""Expected positions in volumes: against the grid of all positions, and where plain exponentials would overflow."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from core.nn.soft_argmax import soft_argmax_3d


def volumes(*batch, dtype=torch.float64):
    return 3.0 * torch.randn(*batch, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=dtype)


@given(x=st.integers(0, 3), y=st.integers(0, 4), z=st.integers(0, 5))
def test_a_sharp_volume_gives_its_cell(x, y, z):
    logits = torch.full((1, 4, 5, 6), -1e4)
    logits[0, x, y, z] = 0.0
    assert soft_argmax_3d(logits)[0].tolist() == [x, y, z]


def test_it_is_the_mean_over_the_grid_of_all_positions():
    logits = volumes(2, 3)
    grid = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in (4, 5, 6)), indexing="ij"), dim=-1)
    density = logits.exp() / logits.exp().sum(dim=(-3, -2, -1), keepdim=True)
    expected = (density[..., None] * grid).sum(dim=(-4, -3, -2))
    torch.testing.assert_close(soft_argmax_3d(logits), expected)
    torch.testing.assert_close(soft_argmax_3d(logits.float()).double(), expected, rtol=0, atol=1e-5)


def test_large_logits_neither_overflow_nor_vanish():
    for shift in (-1e4, 1e4):
        torch.testing.assert_close(soft_argmax_3d(volumes(2) + shift), soft_argmax_3d(volumes(2)))


def test_it_has_exact_gradients():
    assert torch.autograd.gradcheck(soft_argmax_3d, volumes(2).requires_grad_())


def test_a_nan_loses_its_volume_alone():
    logits = volumes(2, 3)
    expected = soft_argmax_3d(logits)
    logits[1, 2, 0, 0, 0] = torch.nan
    found = soft_argmax_3d(logits)
    assert found.isnan().all(dim=-1).sum() == 1
    torch.testing.assert_close(found[0], expected[0])


def test_no_volumes_and_strided_ones_are_fine():
    logits = volumes(2, 3)
    assert soft_argmax_3d(logits[:0]).shape == (0, 3, 3)
    strided = logits.movedim(1, -1).contiguous().movedim(-1, 1)
    torch.testing.assert_close(soft_argmax_3d(strided), soft_argmax_3d(logits))
