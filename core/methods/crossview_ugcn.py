"""Hua, Li, Zhang, Ding, Liu: "Weakly-supervised Cross-view 3D Human Pose Estimation" (2022).

A calibrated pair of views is triangulated in each camera's frame (Eq. 1), and a graph network shifts the joints of both
poses, trained on 2D labels alone (Eq. 3 to 7). Axis letters: `N` samples, each one frame seen by one pair; the axis of
length 2 behind it is the pair's two cameras.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from core.data.multiview_keypoints import MultiViewKeypoints
from core.geometry.triangulation import triangulate_dlt
from core.losses.crossview import (
    bone_direction_loss,
    exchange_views,
    project_normalised,
    reprojection_loss,
    symmetry_loss,
    transform_loss,
)
from core.nn.ugcn import UgcnConfig
from core.skeleton import Skeleton
from core.typing import Float, Int, Tensor

MM_PER_M = 1_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """The weak objective (Eq. 7). A weight of 0 leaves a term out.

    Args:
        reprojection: Weight of L_r.
        symmetry: Weight of L_s.
        transform: Weight of L_t.
        bone_direction: Weight of L_b, lambda_b.
        image_unit: Unit of L_r: pixels, or the plane z = 1. The paper's projection has K in it, so pixels.
        length_unit: Unit of L_s and L_t. The paper names none (A11), and it decides what the equal weights mean. In
            pixels and metres L_r leads and the others are mild, as the small gaps of its Table 3 have it; in pixels and
            millimetres, or on z = 1 in metres, L_s and L_t lead, and refined poses were worse than triangulated
            ones on the validation people.
        min_depth_mm: Joints nearer to a camera than this are projected as if they were there.
    """

    reprojection: float = 1.0
    symmetry: float = 1.0
    transform: float = 1.0
    bone_direction: float = 0.1
    image_unit: Literal["pixels", "normalised"] = "pixels"
    length_unit: Literal["metres", "millimetres"] = "metres"
    min_depth_mm: float = 500.0

    def __post_init__(self) -> None:
        weights = (self.reprojection, self.symmetry, self.transform, self.bone_direction)
        if min(weights) < 0 or max(weights) <= 0:
            raise ValueError(f"the losses' weights must be >= 0 and one of them above, got {weights}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Training with Adam; in the paper at 1e-3, with batches of 256, and x 0.9 after 10 epochs without a new minimum.

    Args:
        num_epochs: The paper has none.
        steps_per_epoch: Minibatches of an epoch; `None`: as many as hold every sample once.
        batch_size: Samples in a minibatch, drawn over frames and pairs alike.
        learning_rate: Of the first epoch.
        plateau_factor: The rate is multiplied by it when the training loss has stopped falling.
        plateau_patience: After so many epochs.
        decay: The rate is multiplied by it after every epoch; 1 in the paper.
    """

    num_epochs: int = 60
    steps_per_epoch: int | None = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    plateau_factor: float = 0.9
    plateau_patience: int = 10
    decay: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossviewConfig:
    """The method and its protocol.

    Args:
        keypoints: 2D input in training and testing alike: the data's detections, or the true image points.
        keypoint_noise_px: Standard deviation, along each axis, of noise on the true image points (Fig. 5).
        pairs: Views of the pairs P1, P2, ... The paper lists (c1,c2), (c1,c3), (c2,c4), (c3,c4) and does not say which
            is P1; presumably they are in this order.
        train_pairs: Names of the pairs to train on (Table 6); `None`: all. All of them are measured.
        triangulation: Frame in which Eq. 1's homogeneous point has length one: the camera's, in metres, as written, or
            one centred in the scene (`core.geometry.triangulation`).
        max_reach_mm: A triangulated joint further than this from the pose's median, and one that a view lacks, takes
            its parent's place: with and without refinement. CPN finds every joint; other detectors do not.
        refinement: Off measures the triangulation alone.
        network: The graph network.
        losses: The weak objective.
        training: Adam's schedule.
        mpjpe: Which error is called `mpjpe`: of poses relative to their root joint, or as they are. The paper does not
            say (A11). Protocol 1 of Human3.6M and most methods it is compared to are root-relative. Both are given.
        test_noise: Strengths of the noise on the triangulated joints at test time (Table 7).
        test_noise_scale: What the strength k is (A12): the standard deviation along each axis in mm, the root mean
            square length of the shift in mm, or the variance along each axis in mm^2. The paper says variance, while
            its errors grow in proportion to k. A joint's shift is the same in both views: it is one point.
        evaluate_on: Subjects that are measured: settings are chosen on `validation`, claims are made on `test`.
    """

    keypoints: Literal["detected", "truth"] = "detected"
    keypoint_noise_px: float = 0.0
    pairs: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (1, 3), (2, 3))
    train_pairs: tuple[str, ...] | None = None
    triangulation: Literal["camera", "scene"] = "camera"
    max_reach_mm: float = 2_000.0
    refinement: bool = True
    network: UgcnConfig = field(default_factory=UgcnConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    mpjpe: Literal["root_relative", "absolute"] = "root_relative"
    test_noise: tuple[float, ...] = ()
    test_noise_scale: Literal["axis_std_mm", "total_rms_mm", "axis_variance_mm2"] = "axis_std_mm"
    evaluate_on: Literal["validation", "test"] = "test"

    def __post_init__(self) -> None:
        if self.keypoint_noise_px < 0 or (self.keypoint_noise_px > 0 and self.keypoints != "truth"):
            raise ValueError(
                "keypoint_noise_px must be >= 0, and is added to keypoints=truth only; "
                f"got {self.keypoint_noise_px} with keypoints={self.keypoints}"
            )
        if not self.pairs or any(first == second for first, second in self.pairs):
            raise ValueError(f"pairs needs at least one pair of different views, got {self.pairs}")
        if unknown := set(self.train_pairs or ()) - set(self.pair_names):
            raise ValueError(f"train_pairs must be of {', '.join(self.pair_names)}, got {', '.join(sorted(unknown))}")
        if self.train_pairs == ():
            raise ValueError("train_pairs must name a pair, or be null for all of them")

    @property
    def pair_names(self) -> tuple[str, ...]:
        """P1, P2, and so on."""
        return tuple(f"P{number}" for number in range(1, len(self.pairs) + 1))

    def noise_std_mm(self, strength: float) -> float:
        """Give the standard deviation along each axis of test noise of a strength (A12)."""
        scales = {"axis_std_mm": strength, "total_rms_mm": strength / 3**0.5, "axis_variance_mm2": strength**0.5}
        return scales[self.test_noise_scale]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairSamples:
    """Frames seen by pairs of views.

    Attributes:
        triangulated_mm: `X~_1` and `X~_2` (Eq. 1), each in its own camera's frame.
        joints_mm: The truth likewise.
        truth: True image points `y`, in the unit of L_r.
        intrinsics: First two rows of `K`, or of the identity, which take the plane z = 1 to that unit.
        to_other: `T_{c2,c1}` and `T_{c1,c2}`, millimetres.
        pair: Number of the pair, from 0.
        action: Number of the action.
    """

    triangulated_mm: Float[Tensor, "N 2 J 3"]
    joints_mm: Float[Tensor, "N 2 J 3"]
    truth: Float[Tensor, "N 2 J 2"]
    intrinsics: Float[Tensor, "N 2 2 3"]
    to_other: Float[Tensor, "N 2 3 4"]
    pair: Int[Tensor, " N"]
    action: Int[Tensor, " N"]

    def __len__(self) -> int:
        return len(self.pair)

    def minibatch(self, indices: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """Give what a training step needs of some samples."""
        names = ("triangulated_mm", "truth", "intrinsics", "to_other")
        return {name: getattr(self, name)[indices] for name in names}


def relative_poses(world_to_camera: Float[Tensor, "*batch 2 3 4"]) -> Float[Tensor, "*batch 2 3 4"]:
    """Give `T_{c2,c1}`, which takes camera 1's frame to camera 2's, and `T_{c1,c2}`, in float64."""
    own = world_to_camera.double()
    other = own.flip(-3)
    rotation = other[..., :3] @ own[..., :3].mT
    return torch.cat([rotation, other[..., 3:] - rotation @ own[..., 3:]], dim=-1)


def triangulate_pairs(
    points: Float[Tensor, "N 2 J 2"],
    to_other: Float[Tensor, "N 2 3 4"],
    *,
    frame: Literal["camera", "scene"] = "camera",
) -> Float[Tensor, "N 2 J 3"]:
    """Solve Eq. 1 for `X~_1` and, with the cameras exchanged, for `X~_2`; millimetres.

    Args:
        points: Joints on the plane z = 1 of either camera.
        to_other: See `relative_poses`; the metre is Eq. 1's unit of length.
        frame: See `CrossviewConfig.triangulation`.
    """
    metres = to_other.double() / torch.tensor([1.0, 1.0, 1.0, MM_PER_M], dtype=torch.float64, device=to_other.device)
    identity = torch.eye(3, 4, dtype=torch.float64, device=to_other.device).expand_as(metres)
    projections = torch.stack([identity, metres], dim=2)
    both = torch.stack([points, points.flip(1)], dim=2).double()
    solved = triangulate_dlt(projections, both, metric="raw" if frame == "camera" else "scene")
    return MM_PER_M * solved


def fill_lost(poses_mm: Float[Tensor, "N 2 J 3"], skeleton: Skeleton, max_reach_mm: float) -> Float[Tensor, "N 2 J 3"]:
    """Put joints that are NaN, or out of reach of the pose's median, where their parent is; a lost root at the median.

    Poses without any joint stay NaN.
    """
    median_mm = poses_mm.nanmedian(dim=-2, keepdim=True).values
    is_found = (poses_mm - median_mm).norm(dim=-1, keepdim=True) <= max_reach_mm
    filled = list(torch.where(is_found, poses_mm, median_mm).unbind(-2))
    for joint in skeleton.top_down:
        parent = skeleton.parents[joint]
        if parent != -1:
            filled[joint] = torch.where(is_found[..., joint, :], filled[joint], filled[parent])
    return torch.stack(filled, dim=-2)


def weak_loss(
    refined_mm: Float[Tensor, "B 2 J 3"],
    batch: Mapping[str, Tensor],
    config: LossConfig,
    skeleton: Skeleton,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Compute L = L_r + L_s + L_t + lambda_b L_b (Eq. 7), and each term that counts."""
    unit = 1.0 if config.length_unit == "millimetres" else 1.0 / MM_PER_M
    others_mm = exchange_views(refined_mm, batch["to_other"])
    terms: dict[str, Tensor] = {}
    if config.reprojection:
        matrix = batch["intrinsics"]
        points = project_normalised(refined_mm, config.min_depth_mm) @ matrix[..., :2].mT + matrix[..., None, :, 2]
        terms["reprojection"] = reprojection_loss(points, batch["truth"])
    if config.symmetry:
        terms["symmetry"] = unit * symmetry_loss(refined_mm, skeleton)
    if config.transform:
        terms["transform"] = unit * transform_loss(refined_mm, others_mm)
    if config.bone_direction:
        terms["bone_direction"] = bone_direction_loss(refined_mm, others_mm, skeleton)
    weighted = [getattr(config, name) * term for name, term in terms.items()]
    return torch.stack(weighted).sum(), {name: term.detach() for name, term in terms.items()}


def pair_samples(
    data: MultiViewKeypoints, config: CrossviewConfig, pairs: tuple[str, ...], generator: torch.Generator
) -> PairSamples:
    """Triangulate every frame in every named pair of views that both recorded it.

    Args:
        data: The frames.
        config: Says which pairs those are, and what the 2D input is.
        pairs: Names of the pairs.
        generator: Source of the noise on true image points; one draw serves all pairs.

    Raises:
        ValueError: A pair names a view that the data do not have, or no frame is left.
    """
    points_px, is_given = data.points_px, data.confidences > 0
    if config.keypoints == "truth":
        noise = torch.randn(data.truth_px.shape, generator=generator)
        points_px, is_given = data.truth_px + config.keypoint_noise_px * noise, torch.ones_like(is_given)
    points_px = torch.where(is_given[..., None], points_px, torch.nan)
    parts = []
    for number, name in enumerate(config.pair_names):
        if name in pairs:
            views = config.pairs[number]
            parts.append(_samples_of(data.select_views(views), points_px[:, list(views)], number, config))
    samples = PairSamples(
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in PairSamples.__dataclass_fields__}
    )
    if len(samples) == 0:
        raise ValueError(f"no frame was recorded by both views of any pair of {', '.join(pairs)}")
    return samples


def _samples_of(
    data: MultiViewKeypoints, points_px: Float[Tensor, "N 2 J 2"], number: int, config: CrossviewConfig
) -> PairSamples:
    """Triangulate the frames that both of two views recorded."""
    K = data.intrinsics[data.rig].double()
    poses = data.world_to_camera[data.rig].double()
    to_other = relative_poses(poses)
    solved = triangulate_pairs(_on_plane(points_px, K), to_other, frame=config.triangulation).float()
    filled = fill_lost(solved, data.skeleton, config.max_reach_mm)
    joints_mm = data.joints_mm[:, None].double() @ poses[..., :3].mT + poses[..., None, :, 3]
    in_pixels = config.losses.image_unit == "pixels"
    matrix = K[..., :2, :] if in_pixels else torch.eye(3, dtype=K.dtype)[:2].expand_as(K[..., :2, :])
    kept = filled.isfinite().flatten(1).all(dim=1)
    return PairSamples(
        triangulated_mm=filled[kept],
        joints_mm=joints_mm.float()[kept],
        truth=(data.truth_px if in_pixels else _on_plane(data.truth_px, K).float())[kept],
        intrinsics=matrix.float()[kept],
        to_other=to_other.float()[kept],
        pair=torch.full((int(kept.sum()),), number),
        action=data.action[kept],
    )


def _on_plane(points_px: Float[Tensor, "N 2 J 2"], K: Float[Tensor, "N 2 3 3"]) -> Float[Tensor, "N 2 J 2"]:
    """Image points on the plane z = 1 of their camera, in float64."""
    homogeneous = torch.nn.functional.pad(points_px.double(), (0, 1), value=1.0)
    on_plane = homogeneous @ K.inverse().mT
    return on_plane[..., :2] / on_plane[..., 2:]
