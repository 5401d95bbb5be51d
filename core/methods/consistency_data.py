"""Multi-view keypoints as Rochette et al. (2019) train on them: reconstruction, statistics, batches of views.

What is computed here once per training set: which views see a person, where each frame's root is, what the strong twin
regresses, and the moments that normalise inputs and un-normalise outputs. `F` frames of a batch, `G` rigs, `N` frames.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from core.data.multiview_keypoints import MultiViewKeypoints
from core.geometry.reconstruction import ReconstructionConfig, reconstruct
from core.nn.residual_lifter import PoseStatistics
from core.typing import Bool, Float, Int, Tensor

_CHUNK = 32
"""Frames that are reconstructed at once: few enough for the processor's cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SeenViews:
    """Frames with what was detected in them.

    Attributes:
        keypoints: The frames.
        present: Detections that take part.
        used: Views that see enough of the person.
    """

    keypoints: MultiViewKeypoints
    present: Bool[Tensor, "N V J"]
    used: Bool[Tensor, "N V"]

    @classmethod
    def of(cls, keypoints: MultiViewKeypoints, min_confidence: float, min_joints: int) -> "SeenViews":
        """Leave out detections of low confidence, then views with fewer than `min_joints` detections."""
        present = (keypoints.confidences > 0) & (keypoints.confidences >= min_confidence)
        used = present.sum(dim=-1) >= min_joints
        return cls(keypoints=keypoints, present=present & used[..., None], used=used)

    @property
    def root(self) -> int:
        """Index of the root joint."""
        return self.keypoints.skeleton.root

    def cameras(self, frames: Int[Tensor, "*batch"], views: Int[Tensor, "*batch"]) -> tuple[Tensor, Tensor]:
        """Give intrinsics and poses of the cameras behind pairs of frame and view."""
        rig = self.keypoints.rig[frames]
        return self.keypoints.intrinsics[rig, views], self.keypoints.world_to_camera[rig, views]


def reconstruct_frames(views: SeenViews, config: ReconstructionConfig) -> Float[Tensor, "N J 3"]:
    """Reconstruct every frame from all its views, in the world; NaN where a joint is unknown."""
    keypoints = views.keypoints
    joints_mm = [
        reconstruct(
            keypoints.intrinsics[keypoints.rig[frames]],
            keypoints.world_to_camera[keypoints.rig[frames]],
            keypoints.points_px[frames],
            views.present[frames],
            config,
        )
        for frames in torch.arange(len(keypoints)).split(_CHUNK)
    ]
    return torch.cat(joints_mm)


def pose_statistics(
    views: SeenViews, joints_mm: Float[Tensor, "N J 3"], source: Literal["reconstruction", "images"]
) -> PoseStatistics:
    """Compute mu_x, sigma_x from the detections and mu_X, sigma_X from what `source` says.

    Args:
        views: Training frames.
        joints_mm: Their reconstruction; of it, `images` uses the root only.
        source: See `ConsistencyConfig`.

    Raises:
        ValueError: No frame has a root.
    """
    keypoints, root = views.keypoints, views.root
    relative_px = keypoints.points_px - keypoints.points_px[..., root : root + 1, :]
    has_root = views.present & views.present[..., root : root + 1]
    if not bool(has_root.any()):
        raise ValueError("no training frame has its root detected: there is nothing to normalise poses by")
    input_mean, input_deviation = _moments(relative_px, has_root)
    frames = torch.arange(len(keypoints))[:, None].expand(views.used.shape)
    intrinsics, poses = views.cameras(frames, torch.arange(keypoints.num_views).expand(views.used.shape))
    world = joints_mm - joints_mm[..., root : root + 1, :]
    if source == "reconstruction":
        camera = torch.where(world.isnan(), 0.0, world)[:, None] @ poses[..., :3].mT
        known = world.isfinite().all(dim=-1)[:, None] & views.used[..., None]
        output_mean, output_deviation = _moments(camera, known)
    else:
        origin = (poses[..., :3] @ joints_mm[:, None, root, :, None])[..., 0] + poses[..., 3]
        focal = intrinsics.diagonal(dim1=-2, dim2=-1)[..., None, :2]
        lateral = relative_px * origin[..., None, 2:] / focal
        mean, deviation = _moments(lateral.nan_to_num(0.0), has_root & lateral.isfinite().all(dim=-1))
        along = deviation.square().mean(dim=-1, keepdim=True).sqrt()
        output_mean = torch.cat([mean, torch.zeros_like(along)], dim=-1)
        output_deviation = torch.cat([deviation, along], dim=-1)
    return PoseStatistics(
        input_mean_px=input_mean,
        input_deviation_px=input_deviation,
        output_mean_mm=output_mean,
        output_deviation_mm=output_deviation,
    )


def _moments(values: Float[Tensor, "N V J D"], counts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each joint's coordinates over frames and views, in float64 between."""
    weights = counts.expand(values.shape[:-1]).double()[..., None]
    number = weights.sum(dim=(0, 1)).clamp(min=1)
    mean = (values.double() * weights).sum(dim=(0, 1)) / number
    variance = ((values.double() - mean).square() * weights).sum(dim=(0, 1)) / number
    return mean.float(), variance.sqrt().float()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingViews:
    """Frames to draw batches from: those with a known root and two views at least.

    Attributes:
        views: All frames.
        frames: The frames that are drawn from.
        root_mm: W_root; NaN elsewhere.
        target_mm: What the strong twin regresses, root-relative in world axes; 0 where unknown.
        known: Which joints it has.
    """

    views: SeenViews
    frames: Int[Tensor, " M"]
    root_mm: Float[Tensor, "N 3"]
    target_mm: Float[Tensor, "N J 3"]
    known: Bool[Tensor, "N J"]

    @classmethod
    def build(
        cls, views: SeenViews, joints_mm: Float[Tensor, "N J 3"], target_mm: Float[Tensor, "N J 3"]
    ) -> "TrainingViews":
        """Set up the frames.

        Args:
            views: All frames.
            joints_mm: Poses in the world, of which the root is taken.
            target_mm: Poses in the world that the strong twin regresses; NaN where unknown.

        Raises:
            ValueError: No frame is left.
        """
        root_mm = joints_mm[:, views.root]
        relative_mm = target_mm - target_mm[:, views.root : views.root + 1]
        known = relative_mm.isfinite().all(dim=-1)
        is_good = root_mm.isfinite().all(dim=-1) & known[:, views.root]
        frames = (is_good & (views.used.sum(dim=-1) >= 2)).nonzero()[:, 0]
        if len(frames) == 0:
            raise ValueError("no training frame has a root that two views see: there is nothing to train on")
        return cls(
            views=views,
            frames=frames,
            root_mm=root_mm,
            target_mm=torch.where(known[..., None], relative_mm, 0.0),
            known=known,
        )

    def draw(self, num_frames: int, num_views: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw frames, with repetition between batches only, and for each its own random views among those that count.

        A frame with fewer such views than asked for has the rest marked as not used.
        """
        keypoints = self.views.keypoints
        if num_frames <= len(self.frames):
            chosen = torch.randperm(len(self.frames), generator=generator)[:num_frames]
        else:
            chosen = torch.randint(len(self.frames), (num_frames,), generator=generator)
        frames = self.frames[chosen]
        keys = torch.rand(num_frames, keypoints.num_views, generator=generator) - self.views.used[frames].float()
        columns = keys.argsort(dim=-1)[:, :num_views]
        rows = frames[:, None].expand(columns.shape)
        intrinsics, poses = self.views.cameras(rows, columns)
        return {
            "points_px": keypoints.points_px[rows, columns],
            "present": self.views.present[rows, columns],
            "used": self.views.used[rows, columns],
            "intrinsics": intrinsics,
            "world_to_camera": poses,
            "root_mm": self.root_mm[frames],
            "target_mm": self.target_mm[frames],
            "known": self.known[frames],
        }
