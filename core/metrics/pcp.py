"""Percentage of correct parts in 3D, as the Shelf and Campus benchmarks count it."""

import torch

from core.skeleton import SHELF
from core.typing import Bool, Float, Tensor

_LIMB_NAMES = (
    ("LShoulder", "LElbow"),
    ("RShoulder", "RElbow"),
    ("LElbow", "LWrist"),
    ("RElbow", "RWrist"),
    ("LHip", "LKnee"),
    ("RHip", "RKnee"),
    ("LKnee", "LAnkle"),
    ("RKnee", "RAnkle"),
    ("BottomHead", "TopHead"),
    ("BottomHead", "Pelvis"),
)

SHELF_LIMBS: tuple[tuple[int, int], ...] = tuple((SHELF.index(a), SHELF.index(b)) for a, b in _LIMB_NAMES)
"""The ten parts of the benchmark: upper and lower arms and legs (left, right), head, torso."""


def correct_parts(
    predicted: Float[Tensor, "*batch J 3"],
    truth: Float[Tensor, "*batch J 3"],
    limbs: tuple[tuple[int, int], ...] = SHELF_LIMBS,
    tolerance: float = 0.5,
) -> Bool[Tensor, "*batch L"]:
    """Whether each part is found: its ends are off by at most `tolerance` times its true length, on average.

    A part with a NaN end, predicted or true, is not found.
    """
    first, second = torch.tensor(limbs, device=truth.device).T
    errors = (predicted - truth).norm(dim=-1)
    lengths = (truth[..., first, :] - truth[..., second, :]).norm(dim=-1)
    return (errors[..., first] + errors[..., second]) / 2 <= tolerance * lengths


def pcp3d_percent(
    predicted: Float[Tensor, "F A J 3"],
    truth: Float[Tensor, "F A J 3"],
    limbs: tuple[tuple[int, int], ...] = SHELF_LIMBS,
) -> Float[Tensor, "A"]:
    """Share of correct parts of each actor, in percent, over the frames in which the actor is there.

    The benchmark's single number is the mean over its first three actors.

    Args:
        predicted: Poses matched to the actors; NaN where none was found, which counts as wrong.
        truth: Poses of the actors; a frame in which any joint is NaN does not count.
        limbs: Parts, as pairs of joints.

    Returns:
        One value for each actor; NaN for an actor who is never there.
    """
    is_there = truth.isfinite().flatten(2).all(dim=-1)
    correct = correct_parts(predicted, truth, limbs) & is_there[..., None]
    return 100.0 * correct.sum(dim=(0, 2)).to(truth.dtype) / (len(limbs) * is_there.sum(dim=0)).to(truth.dtype)
