"""Losses on 3D poses."""

import torch

from core.typing import Bool, Float, Tensor


def pose_mse(
    predicted: Float[Tensor, "*batch J 3"],
    target: Float[Tensor, "*batch J 3"],
    valid: Bool[Tensor, "*batch J"] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared coordinate difference (Roy et al. 2022, Eq. 2 on labels and pseudo labels, Eq. 9 on labels).

    Args:
        predicted: Poses, in metres in the paper.
        target: True or triangulated poses in the same unit; an invalid joint may hold anything, NaN too.
        valid: Joints that count; `None`: all. If none does, the loss is 0.
    """
    return _mean_over(_squares(predicted, target, valid), valid)


def smooth_pose_mse(
    predicted_mm: Float[Tensor, "*batch J 3"],
    target_mm: Float[Tensor, "*batch J 3"],
    valid: Bool[Tensor, "*batch J"] | None = None,
    threshold_cm2: float = 400.0,
) -> Float[Tensor, ""]:
    """Mean squared coordinate difference in cm^2 that grows slowly beyond a threshold (Iskakov et al. 2019).

    A squared difference `d` above the threshold `t` counts `d^0.1 t^0.9`: continuous, but an error of metres hardly
    weighs more than one of 20 cm.

    Args:
        predicted_mm: Poses.
        target_mm: True poses; an invalid joint may hold anything.
        valid: Joints that count; `None`: all. If none does, the loss is 0.
        threshold_cm2: Squared difference of one coordinate up to which the loss is quadratic.
    """
    squares = _squares(predicted_mm / 10, target_mm / 10, valid)
    tail = squares.clamp(min=threshold_cm2) ** 0.1 * threshold_cm2**0.9
    return _mean_over(torch.where(squares > threshold_cm2, tail, squares), valid)


def _squares(
    predicted: Float[Tensor, "*batch J 3"], target: Float[Tensor, "*batch J 3"], valid: Bool[Tensor, "*batch J"] | None
) -> Float[Tensor, "*batch J 3"]:
    if valid is not None:
        predicted = torch.where(valid[..., None], predicted, 0.0)
        target = torch.where(valid[..., None], target, 0.0)
    return (predicted - target).square()


def _mean_over(squares: Float[Tensor, "*batch J 3"], valid: Bool[Tensor, "*batch J"] | None) -> Float[Tensor, ""]:
    num_valid = squares.numel() if valid is None else 3 * int(valid.sum())
    return squares.sum() / max(num_valid, 1)
