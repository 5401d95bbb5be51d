"""Shelf (TU Munich), frames 300 to 600: five views, OpenPose people in BODY_25, ground truth of four actors.

Belagiannis et al., "3D Pictorial Structures for Multiple Human Pose Estimation", CVPR 2014; detections by way of
Zhang et al., "4D Association Graph", CVPR 2020, whose rule for the head's joints is used here. The archive is in
millimetres with z up already. Axis letters beyond the usual: `F` frames, `A` actors, `P` people detected in a view.
"""

from dataclasses import dataclass

import torch

from core.data.calibration import rig_from_arrays
from core.data.root import checksum, data_file, read_arrays
from core.geometry.rig import Rig
from core.skeleton import SHELF
from core.typing import Float, Tensor

FILE = "shelf_openpose/shelf.npz"
DIMENSIONS = {"K": 3, "R": 3, "t": 2, "size": 1, "gt": 4, "det": 5, "ndet": 2}

BODY_25 = tuple(
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee LAnkle "
    "REye LEye REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel".split()
)
"""OpenPose's joints."""

LIMB_JOINTS = tuple((index, BODY_25.index(name)) for index, name in enumerate(SHELF.names) if name in BODY_25)
"""Pairs (joint of Shelf, joint of BODY_25) of the twelve joints that both have."""

TOP_FORWARD_MM, TOP_UP_MM = 125.0, 145.0
"""From the bottom of the head to its top: along the direction the shoulders face, and upwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfConfig:
    """Where the data are, and how detected people are assigned to actors.

    Attributes:
        root: The data folder, absolute; `None`: see `core.data.root`.
        match_px: A person belongs to an actor only below this mean distance of the joints from the projected truth.
    """

    root: str | None = None
    match_px: float = 50.0

    def __post_init__(self) -> None:
        if not self.match_px > 0:
            raise ValueError(f"match_px must be > 0, got {self.match_px}")

    def fingerprint(self) -> str:
        """Checksum of the archive.

        Raises:
            FileNotFoundError: It is not there.
        """
        return checksum(data_file(self.root, FILE))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShelfSequence:
    """The sequence, float64.

    Attributes:
        rig: The five cameras, without distortion.
        truth_mm: Joints in the order of `core.skeleton.SHELF`; NaN where the actor is absent.
        points_px: Detected people; joints in the order of `BODY_25`.
        scores: OpenPose's confidence in [0, 1]; 0 where the joint was not detected, and in places without a person.
    """

    rig: Rig
    truth_mm: Float[Tensor, "F A 15 3"]
    points_px: Float[Tensor, "F V P 25 2"]
    scores: Float[Tensor, "F V P 25"]


def read_shelf(config: ShelfConfig) -> ShelfSequence:
    """Read the sequence.

    Raises:
        FileNotFoundError: The data are not there.
        ValueError: The archive is not of this form.
    """
    arrays = read_arrays(data_file(config.root, FILE), DIMENSIONS)
    detections = torch.as_tensor(arrays["det"], dtype=torch.float64)
    num_people = torch.as_tensor(arrays["ndet"], dtype=torch.int64)
    is_person = torch.arange(detections.shape[2]) < num_people[..., None]
    return ShelfSequence(
        rig=rig_from_arrays(arrays["K"], arrays["R"], arrays["t"], arrays["size"]),
        truth_mm=torch.as_tensor(arrays["gt"], dtype=torch.float64),
        points_px=detections[..., :2],
        scores=torch.where(is_person[..., None], detections[..., 2], 0.0),
    )


def shelf_joints(body_mm: Float[Tensor, "*batch 25 3"]) -> Float[Tensor, "*batch 15 3"]:
    """Turn triangulated BODY_25 joints into the joints that Shelf is evaluated on.

    Limbs are taken as they are, the pelvis is the middle of the hips. OpenPose has no joints of the head's ends: its
    bottom lies halfway from the middle of the shoulders to that of the ears, its top 125 mm from there along the
    direction that the shoulders face (horizontal) and 145 mm up (4D Association's rule). Where an ear was not found,
    the mean of those of nose and eyes that were found stands for the ears.
    """
    joints = body_mm.new_full((*body_mm.shape[:-2], SHELF.num_joints, 3), torch.nan)
    for target, source in LIMB_JOINTS:
        joints[..., target, :] = body_mm[..., source, :]
    joints[..., SHELF.index("Pelvis"), :] = _named(joints, SHELF.names, "RHip", "LHip").mean(dim=-2)
    shoulders = _named(body_mm, BODY_25, "RShoulder", "LShoulder")
    ears = _named(body_mm, BODY_25, "REar", "LEar").mean(dim=-2)
    face = _named(body_mm, BODY_25, "Nose", "REye", "LEye").nanmean(dim=-2)
    ears = torch.where(ears.isfinite(), ears, face)
    bottom = (shoulders.mean(dim=-2) + ears) / 2
    to_left = shoulders[..., 1, :] - shoulders[..., 0, :]
    facing = torch.stack([to_left[..., 1], -to_left[..., 0], torch.zeros_like(to_left[..., 0])], dim=-1)
    up_mm = body_mm.new_tensor([0.0, 0.0, TOP_UP_MM])
    joints[..., SHELF.index("BottomHead"), :] = bottom
    joints[..., SHELF.index("TopHead"), :] = (
        bottom + TOP_FORWARD_MM * torch.nn.functional.normalize(facing, dim=-1) + up_mm
    )
    return joints


def _named(pose: Float[Tensor, "*batch J 3"], names: tuple[str, ...], *wanted: str) -> Float[Tensor, "*batch N 3"]:
    return pose[..., [names.index(name) for name in wanted], :]
