"""The files of one Panoptic Studio sequence, in this project's units and axes: see `core.data.panoptic` for the layout.

The studio's files are in centimetres with y down. Here, and nowhere else, they become millimetres with z up.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from core.data.openpose_json import entries, numbers, read_json
from core.data.places import existing
from core.geometry.camera import Camera
from core.geometry.rig import Rig
from core.openpose import BODY_18, NUM_HAND_JOINTS

COCO19 = tuple(
    "Neck Nose MidHip LShoulder LElbow LWrist LHip LKnee LAnkle RShoulder RElbow RWrist RHip RKnee RAnkle "
    "LEye LEar REye REar".split()
)
"""The joints of `joints19`."""
FROM_COCO19 = tuple(COCO19.index(name) for name in BODY_18.names)
"""Where COCO19 has the joints of OpenPose's body; its middle of the hips is left out."""

MM_PER_CM = 10.0
Z_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
"""A rotation: turns the studio's axes (y down) to those of this project (z up), `X = Z_UP X_studio`."""

ROOT_KEY = "data.panoptic.root"
_BODIES = "hdPose3d_stage1_coco19"
_BODY_FILE = re.compile(r"body3DScene_(\d{8})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Where the files of a sequence lie."""

    folder: Path

    @property
    def calibration(self) -> Path:
        """The cameras."""
        return self.folder / f"calibration_{self.folder.name}.json"

    def bodies(self, frame: int) -> Path:
        """The bodies of a frame."""
        return self.folder / _BODIES / f"body3DScene_{frame:08d}.json"

    def hands(self, frame: int) -> Path:
        """The hands of a frame."""
        return self.folder / "hdHand3d" / f"handRecon3D_hd{frame:08d}.json"

    def detections(self, camera: str, frame: int) -> Path:
        """What OpenPose found in a view of a frame."""
        return self.folder / "openpose" / camera / f"{camera}_{frame:08d}_keypoints.json"

    def frames(self) -> list[int]:
        """Numbers of the frames with motion capture, in order.

        Raises:
            FileNotFoundError: There are none.
        """
        folder = existing(self.folder / _BODIES, ROOT_KEY)
        matches = (_BODY_FILE.fullmatch(path.name) for path in folder.iterdir())
        found = sorted(int(match[1]) for match in matches if match)
        if not found:
            raise FileNotFoundError(f"{folder}: expected files body3DScene_<8 digits>.json, found none")
        return found


def read_calibration(path: Path) -> Rig:
    """Read the HD cameras of a sequence.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not of the toolbox's form.
    """
    names, cameras = [], []
    for index, entry in enumerate(entries(read_json(existing(path, ROOT_KEY)), "cameras", str(path))):
        where = f"{path}: cameras/{index}"
        missing = [key for key in ("type", "name", "K", "R", "t", "distCoef", "resolution") if key not in entry]
        if missing:
            raise ValueError(f"{where}: lacks {', '.join(missing)}; found {', '.join(entry)}")
        if entry["type"] == "hd":
            names.append(str(entry["name"]))
            cameras.append(_camera(entry, where))
    if not names:
        raise ValueError(f"{path}: expected cameras of the type 'hd', found none")
    return Rig(names=tuple(names), cameras=tuple(cameras))


def _camera(entry: Mapping[str, Any], where: str) -> Camera:
    try:
        rotation = torch.tensor(entry["R"], dtype=torch.float64) @ torch.tensor(Z_UP, dtype=torch.float64).T
        offset_mm = MM_PER_CM * torch.tensor(entry["t"], dtype=torch.float64).reshape(3, 1)
        width, height = entry["resolution"]
        return Camera(
            intrinsics=torch.tensor(entry["K"], dtype=torch.float64),
            world_to_camera=torch.cat([rotation, offset_mm], dim=1),
            distortion=torch.tensor(entry["distCoef"], dtype=torch.float64),
            size_px=(int(width), int(height)),
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where}: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The one person of a frame.

    Attributes:
        number: The person's id in the sequence.
        joints_mm: 18 or 60 joints in the order of `core.openpose`, z up.
    """

    number: int
    joints_mm: npt.NDArray[np.float32]


def read_bodies(path: Path) -> list[Any]:
    """Read the people of a frame, as the file has them."""
    return entries(read_json(path), "bodies", str(path))


def read_body(sequence: Sequence, frame: int, entry: Any, *, min_confidence: float, with_hands: bool) -> Body | None:
    """Read one person.

    Args:
        sequence: Whose files.
        frame: The frame's number.
        entry: The person, of `read_bodies`.
        min_confidence: Joints of the body count where their confidence is larger.
        with_hands: Whether the hands follow the body.

    Returns:
        The person; `None` where a joint or a hand is missing.

    Raises:
        ValueError: A file is not of the expected form.
    """
    where = f"{sequence.bodies(frame)}: bodies"
    joints = numbers(entries(entry, "joints19", where), 4, f"{where}/joints19")
    if len(joints) != len(COCO19) or not isinstance(entry.get("id"), int):
        raise ValueError(
            f"{where}: expected an integer id and {len(COCO19)} joints, found id {entry.get('id')!r} and {len(joints)}"
        )
    joints = joints[list(FROM_COCO19)]
    if not (joints[:, 3] > min_confidence).all():
        return None
    parts = [joints[:, :3]]
    if with_hands:
        hands = _read_hands(sequence.hands(frame), entry["id"])
        if hands is None:
            return None
        parts += hands
    joints_mm = MM_PER_CM * np.concatenate(parts) @ np.array(Z_UP).T
    return Body(number=entry["id"], joints_mm=joints_mm.astype(np.float32))


def _read_hands(path: Path, number: int) -> list[npt.NDArray[np.float64]] | None:
    """Read the left and the right hand of a person; nothing where one is missing (some files hold zeros there)."""
    if not path.is_file():
        return None
    own = [one for one in entries(read_json(path), "people", str(path)) if one.get("id") == number]
    if not own or not all(side in own[0] for side in ("left_hand", "right_hand")):
        return None
    hands = []
    for side in ("left_hand", "right_hand"):
        where = f"{path}: people/{side}"
        landmarks = numbers(entries(own[0][side], "landmarks", where), 3, f"{where}/landmarks")
        if len(landmarks) != NUM_HAND_JOINTS:
            raise ValueError(f"{where}/landmarks: expected {NUM_HAND_JOINTS} joints, found {len(landmarks)}")
        hands.append(landmarks)
    return hands if all(hand.any() for hand in hands) else None
