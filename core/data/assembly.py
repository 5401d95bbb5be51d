"""From recordings of real data to `MultiViewKeypoints`: drawing frames, undistorting detections, projecting the truth.

Axis letters beyond the usual: `N` frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core.data.multiview_keypoints import MultiViewKeypoints
from core.geometry.projection import project_points
from core.geometry.rig import Rig, projections
from core.skeleton import Skeleton
from core.typing import Float, Int, Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """Frames that one rig recorded of one action.

    Attributes:
        rig: Index of the rig.
        action: Index of the action.
        subject: Number of the person in each frame.
        points_px: Detections as the cameras saw them, distorted.
        confidences: 0 where nothing was detected.
        joints_mm: True joints in the world.
    """

    rig: int
    action: int
    subject: Int[Tensor, " N"]
    points_px: Float[Tensor, "N V J 2"]
    confidences: Float[Tensor, "N V J"]
    joints_mm: Float[Tensor, "N J 3"]


def assemble(
    skeleton: Skeleton, rigs: Sequence[Rig], recordings: Sequence[Recording], actions: tuple[str, ...]
) -> MultiViewKeypoints:
    """Put recordings one after the other.

    Detections are undistorted; where that fails, far outside the image, nothing counts as detected.
    """
    lengths = torch.tensor([len(one.subject) for one in recordings])
    owner = torch.tensor([one.rig for one in recordings]).repeat_interleave(lengths)
    points_px = torch.cat([one.points_px for one in recordings])
    confidences = torch.cat([one.confidences for one in recordings])
    joints_mm = torch.cat([one.joints_mm for one in recordings])
    truth_px = torch.empty_like(points_px)
    for index in owner.unique().tolist():
        own = owner == index
        points_px[own] = undistort(rigs[index], points_px[own])
        matrices = projections(rigs[index]).expand(int(own.sum()), -1, -1, -1)
        truth_px[own] = project_points(matrices, joints_mm[own])
    is_there = (confidences > 0) & points_px.isfinite().all(dim=-1)
    return MultiViewKeypoints(
        skeleton=skeleton,
        intrinsics=torch.stack([torch.stack([camera.intrinsics for camera in rig]) for rig in rigs]).float(),
        world_to_camera=torch.stack([torch.stack([camera.world_to_camera for camera in rig]) for rig in rigs]).float(),
        size_px=torch.tensor([[camera.size_px for camera in rig] for rig in rigs], dtype=torch.float32),
        rig=owner,
        points_px=torch.where(is_there[..., None], points_px, 0.0),
        confidences=torch.where(is_there, confidences, 0.0),
        truth_px=truth_px,
        joints_mm=joints_mm,
        subject=torch.cat([one.subject for one in recordings]),
        action=torch.tensor([one.action for one in recordings]).repeat_interleave(lengths),
        actions=actions,
    )


def undistort(rig: Rig, points_px: Float[Tensor, "N V J 2"]) -> Float[Tensor, "N V J 2"]:
    """Undistort what each camera saw."""
    return torch.stack([camera.undistort(points_px[:, view]) for view, camera in enumerate(rig)], dim=1)


def draw(total: int, limit: int | None, generator: torch.Generator) -> Int[Tensor, " N"]:
    """Draw at most `limit` of so many frames without replacement, in order; all where there is no limit."""
    if limit is None or limit >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=generator)[:limit].sort().values
