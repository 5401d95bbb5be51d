"""A keypoint detector before a rig: true joints in, detected image points and confidences out.

Every random number is drawn for its own view, whatever the settings: two settings at one seed see the same chance, so
that a sweep over the noise is paired, and so is one over the number of views. `N` frames, `V` views, `J` joints.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from core.simulator.detector_fitted import FITTED
from core.simulator.detector_model import DetectorModel, body_length_mm
from core.simulator.observed import Scene, shown_by
from core.skeleton import Skeleton
from core.typing import Bool, Float, Tensor

PARTS = ("scale", "spread", "tails", "outliers", "missing", "swaps", "common", "bias", "correlation", "doubt")
SWAPPED = (("Shoulder", "Elbow", "Wrist"), ("Hip", "Knee", "Ankle"))
"""Joints of an arm and of a leg; a hand goes with its arm."""
MIN_CONFIDENCE = 0.05
"""OpenPose drops what is below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorNoise:
    """Which errors there are. Each number from `spread` on is a factor on what was fitted to OpenPose; 0 is off.

    Attributes:
        kind: As OpenPose makes them; Gaussian, all joints found and sure; or none, the truth.
        sigma_px: Standard deviation of the Gaussian noise along each axis.
        scale: Factor on all lengths of the kind `openpose` (not on shares), for a better or a worse detector.
        spread: Scatter that is each view's own.
        tails: How unequal that scatter is: 0 makes it Gaussian.
        occlusion: Whether hidden joints are treated worse than visible ones.
        outliers: Share of points that lie somewhere else.
        missing: Share of joints and of people that are not found.
        swaps: Share of limbs whose left and right are exchanged.
        common: Scatter that all views share.
        bias: Constant offset from the mocap's joints.
        correlation: How alike the views of a hard joint are.
        doubt: How much the confidence tells about the error.
        image_only: Whether joints outside the image are missing, whatever the kind, and no outlier leaves the image.
    """

    kind: Literal["openpose", "gaussian", "none"] = "openpose"
    sigma_px: float = 5.0
    scale: float = 1.0
    spread: float = 1.0
    tails: float = 1.0
    occlusion: bool = True
    outliers: float = 1.0
    missing: float = 1.0
    swaps: float = 1.0
    common: float = 1.0
    bias: float = 1.0
    correlation: float = 1.0
    doubt: float = 1.0
    image_only: bool = True

    def __post_init__(self) -> None:
        for name in ("sigma_px", *PARTS):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chance:
    """Standard normal and uniform numbers, one for everything that could happen."""

    ease: Float[Tensor, "N J"]
    common: Float[Tensor, "N J 3"]
    error: Float[Tensor, "N V J 2"]
    own_ease: Float[Tensor, "N V J"]
    jitter: Float[Tensor, "N V J"]
    stray: Float[Tensor, "N V J 2"]
    events: Float[Tensor, "N V J 2"]
    """Uniform: whether a point is an outlier, whether it is missing."""
    per_view: Float[Tensor, "N V 3"]
    """Uniform: whether the arms and the legs are exchanged, whether the person is missed."""


def draw_chance(num_frames: int, num_joints: int, shared: torch.Generator, views: Sequence[torch.Generator]) -> Chance:
    """Draw the numbers: what views share from one generator, the rest from each view's own."""
    shape = (num_frames, num_joints)

    def normal(*more: int) -> Tensor:
        return torch.stack([torch.randn(*shape, *more, generator=view) for view in views], dim=1)

    return Chance(
        ease=torch.randn(shape, generator=shared),
        common=torch.randn(*shape, 3, generator=shared),
        error=normal(2),
        own_ease=normal(),
        jitter=normal(),
        stray=normal(2),
        events=torch.stack([torch.rand(*shape, 2, generator=view) for view in views], dim=1),
        per_view=torch.stack([torch.rand(num_frames, 3, generator=view) for view in views], dim=1),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """What was detected.

    Attributes:
        points_px: 0 where missing.
        confidences: In [0, 1]; 0 where missing.
    """

    points_px: Float[Tensor, "N V J 2"]
    confidences: Float[Tensor, "N V J"]


def detect(scene: Scene, noise: DetectorNoise, chance: Chance, model: DetectorModel = FITTED) -> Detections:
    """Detect the joints of every frame in every view."""
    truth_px = scene.images_px(scene.joints_mm)
    if noise.kind == "openpose":
        found = _openpose(scene, noise, chance, model)
    else:
        sigma_px = noise.sigma_px if noise.kind == "gaussian" else 0.0
        found = Detections(points_px=truth_px + sigma_px * chance.error, confidences=torch.ones_like(truth_px[..., 0]))
    if not noise.image_only:
        return found
    is_inside = ((truth_px >= 0) & (truth_px <= scene.size_px[:, None] - 1)).all(dim=-1)
    return _keep(found, is_inside)


def _keep(found: Detections, is_kept: Bool[Tensor, "N V J"]) -> Detections:
    return Detections(
        points_px=torch.where(is_kept[..., None], found.points_px, 0.0),
        confidences=torch.where(is_kept, found.confidences, 0.0),
    )


def _openpose(scene: Scene, noise: DetectorNoise, chance: Chance, model: DetectorModel) -> Detections:
    names = scene.skeleton.names
    percent_px = scene.body_length_px()[..., None] / 100.0 * noise.scale
    hidden = scene.hidden() if noise.occlusion else torch.zeros_like(chance.own_ease, dtype=torch.bool)

    def value(field: str) -> Tensor:
        return torch.where(hidden, model.of_joints(names, f"hidden_{field}"), model.of_joints(names, field))

    alike = min(noise.correlation * model.correlation, 1.0)
    ease = alike**0.5 * chance.ease[:, None] + (1.0 - alike) ** 0.5 * chance.own_ease
    harder = noise.tails * value("tail") * ease
    spread = noise.spread * value("spread") * harder.exp()
    is_stray = chance.events[..., 0] < noise.outliers * value("outliers")
    offset = torch.where(is_stray[..., None], model.outlier_spread * chance.stray, spread[..., None] * chance.error)
    target_px = scene.images_px(scene.joints_mm + _shared_mm(scene, noise, chance, model))
    points_px = target_px + percent_px[..., None] * offset

    harder = harder + is_stray * (model.outlier_spread / model.of_joints(names, "spread")).log()
    doubt = noise.doubt * model.of_joints(names, "doubt") * harder + model.of_joints(names, "jitter") * chance.jitter
    confidences = (value("confidence").logit() - doubt).sigmoid().clamp(min=MIN_CONFIDENCE)

    is_missing = chance.events[..., 1] < noise.missing * value("missing")
    is_missing |= chance.per_view[..., 2:] < noise.missing * model.missed
    is_missing |= is_missing[..., [names.index(shown_by(name, names)) for name in names]]
    if noise.image_only:
        points_px = torch.minimum(points_px.clamp(min=0.0), scene.size_px[:, None] - 1)
    found = Detections(points_px=points_px, confidences=confidences)
    return _swap(scene.skeleton, _keep(found, ~is_missing), chance.per_view[..., :2] < noise.swaps * model.swaps)


def _shared_mm(scene: Scene, noise: DetectorNoise, chance: Chance, model: DetectorModel) -> Float[Tensor, "N J 3"]:
    """Give the offset of each joint in space that all views see: the bias, and the scatter they share."""
    names = scene.skeleton.names
    bias = scene.body_frames() @ (noise.bias * model.biases(names)).T
    scatter = noise.common * model.of_joints(names, "common")[:, None] * chance.common
    return (bias.mT + scatter) * (noise.scale * body_length_mm(scene.body_mm) / 100.0)[:, None, None]


def _swap(skeleton: Skeleton, found: Detections, is_swapped: Bool[Tensor, "N V 2"]) -> Detections:
    """Exchange left and right of whole arms and legs."""
    mirror = list(skeleton.mirror)
    names = skeleton.names
    limb = torch.zeros(len(names), 2, dtype=torch.bool)
    for number, joints in enumerate(SWAPPED):
        limb[:, number] = torch.tensor([shown_by(name, names)[1:] in joints for name in names])
    chosen = (is_swapped[..., None, :] & limb).any(dim=-1)
    return Detections(
        points_px=torch.where(chosen[..., None], found.points_px[..., mirror, :], found.points_px),
        confidences=torch.where(chosen, found.confidences[..., mirror], found.confidences),
    )
