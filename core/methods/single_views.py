"""Lifting single views of people who were not trained on, and how far the poses are off (Rochette et al. 2019, Eq. 16).

`M` single views, `N` frames.
"""

import re
from dataclasses import dataclass

import torch

from core.methods.consistency_data import SeenViews
from core.nn.residual_lifter import PoseStatistics, ResidualLifter, root_relative
from core.typing import Bool, Float, Tensor

_ROWS = 4096
"""Single views that are lifted at once."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SingleViews:
    """Single views to predict, and the pose that is wanted in each camera's axes.

    Attributes:
        points_px: Root-relative detections.
        present: Which joints were detected.
        wanted_mm: Root-relative poses.
        known: Which joints are known.
        root_mm: The true root before the camera.
        intrinsics: Of the camera.
        truth_px: Projections of the truth.
    """

    points_px: Float[Tensor, "M J 2"]
    present: Bool[Tensor, "M J"]
    wanted_mm: Float[Tensor, "M J 3"]
    known: Bool[Tensor, "M J"]
    root_mm: Float[Tensor, "M 3"]
    intrinsics: Float[Tensor, "M 3 3"]
    truth_px: Float[Tensor, "M J 2"]

    @classmethod
    def build(
        cls,
        views: SeenViews,
        wanted_mm: Float[Tensor, "N J 3"],
        statistics: PoseStatistics,
        max_views: int | None = None,
    ) -> "SingleViews":
        """Take the views that see somebody, in every frame.

        Args:
            views: Frames.
            wanted_mm: Poses in the world that are wanted; NaN where unknown.
            statistics: Of the training set; says where a missing root is.
            max_views: So many views of a frame at most, spread over the rig and shifting from frame to frame.
        """
        keypoints, root = views.keypoints, views.root
        taken = views.used
        if max_views is not None and max_views < keypoints.num_views:
            stride = keypoints.num_views / max_views
            offsets = (torch.arange(max_views) * stride).long()
            turn = (torch.arange(len(keypoints))[:, None] + offsets) % keypoints.num_views
            taken = taken & torch.zeros_like(taken).scatter_(1, turn, True)
        frames, columns = taken.nonzero().unbind(-1)
        intrinsics, poses = views.cameras(frames, columns)
        rotation, offset = poses[..., :3], poses[..., 3]
        present = views.present[frames, columns]
        relative = (wanted_mm - wanted_mm[:, root : root + 1])[frames]
        known = relative.isfinite().all(dim=-1)
        return cls(
            points_px=root_relative(keypoints.points_px[frames, columns], present, root, statistics.input_mean_px),
            present=present,
            wanted_mm=torch.where(known[..., None], relative, 0.0) @ rotation.mT,
            known=known,
            root_mm=(rotation @ keypoints.joints_mm[frames, root, :, None])[..., 0] + offset,
            intrinsics=intrinsics,
            truth_px=keypoints.truth_px[frames, columns],
        )


@torch.no_grad()
def predict(network: ResidualLifter, samples: SingleViews) -> Float[Tensor, "M J 3"]:
    """Lift single views, some thousand at a time, wherever the network is; poses come back to the CPU."""
    device = network.output_mean_mm.device
    return torch.cat(
        [
            network(points_px.to(device), present.to(device)).cpu()
            for points_px, present in zip(samples.points_px.split(_ROWS), samples.present.split(_ROWS), strict=True)
        ]
    )


def mean_distance_mm(network: ResidualLifter, samples: SingleViews, root: int) -> float:
    """Mean distance over the known joints without the root: what early stopping looks at."""
    distances = (predict(network, samples) - samples.wanted_mm).norm(dim=-1)
    known = samples.known.clone()
    known[:, root] = False
    return float(distances[known].mean())


def single_view_errors(
    predicted_mm: Float[Tensor, "M J 3"], samples: SingleViews, names: tuple[str, ...], root: int
) -> dict[str, float]:
    """Measure root-relative predictions: Eq. 16, joint by joint, and what it is made of.

    - `mpjpe`: mean distance over the joints without the root, mm, no alignment (Eq. 16).
    - `lateral`, `depth`: mean length of the error across and along the optical axis, mm.
    - `mpjpe_2d`: mean distance in the image, px, of the pose put at the true root from the true projections.
    - `spread`: mean over joints of the standard deviation of the predicted pose over all inputs (the root of the
      summed variances), mm; `relative_spread` is that over the true poses' own. A collapsed network has 0.
    - `joint/<name>`: mean distance of each joint but the root, mm.
    """
    moving = [joint for joint in range(len(names)) if joint != root]
    differences = (predicted_mm - samples.wanted_mm)[:, moving]
    distances = differences.norm(dim=-1)
    absolute = predicted_mm + samples.root_mm[:, None]
    plane = absolute[..., :2] / absolute[..., 2:].clamp(min=1.0)
    image_px = plane @ samples.intrinsics[..., :2, :2].mT + samples.intrinsics[:, None, :2, 2]
    spread, true_spread = (_spread(pose[:, moving]) for pose in (predicted_mm, samples.wanted_mm))
    per_joint = distances.mean(dim=0).tolist()
    return {
        "mpjpe": float(distances.mean()),
        "lateral": float(differences[..., :2].norm(dim=-1).mean()),
        "depth": float(differences[..., 2].abs().mean()),
        "mpjpe_2d": float((image_px - samples.truth_px)[:, moving].norm(dim=-1).mean()),
        "spread": spread,
        "relative_spread": spread / true_spread,
        **{f"joint/{_snake(names[joint])}": error for joint, error in zip(moving, per_joint, strict=True)},
    }


def _spread(poses_mm: Float[Tensor, "M J 3"]) -> float:
    return float(poses_mm.double().var(dim=0, correction=0).sum(dim=-1).sqrt().mean())


def _snake(name: str) -> str:
    """`RShoulder` to `r_shoulder`, as the paper's table spells it."""
    return re.sub(r"(?<=[A-Za-z0-9])(?=[A-Z])", "_", name).lower()
