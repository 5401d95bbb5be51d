"""Rochette et al., "Weakly-Supervised 3D Pose Estimation from a Single Image using Multi-View Consistency" (2019).

A network h_theta lifts the 2D pose of one view. It is trained on several views of each frame at once by
`lambda L_M + (1 - lambda) L_R` (Eq. 3): the views' poses, turned into world axes, are to agree (L_M), and their average
is to project onto the detections (L_R). The strongly supervised twin regresses a reconstruction from the same
detections instead. This file holds the settings and the equations, in the paper's numbering.

The paper's losses are sums over views and joints. Here both are divided by the same number, that of the poses in the
batch times the joints, so that lambda weighs them as printed and neither depends on the size of the batch; a missing
detection lowers L_R as it lowers the sum. `F` frames of a batch, `V` views of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from core.losses.norms import Norm, NormName, choose_norm, masked_differences
from core.typing import Bool, Float, Tensor

Projection = Literal["orthographic", "perspective"]

MIN_DEPTH_MM = 100.0
"""Points nearer to the focal plane, or behind it, are projected as if they lay here: Eq. 12 has no value at depth 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyConfig:
    """The supervision and all that the paper leaves open about it (A13); the defaults' reasons.

    Args:
        supervision: `weak` (Eq. 3), `strong` (regress the reconstruction from the detections), or `truth` (regress the
            true pose: what annotation would give; not in the paper).
        consistency_weight: lambda of Eq. 3; 0.8 in the paper. 1 leaves L_M alone, 0 leaves L_R alone.
        norm: What `|| . ||` is, in all losses; Huber's in the paper (Eq. 15).
        huber_delta: Where Huber's square ends, in the units below; 1 in the paper, which names no unit.
        pose_unit_mm: Unit of L_M and of the strong loss. Beyond delta Huber's norm is linear, so that this unit and
            lambda together set how many pixels a millimetre of disagreement is worth; too many, and the network
            collapses. 15 mm was the best of 10, 12.5, 15 and 20 on validation people, for 18 and for 60 joints.
        image_unit_px: Unit of L_R. A pixel, in which the detections come.
        reprojected: What L_R reprojects: the `average` over the views, as in the paper, or the pose of `each_view` into
            its own image.
        detach_average: Whether L_M's average ("target" in the text) is a constant to autograd. Off: Eq. 3 is minimised
            as it is written. For squared norms the two are equal, because the differences sum to zero.
        projection: Orthographic for the first part of the training and perspective then, as in the paper, or either
            throughout.
        switch_after: Fraction of the epochs after which the projection becomes perspective; not in the paper. A fifth:
            the learning rate is then still half of its start.
        orthographic_scale: What Eq. 14's coordinates, lengths that `K` cannot take, are divided by: the depth of the
            root in that view (`root_depth`: the image is right at the root, and only the change over the body is
            left out), or one depth for all views of the batch, about the root's image (`mean_depth`).
        root: Where W_root comes from (Eq. 8): the `reconstruction` from all views, which of the paper's two sources is
            the one that needs nothing but detections, or the `truth`.
        output_statistics: Where mu_X and sigma_X come from. They need 3D, which the weak arm must not have: moments of
            the `reconstruction` of the training frames (in all arms, so that they differ in the loss only), or guesses
            from the `images`: lateral moments of the 2D joints at the root's depth, depth as spread as they are.
    """

    supervision: Literal["weak", "strong", "truth"] = "weak"
    consistency_weight: float = 0.8
    norm: NormName = "huber"
    huber_delta: float = 1.0
    pose_unit_mm: float = 15.0
    image_unit_px: float = 1.0
    reprojected: Literal["average", "each_view"] = "average"
    detach_average: bool = False
    projection: Literal["orthographic_then_perspective", "perspective", "orthographic"] = (
        "orthographic_then_perspective"
    )
    switch_after: float = 0.2
    orthographic_scale: Literal["root_depth", "mean_depth"] = "root_depth"
    root: Literal["reconstruction", "truth"] = "reconstruction"
    output_statistics: Literal["reconstruction", "images"] = "reconstruction"

    def __post_init__(self) -> None:
        if not 0 <= self.consistency_weight <= 1:
            raise ValueError(f"consistency_weight (lambda) must be in [0, 1], got {self.consistency_weight}")
        if not 0 <= self.switch_after <= 1:
            raise ValueError(f"switch_after must be in [0, 1], got {self.switch_after}")
        if not min(self.huber_delta, self.pose_unit_mm, self.image_unit_px) > 0:
            raise ValueError(
                "huber_delta, pose_unit_mm and image_unit_px must be > 0, "
                f"got {self.huber_delta}, {self.pose_unit_mm}, {self.image_unit_px}"
            )

    def projection_in(self, epoch: int, num_epochs: int) -> Projection:
        """Which projection an epoch uses, counted from 0."""
        if self.projection == "orthographic_then_perspective":
            return "orthographic" if epoch < self.switch_after * num_epochs else "perspective"
        return self.projection


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewBatch:
    """Views of some frames, of Eq. 2's `f = {(I_i, x_i, R_i, t_i, K_i)}`.

    Attributes:
        points_px: x_i, detections; missing ones may hold anything.
        present: Which joints were detected.
        used: Which views count; the others hold nothing.
        intrinsics: K_i.
        world_to_camera: [R_i | t_i].
        root_mm: W_root.
    """

    points_px: Float[Tensor, "F V J 2"]
    present: Bool[Tensor, "F V J"]
    used: Bool[Tensor, "F V"]
    intrinsics: Float[Tensor, "F V 3 3"]
    world_to_camera: Float[Tensor, "F V 3 4"]
    root_mm: Float[Tensor, "F 3"]

    @classmethod
    def of(cls, batch: Mapping[str, Tensor]) -> "ViewBatch":
        """Take the attributes out of a minibatch."""
        return cls(**{name: batch[name] for name in cls.__dataclass_fields__})


def weak_loss(
    relative_mm: Float[Tensor, "F V J 3"], views: ViewBatch, config: ConsistencyConfig, projection: Projection
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Compute `lambda L_M + (1 - lambda) L_R` (Eq. 3) of the views' predicted poses, and its two terms."""
    norm = choose_norm(config.norm, config.huber_delta)
    world_mm = to_world(relative_mm, views.world_to_camera)
    average_mm = view_average(world_mm, views.used)
    target_mm = average_mm.detach() if config.detach_average else average_mm
    consistency = consistency_loss(world_mm / config.pose_unit_mm, target_mm / config.pose_unit_mm, views.used, norm)
    if config.reprojected == "average":
        pose_mm = to_camera(average_mm, views.world_to_camera)
    else:
        pose_mm = relative_mm
    root_mm = root_in_views(views.root_mm, views.world_to_camera)
    if projection == "perspective":
        image_px = perspective(views.intrinsics, pose_mm + root_mm[..., None, :])
    else:
        image_px = orthographic(views.intrinsics, pose_mm, root_mm, config.orthographic_scale)
    reprojection = reprojection_loss(
        views.points_px / config.image_unit_px, image_px / config.image_unit_px, views.present, views.used, norm
    )
    weight = config.consistency_weight
    return weight * consistency + (1 - weight) * reprojection, {
        "consistency": consistency.detach(),
        "reprojection": reprojection.detach(),
    }


def strong_loss(
    relative_mm: Float[Tensor, "F V J 3"],
    target_mm: Float[Tensor, "F J 3"],
    known: Bool[Tensor, "F J"],
    views: ViewBatch,
    config: ConsistencyConfig,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Compute the strong twin's loss: the norm of the difference from a root-relative pose given in world axes.

    Args:
        relative_mm: Predicted poses in camera axes.
        target_mm: Reconstructed (or true) poses; an unknown joint may hold anything.
        known: Which joints the target has.
        views: The views.
        config: Norm and unit.
    """
    norm = choose_norm(config.norm, config.huber_delta)
    target_camera_mm = to_camera(torch.where(known[..., None], target_mm, 0.0), views.world_to_camera)
    counts = (known[:, None, :] & views.used[..., None]).expand(relative_mm.shape[:-1])
    differences = masked_differences(relative_mm, target_camera_mm, counts) / config.pose_unit_mm
    loss = _mean_over_poses(norm(differences), counts, views.used)
    return loss, {"pose": loss.detach()}


def to_world(
    relative_mm: Float[Tensor, "F V J 3"], world_to_camera: Float[Tensor, "F V 3 4"]
) -> Float[Tensor, "F V J 3"]:
    """Turn each view's pose into world axes: `W_i = R_i^T X_i` (Eq. 5)."""
    return relative_mm @ world_to_camera[..., :3]


def view_average(world_mm: Float[Tensor, "F V J 3"], used: Bool[Tensor, "F V"]) -> Float[Tensor, "F J 3"]:
    """Average over the views that count (Eq. 6)."""
    weights = used.to(world_mm)[..., None, None]
    return (world_mm * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def consistency_loss(
    world: Float[Tensor, "F V J 3"], average: Float[Tensor, "F J 3"], used: Bool[Tensor, "F V"], norm: Norm
) -> Float[Tensor, ""]:
    """L_M: `sum_i sum_j || Wbar_j - W_ij ||` (Eq. 7), over the number of poses and joints."""
    counts = used[..., None].expand(world.shape[:-1])
    return _mean_over_poses(norm(masked_differences(average[:, None].expand_as(world), world, counts)), counts, used)


def to_camera(world_mm: Float[Tensor, "F J 3"], world_to_camera: Float[Tensor, "F V 3 4"]) -> Float[Tensor, "F V J 3"]:
    """Turn a pose in world axes into each camera's axes: `R_i W` (Eq. 9 without the offset)."""
    return world_mm[:, None] @ world_to_camera[..., :3].mT


def root_in_views(root_mm: Float[Tensor, "F 3"], world_to_camera: Float[Tensor, "F V 3 4"]) -> Float[Tensor, "F V 3"]:
    """Position of the root before each camera: `R_i W_root + t_i`; with `to_camera`, Eq. 8 and 9."""
    return (world_to_camera[..., :3] @ root_mm[:, None, :, None])[..., 0] + world_to_camera[..., 3]


def perspective(intrinsics: Float[Tensor, "F V 3 3"], points_mm: Float[Tensor, "F V J 3"]) -> Float[Tensor, "F V J 2"]:
    """Project by perspective: `K_i (X_x / X_z, X_y / X_z, 1)` (Eq. 10 and 12)."""
    depth = points_mm[..., 2:].clamp(min=MIN_DEPTH_MM)
    return _to_pixels(intrinsics, points_mm[..., :2] / depth)


def orthographic(
    intrinsics: Float[Tensor, "F V 3 3"],
    relative_mm: Float[Tensor, "F V J 3"],
    root_mm: Float[Tensor, "F V 3"],
    scale: Literal["root_depth", "mean_depth"],
) -> Float[Tensor, "F V J 2"]:
    """Project along the optical axis: `K_i (X_x / z, X_y / z, 1)` with one z for all joints (Eq. 10 and 14).

    Args:
        intrinsics: K_i.
        relative_mm: Poses in camera axes, relative to the root.
        root_mm: The root before each camera.
        scale: What z is; see `ConsistencyConfig`. The root itself lands where perspective puts it.
    """
    root_depth = root_mm[..., None, 2:].clamp(min=MIN_DEPTH_MM)
    depth = root_depth if scale == "root_depth" else root_depth.mean()
    return _to_pixels(intrinsics, root_mm[..., None, :2] / root_depth + relative_mm[..., :2] / depth)


def reprojection_loss(
    points: Float[Tensor, "F V J 2"],
    reprojected: Float[Tensor, "F V J 2"],
    present: Bool[Tensor, "F V J"],
    used: Bool[Tensor, "F V"],
    norm: Norm,
) -> Float[Tensor, ""]:
    """L_R: `sum_i sum_j || x_ij - xbar_ij ||` over the detections there are (Eq. 11), over poses and joints."""
    counts = present & used[..., None]
    return _mean_over_poses(norm(masked_differences(points, reprojected, counts)), counts, used)


def _to_pixels(intrinsics: Float[Tensor, "F V 3 3"], plane: Float[Tensor, "F V J 2"]) -> Float[Tensor, "F V J 2"]:
    """Apply `K` to points of the plane z = 1; the homogeneous 1 that Eq. 10 leaves out is added."""
    return plane @ intrinsics[..., :2, :2].mT + intrinsics[..., None, :2, 2]


def _mean_over_poses(
    values: Float[Tensor, "F V J"], counts: Bool[Tensor, "F V J"], used: Bool[Tensor, "F V"]
) -> Float[Tensor, ""]:
    """Sum of what counts over the number of poses times joints."""
    return torch.where(counts, values, 0.0).sum() / (used.sum() * values.shape[-1]).clamp(min=1)
