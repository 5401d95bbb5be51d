"""Errors of joints in the image."""

import torch

from core.typing import Bool, Float, Tensor


def mean_error_px(
    predicted: Float[Tensor, "*batch 2"], truth: Float[Tensor, "*batch 2"], mask: Bool[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """Mean distance over the detections in the mask; NaN if it is empty.

    What lies outside the mask may hold anything. Report hidden and visible joints apart, with a mask for each: averaged
    over views, a 2D error hides that errors agree between views.
    """
    distances = torch.where(mask, (predicted - truth).norm(dim=-1), 0.0)
    return distances.sum() / mask.sum()
