"""Soft-argmax: the expectation of coordinates under a heatmap, of pixels or of voxels, differentiable everywhere."""

import torch
from torch.nn import functional

from core.typing import Float, Tensor


def soft_argmax(logits: Float[Tensor, "B J H W"], stride: int) -> Float[Tensor, "B J 2"]:
    """Give the expected position (x, y) under the softmax of each heatmap, in pixels of the network's input.

    A cell of the heatmap covers `stride` input pixels, and its centre lies at `(cell + 0.5) * stride - 0.5`: the
    centre of the input's top-left pixel is (0, 0).
    """
    height, width = logits.shape[-2:]
    probability = logits.flatten(-2).softmax(-1).reshape(logits.shape)
    x_cells = torch.arange(width, device=logits.device, dtype=logits.dtype)
    y_cells = torch.arange(height, device=logits.device, dtype=logits.dtype)
    cells = torch.stack([probability.sum(-2) @ x_cells, probability.sum(-1) @ y_cells], dim=-1)
    return (cells + 0.5) * stride - 0.5


def soft_argmax_3d(logits: Float[Tensor, "*batch J X Y Z"]) -> Float[Tensor, "*batch J 3"]:
    """Give the expected cell (x, y, z), counted from 0, under the softmax of each volume (Sun et al. 2018).

    Means of coordinates need the three marginal distributions only, not a grid of all positions. For positions in
    millimetres see `core.geometry.voxels.VoxelGrid.to_world`.
    """
    probability = logits.flatten(-3).softmax(-1).reshape(logits.shape)
    columns = probability.sum(-1)
    marginals = (columns.sum(-1), columns.sum(-2), probability.flatten(-3, -2).sum(-2))
    cells = [
        marginal @ torch.arange(marginal.shape[-1], device=logits.device, dtype=logits.dtype) for marginal in marginals
    ]
    return torch.stack(cells, dim=-1)


def heatmap_cross_entropy(
    logits: Float[Tensor, "B J H W"], points_px: Float[Tensor, "B J 2"], stride: int, sigma_cells: float = 1.0
) -> Float[Tensor, "B J"]:
    """Cross-entropy of each heatmap against a Gaussian around the true position.

    Args:
        logits: Heatmaps before the softmax.
        points_px: True positions in input pixels; a position outside the heatmap pulls to its border.
        stride: Input pixels per cell.
        sigma_cells: Standard deviation of the target, in cells.
    """
    height, width = logits.shape[-2:]
    cells = (points_px + 0.5) / stride - 0.5
    x = torch.arange(width, device=logits.device, dtype=logits.dtype) - cells[..., :1].clamp(0, width - 1)
    y = torch.arange(height, device=logits.device, dtype=logits.dtype) - cells[..., 1:].clamp(0, height - 1)
    x_target = functional.softmax(-x.square() / (2 * sigma_cells**2), dim=-1)
    y_target = functional.softmax(-y.square() / (2 * sigma_cells**2), dim=-1)
    log_probability = logits.flatten(-2).log_softmax(-1).reshape(logits.shape)
    return -torch.einsum("bjhw,bjh,bjw->bj", log_probability, y_target, x_target)
