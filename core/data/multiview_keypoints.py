"""Detected joints of one person in several calibrated views: what methods on 2D keypoints consume, whatever the source.

Axis letters beyond the usual: `G` rigs (calibrations), `N` frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch

from core.skeleton import Skeleton
from core.typing import Float, Int, Tensor

PER_FRAME = ("rig", "points_px", "confidences", "truth_px", "joints_mm", "subject", "action")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MultiViewKeypoints:
    """Frames of one person each, float32 on the CPU.

    Attributes:
        skeleton: Names and order of the joints.
        intrinsics: `K` of each view of each rig, for undistorted images; what methods are told, errors included.
        world_to_camera: `[R | t]`, millimetres; likewise.
        size_px: Width and height of the images.
        rig: Which of the rigs recorded a frame.
        points_px: Detections in undistorted pixels; 0 where missing.
        confidences: In [0, 1]; 0 means missing. A view that did not record a frame has zeros only.
        truth_px: Where the true cameras see the true joints.
        joints_mm: True joints in the world (z up).
        subject: Number of the person, unique over all splits.
        action: Index into `actions`.
        actions: Names.
    """

    skeleton: Skeleton
    intrinsics: Float[Tensor, "G V 3 3"]
    world_to_camera: Float[Tensor, "G V 3 4"]
    size_px: Float[Tensor, "G V 2"]
    rig: Int[Tensor, " N"]
    points_px: Float[Tensor, "N V J 2"]
    confidences: Float[Tensor, "N V J"]
    truth_px: Float[Tensor, "N V J 2"]
    joints_mm: Float[Tensor, "N J 3"]
    subject: Int[Tensor, " N"]
    action: Int[Tensor, " N"]
    actions: tuple[str, ...]

    def __post_init__(self) -> None:
        num_frames, num_views, num_joints = self.confidences.shape
        lengths = {name: len(getattr(self, name)) for name in PER_FRAME}
        if set(lengths.values()) != {num_frames}:
            raise ValueError(f"every frame needs an entry in each of {', '.join(PER_FRAME)}, got lengths {lengths}")
        if self.intrinsics.shape[1] != num_views or num_joints != self.skeleton.num_joints:
            raise ValueError(
                f"detections of {num_views} views and {num_joints} joints do not fit "
                f"{self.intrinsics.shape[1]} cameras and {self.skeleton.num_joints} joints of the skeleton"
            )

    def __len__(self) -> int:
        return len(self.rig)

    @property
    def num_views(self) -> int:
        """Length of the `V` axis."""
        return self.intrinsics.shape[1]

    @property
    def projections(self) -> Float[Tensor, "G V 3 4"]:
        """`K [R | t]`: world millimetres to pixels."""
        return self.intrinsics @ self.world_to_camera

    def take(self, indices: Int[Tensor, " M"]) -> "MultiViewKeypoints":
        """The frames of these indices, in their order."""
        return replace(self, **{name: getattr(self, name)[indices] for name in PER_FRAME})

    def select_views(self, views: Sequence[int]) -> "MultiViewKeypoints":
        """The same frames in these views only, in their order.

        Raises:
            ValueError: No view is named, or there is no such view.
        """
        unknown = [view for view in views if not 0 <= view < self.num_views]
        if unknown or not views:
            raise ValueError(f"choose from views 0 to {self.num_views - 1}, got {list(views)}")
        chosen = torch.tensor(list(views))
        by_view = ("intrinsics", "world_to_camera", "size_px", "points_px", "confidences", "truth_px")
        return replace(self, **{name: getattr(self, name)[:, chosen] for name in by_view})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeypointSplits:
    """Frames to train on, to choose settings on, and to measure on."""

    train: MultiViewKeypoints
    validation: MultiViewKeypoints
    test: MultiViewKeypoints

    def __post_init__(self) -> None:
        people = {field.name: set(getattr(self, field.name).subject.tolist()) for field in fields(self)}
        for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
            shared = people[first] & people[second]
            if shared:
                raise ValueError(f"subjects {sorted(shared)} are in both {first} and {second}")
