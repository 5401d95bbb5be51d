"""What a detector's errors are made of, for each group of joints, and the values fitted to OpenPose on Shelf.

Lengths are in percent of the *body length*: from the middle of the shoulders to that of the hips, and on through one
thigh and shin, as long as it appears in the image where it lies across the line of sight.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from core.skeleton import HUMAN36M
from core.typing import Float, Int, Tensor

GROUPS = ("face", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "hand")
_WORDS = {
    **dict.fromkeys(("Nose", "Eye", "Ear", "Head"), "face"),
    **dict.fromkeys(("Shoulder", "Thorax"), "shoulder"),
    **dict.fromkeys(("Hip", "Spine"), "hip"),
    **{name: name.lower() for name in ("Elbow", "Wrist", "Knee", "Ankle")},
}


def group_of(name: str, names: tuple[str, ...]) -> str:
    """Which group a joint belongs to; the neck is the face's where a thorax stands for the shoulders' middle."""
    if name == "Neck":
        return "face" if "Thorax" in names else "shoulder"
    return next((group for word, group in _WORDS.items() if name.endswith(word)), "hand")


def group_indices(names: tuple[str, ...]) -> Int[Tensor, " J"]:
    """Index into `GROUPS` of each joint."""
    return torch.tensor([GROUPS.index(group_of(name, names)) for name in names])


@dataclass(frozen=True, slots=True, kw_only=True)
class JointNoise:
    """Errors of one group of joints.

    Attributes:
        spread: Standard deviation along each axis of the image where the joint is seen as easily as it is on average.
        tail: Standard deviation of the logarithm of the spread: how much easier and harder than that it can be.
        outliers: Share of detections that lie somewhere else.
        missing: Share of joints that are not detected.
        hidden_spread: As `spread`, where the body hides the joint from the camera.
        hidden_tail: As `tail`, where hidden.
        hidden_outliers: As `outliers`, where hidden.
        hidden_missing: As `missing`, where hidden.
        common: Scatter that all views of a frame share, along each axis of space.
        confidence: Median confidence.
        hidden_confidence: Likewise, where hidden.
        doubt: By how much the logit of the confidence falls when the spread grows by a factor e.
        jitter: Standard deviation of that logit at a given spread.
        bias: Constant offset from the mocap's joint: forward, outward (away from the body's middle), up.
    """

    spread: float
    tail: float
    outliers: float
    missing: float
    hidden_spread: float
    hidden_tail: float
    hidden_outliers: float
    hidden_missing: float
    common: float
    confidence: float
    hidden_confidence: float
    doubt: float
    jitter: float
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorModel:
    """Errors of all joints, and what they have in common.

    Attributes:
        groups: By name in `GROUPS`.
        correlation: Of the logarithm of a joint's spread between the views of a frame.
        outlier_spread: Standard deviation of outliers along each axis.
        swaps: Share of arms and legs, per view, that are exchanged as a whole.
        missed: Share of views in which the person is not found at all.
    """

    groups: Mapping[str, JointNoise]
    correlation: float
    outlier_spread: float
    swaps: float
    missed: float

    def of_joints(self, names: tuple[str, ...], field: str) -> Float[Tensor, " J"]:
        """Give one number of each joint's group."""
        values = torch.tensor([float(getattr(self.groups[group], field)) for group in GROUPS])
        return values[group_indices(names)]

    def biases(self, names: tuple[str, ...]) -> Float[Tensor, "J 3"]:
        """Offsets forward, left and up: outward is left on the left side, right on the right, nowhere in between."""
        outward = torch.tensor([(name[0] == "L") - float(name[0] == "R") for name in names])
        values = torch.tensor([self.groups[group].bias for group in GROUPS])[group_indices(names)]
        return values * torch.stack([torch.ones_like(outward), outward, torch.ones_like(outward)], dim=-1)


def body_length_mm(joints_mm: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch"]:
    """Length of trunk, thigh and shin of a body in Human3.6M's joints, left and right averaged."""
    at = {name: joints_mm[..., index, :] for index, name in enumerate(HUMAN36M.names)}
    trunk = (at["LShoulder"] + at["RShoulder"] - at["LHip"] - at["RHip"]).norm(dim=-1)
    legs = [
        (at[f"{side}{first}"] - at[f"{side}{second}"]).norm(dim=-1)
        for side in "LR"
        for first, second in (("Hip", "Knee"), ("Knee", "Ankle"))
    ]
    return (trunk + torch.stack(legs).sum(dim=0)) / 2
