"""Small archives in the true layout of Human3.6M (VideoPose3D) and Panoptic Studio (toolbox, OpenPose)."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.data.human36m import CAMERAS, KEPT_JOINTS
from core.data.panoptic_files import COCO19, Z_UP
from core.geometry.rig import Rig, ring_rig
from core.openpose import BODY_18
from core.skeleton import HUMAN36M

SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
STANDING = {
    "Hip": (0, 0, 950),
    "RHip": (0, -110, 950),
    "RKnee": (30, -120, 500),
    "RAnkle": (0, -130, 80),
    "LHip": (0, 110, 950),
    "LKnee": (40, 120, 500),
    "LAnkle": (-20, 130, 80),
    "Spine": (0, 0, 1180),
    "Thorax": (0, 0, 1430),
    "Neck": (30, 0, 1520),
    "Head": (20, 0, 1650),
    "LShoulder": (0, 170, 1400),
    "LElbow": (30, 260, 1150),
    "LWrist": (160, 270, 950),
    "RShoulder": (0, -170, 1400),
    "RElbow": (20, -280, 1150),
    "RWrist": (180, -240, 1000),
    "Nose": (110, 0, 1570),
    "REye": (90, -35, 1610),
    "LEye": (90, 35, 1610),
    "REar": (10, -75, 1590),
    "LEar": (10, 75, 1590),
}
DISTORTION = torch.tensor([-0.2, 0.24, -0.001, -0.0015, -0.003], dtype=torch.float64)


def moving(names: Sequence[str], num_frames: int, rng: np.random.Generator) -> torch.Tensor:
    """Poses (frames, joints, 3) mm of somebody who turns, walks about and shakes."""
    places = {**STANDING, "Neck": STANDING["Thorax"]} if "REye" in names else STANDING
    base = np.array([places[name] for name in names], dtype=np.float64)
    turn = rng.uniform(0, 2 * math.pi, num_frames)
    cos, sin, one = np.cos(turn), np.sin(turn), np.ones(num_frames)
    rotation = np.stack([cos, -sin, 0 * one, sin, cos, 0 * one, 0 * one, 0 * one, one], axis=1).reshape(-1, 3, 3)
    shaken = base + rng.normal(0, 40, (num_frames, len(names), 3))
    walk = np.concatenate([rng.uniform(-800, 800, (num_frames, 1, 2)), np.zeros((num_frames, 1, 1))], axis=2)
    return torch.from_numpy(np.einsum("nab,njb->nja", rotation, shaken) + walk)


def lens_rig(num_views: int, names: Sequence[str], shift_mm: float = 0.0) -> Rig:
    """A ring of cameras with lenses that distort."""
    plain = ring_rig(num_views, radius_mm=4_500.0 + shift_mm)
    return Rig(names=tuple(names), cameras=tuple(replace(camera, distortion=DISTORTION) for camera in plain))


def seen(rig: Rig, joints_mm: torch.Tensor) -> torch.Tensor:
    """Distorted images (views, frames, joints, 2)."""
    return torch.stack([camera.project(joints_mm) for camera in rig])


class Human36mArchives:
    """Writes archives; keeps what is in them, to be spoilt and written again."""

    def __init__(self, root: Path, num_frames: int = 12) -> None:
        self.root, self.detections = root, "cpn_ft_h36m_dbb"
        rng = np.random.default_rng(0)
        self.poses: dict[str, Any] = {}
        self.points: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {
            "layout_name": "h36m",
            "num_joints": 17,
            "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
        }
        self.rigs = {name: lens_rig(4, CAMERAS, 50.0 * index) for index, name in enumerate(SUBJECTS)}
        for subject in SUBJECTS:
            self.poses[subject], self.points[subject] = {}, {}
            for action in ("Directions", "Directions 1", "WalkDog"):
                joints_mm = moving(HUMAN36M.names, num_frames, rng)
                recorded = np.full((num_frames, 32, 3), 99.0, dtype=np.float32)
                recorded[:, KEPT_JOINTS] = joints_mm.numpy() / 1_000
                points = seen(self.rigs[subject], joints_mm) + torch.from_numpy(
                    rng.normal(0, 1, (4, num_frames, 17, 2))
                )
                self.poses[subject][action] = recorded
                self.points[subject][action] = list(points.float().numpy())

    def write(self) -> "Human36mArchives":
        (self.root / "human36m").mkdir(parents=True, exist_ok=True)
        (self.root / "cameras").mkdir(exist_ok=True)
        np.savez_compressed(self.root / "human36m" / "data_3d_h36m.npz", positions_3d=self.poses)
        path = self.root / "human36m" / f"data_2d_h36m_{self.detections}.npz"
        np.savez_compressed(path, positions_2d=self.points, metadata=self.metadata)
        subjects = {
            name: {
                camera_name: {
                    "K": camera.intrinsics.tolist(),
                    "R": camera.world_to_camera[:, :3].tolist(),
                    "t": camera.world_to_camera[:, 3].tolist(),
                    "dist": camera.distortion.tolist(),
                    "size": list(camera.size_px),
                }
                for camera_name, camera in zip(rig.names, rig.cameras, strict=True)
            }
            for name, rig in self.rigs.items()
        }
        (self.root / "cameras" / "h36m.json").write_text(json.dumps({"units": "mm", "subjects": subjects}))
        return self


@pytest.fixture
def human36m(tmp_path: Path) -> Human36mArchives:
    """Archives of seven subjects with two actions, 36 frames each."""
    return Human36mArchives(tmp_path / "data").write()


class PanopticFiles:
    """Writes sequences of one person with hands, seen by HD cameras; single files can be spoilt afterwards."""

    def __init__(self, root: Path, sequences: Mapping[str, int], num_views: int = 3) -> None:
        self.root = root / "panoptic"
        self.joints_mm: dict[str, torch.Tensor] = {}
        rng = np.random.default_rng(1)
        names = [f"00_{view:02d}" for view in range(num_views)]
        for index, (name, num_frames) in enumerate(sequences.items()):
            body = moving(BODY_18.names, num_frames, rng)
            wrists = [BODY_18.index("LWrist"), BODY_18.index("RWrist")]
            hands = body[:, wrists, None] + torch.from_numpy(rng.normal(0, 40, (num_frames, 2, 21, 3)))
            self.joints_mm[name] = torch.cat([body, hands.flatten(1, 2)], dim=1)
            rig = lens_rig(num_views, names, 100.0 * index)
            self._write_calibration(name, rig)
            for frame in range(num_frames):
                self._write_truth(name, frame)
            points = seen(rig, self.joints_mm[name]) + torch.from_numpy(
                rng.normal(0, 1, (num_views, num_frames, 60, 2))
            )
            for camera, images in zip(names, points, strict=True):
                for frame, image in enumerate(images):
                    self._write_detections(name, camera, frame, image)

    def path(self, sequence: str, *parts: str) -> Path:
        return self.root.joinpath(sequence, *parts)

    def edit(self, path: Path, change: Callable[[Any], object]) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    def _write(self, path: Path, content: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def _write_calibration(self, name: str, rig: Rig) -> None:
        turned = torch.tensor(Z_UP, dtype=torch.float64)
        cameras: list[dict[str, object]] = [
            {"type": "vga", "name": "01_01", "K": [], "R": [], "t": [], "distCoef": [], "resolution": [640, 480]}
        ]
        for camera_name, camera in zip(rig.names, rig.cameras, strict=True):
            cameras.append(
                {
                    "type": "hd",
                    "name": camera_name,
                    "panel": 0,
                    "K": camera.intrinsics.tolist(),
                    "R": (camera.world_to_camera[:, :3] @ turned).tolist(),
                    "t": (camera.world_to_camera[:, 3:] / 10).tolist(),
                    "distCoef": camera.distortion.tolist(),
                    "resolution": list(camera.size_px),
                }
            )
        self._write(self.path(name, f"calibration_{name}.json"), {"calibDataSource": name, "cameras": cameras})

    def _write_truth(self, name: str, frame: int) -> None:
        studio_cm = (self.joints_mm[name][frame] @ torch.tensor(Z_UP, dtype=torch.float64) / 10).tolist()
        rows = dict(zip(BODY_18.names, studio_cm[:18], strict=True))
        rows["MidHip"] = [0.0, -95.0, 0.0]
        joints19 = [value for joint in COCO19 for value in (*rows[joint], 0.7)]
        body = {"version": 0.7, "univTime": 1.0, "bodies": [{"id": 2, "joints19": joints19}]}
        self._write(self.path(name, "hdPose3d_stage1_coco19", f"body3DScene_{frame:08d}.json"), body)
        left, right = ([value for row in rows for value in row] for rows in (studio_cm[18:39], studio_cm[39:]))
        person = {"id": 2, "left_hand": {"landmarks": left}, "right_hand": {"landmarks": right}}
        self._write(self.path(name, "hdHand3d", f"handRecon3D_hd{frame:08d}.json"), {"people": [person]})

    def _write_detections(self, name: str, camera: str, frame: int, image: torch.Tensor) -> None:
        flat = torch.cat([image, torch.full((60, 1), 0.8, dtype=torch.float64)], dim=1)
        person = {
            "pose_keypoints_2d": flat[:18].flatten().tolist(),
            "face_keypoints_2d": [],
            "hand_left_keypoints_2d": flat[18:39].flatten().tolist(),
            "hand_right_keypoints_2d": flat[39:].flatten().tolist(),
        }
        path = self.path(name, "openpose", camera, f"{camera}_{frame:08d}_keypoints.json")
        self._write(path, {"version": 1.1, "people": [person]})


@pytest.fixture
def write_panoptic() -> type[PanopticFiles]:
    """Writes other sequences: `write_panoptic(root, {"name": num_frames}, num_views=3)`."""
    return PanopticFiles


@pytest.fixture
def panoptic(tmp_path: Path) -> PanopticFiles:
    """Three sequences of a few frames."""
    return PanopticFiles(tmp_path / "data", {"one": 6, "two": 4, "three": 5})
