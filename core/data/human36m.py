"""Human3.6M as VideoPose3D publishes it: 3D poses, 2D detections and four calibrated cameras.

Ionescu et al., "Human3.6M", TPAMI 2014; archives and file names of Pavllo et al., "3D Human Pose Estimation in Video",
CVPR 2019. Under the data folder:

    human36m/data_3d_h36m.npz         positions_3d: {subject: {action: (T, 32, 3) float32, metres, world, z up}}
    human36m/data_2d_h36m_<tag>.npz   positions_2d: {subject: {action: [(T', 17, 2) pixels for each camera]}};
                                      metadata: layout_name, num_joints, keypoints_symmetry
    cameras/h36m.json                 one rig for each subject (`core.geometry.rig.read_rig`)

Both archives are pickles of dictionaries and are read by `core.data.pickled`. What is done with them:

- Of the 32 joints the 17 in `KEPT_JOINTS` are kept, the order in which results are reported.
- Detections are undistorted. They carry no confidence: it is 1. The `gt` archive was projected with the two tangential
  coefficients exchanged, so that its undistorted points lie beside the projected joints: within 350 px of an image's
  centre by 0.1 to 0.45 px on average, depending on the camera, and by 1.8 px at most.
- Some videos have more frames than the motion capture, at their end: these are cut off, as VideoPose3D does. Up to
  `MOST_MISSING` frames may be missing at the end, and then poses are cut; more is refused.
- `Directions` of S11 is left out, as its video is damaged. Of S9, one recording each of Greeting, SittingDown and
  Waiting has true poses that are shifted against the images (Iskakov et al., ICCV 2019); papers keep them, and so does
  this file, unless `leave_out` names them.
- Nobody is in two splits, so that the subjects of `validation` are not trained on. Papers have no validation subject:
  they train on S1, S5, S6, S7 and S8. Here S8, the last of them, is held out.

Axis letters beyond the usual: `N` frames.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from core.data.assembly import Recording, assemble, draw
from core.data.multiview_keypoints import KeypointSplits, MultiViewKeypoints
from core.data.pickled import contents_checksum, read_object
from core.data.places import data_folder, existing
from core.data.plausibility import check_fit, check_size
from core.data.root import checksum
from core.geometry.rig import read_rig
from core.simulator.streams import stream
from core.skeleton import HUMAN36M
from core.typing import Int, Tensor

KEPT_JOINTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Of the 32 recorded joints those of `core.skeleton.HUMAN36M`; the others are fixed to them or copies of them."""

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
"""In the order of the detections."""

ACTION_COLUMNS: Mapping[str, str] = {
    "Directions": "dir",
    "Discussion": "disc",
    "Eating": "eat",
    "Greeting": "greet",
    "Phoning": "phone",
    "Photo": "photo",
    "Posing": "pose",
    "Purchases": "purch",
    "Sitting": "sit",
    "SittingDown": "sitd",
    "Smoking": "smoke",
    "Waiting": "wait",
    "WalkDog": "walkd",
    "Walking": "walk",
    "WalkTogether": "walkt",
}
"""The 15 actions by VideoPose3D's names, and the columns under which papers report them."""

ACTIONS = tuple(ACTION_COLUMNS)
DAMAGED = (("S11", "Directions"),)
MM_PER_M = 1_000.0
MOST_MISSING = 5
_KEY = "data.human36m.root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Human36mConfig:
    """Where the archives lie, and what of them is used.

    Attributes:
        root: The data folder, absolute; `None`: see `core.data.root`.
        detections: End of the 2D archive's name: `cpn_ft_h36m_dbb`, `gt`, ...
        train: Subjects to train on; those that no other split names.
        validation: Subjects to choose settings on.
        test: Subjects to measure on.
        cameras: Which cameras, in which order.
        stride: Every how many-th frame of a recording is taken.
        num_train: At most so many frames of the split, drawn by the seed; `None`: all. Likewise of the others.
        leave_out: Recordings not to use, as "S9/Greeting" or, of one trial, "S9/Greeting 1".
    """

    root: str | None = None
    detections: str = "cpn_ft_h36m_dbb"
    train: tuple[str, ...] = ("S1", "S5", "S6", "S7")
    validation: tuple[str, ...] = ("S8",)
    test: tuple[str, ...] = ("S9", "S11")
    cameras: tuple[str, ...] = CAMERAS
    stride: int = 1
    num_train: int | None = None
    num_validation: int | None = None
    num_test: int | None = None
    leave_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("num_train", "num_validation", "num_test", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"human36m.{name} must be >= 1, got {value}")
        unknown = [name for name in self.cameras if name not in CAMERAS]
        if unknown or not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise ValueError(f"human36m.cameras must be distinct ones of {', '.join(CAMERAS)}, got {self.cameras}")
        named = (*self.train, *self.validation, *self.test)
        strange = [name for name in named if not re.fullmatch(r"S\d+", name)]
        if strange:
            raise ValueError(f"human36m's subjects are called S1, S5, ..., got {', '.join(strange)}")
        if len(set(named)) != len(named) or not (self.train and self.validation and self.test):
            raise ValueError(
                "human36m.train, validation and test need at least one subject each, and none twice, got "
                f"{self.train}, {self.validation}, {self.test}"
            )

    def files(self) -> tuple[Path, Path, Path]:
        """Where the poses, the detections and the cameras lie.

        Raises:
            FileNotFoundError: One is not there.
        """
        root = data_folder(self.root, _KEY)
        folder = root / "human36m"
        poses = existing(folder / "data_3d_h36m.npz", _KEY)
        detections = folder / f"data_2d_h36m_{self.detections}.npz"
        if not detections.is_file():
            known = sorted(path.stem.removeprefix("data_2d_h36m_") for path in folder.glob("data_2d_h36m_*.npz"))
            raise FileNotFoundError(f"{detections}: no such file; for data.human36m.detections there are {known}")
        return poses, detections, existing(root / "cameras" / "h36m.json", _KEY)

    def files_fingerprint(self) -> str:
        """Identify the content of the three files.

        Raises:
            FileNotFoundError: One is not there.
            ValueError: An archive is none.
        """
        poses, detections, cameras = self.files()
        parts = (contents_checksum(poses), contents_checksum(detections), checksum(cameras))
        return blake2b(" ".join(parts).encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """One trial of one action by one subject, as it stands in the archives."""

    subject: str
    action: str
    poses_m: npt.NDArray[Any]
    points_px: tuple[npt.NDArray[Any], ...]

    @property
    def num_frames(self) -> int:
        """Frames that the motion capture and all videos have."""
        return min(len(self.poses_m), *(len(points) for points in self.points_px))


def load_human36m(config: Human36mConfig, seed: int) -> KeypointSplits:
    """Read the splits; where frames are limited the seed draws them.

    Raises:
        FileNotFoundError: A file is not there.
        ValueError: A file is not of this form, or lacks a subject or action; the text says which.
    """
    archives = _read_archives(config)
    splits = {
        name: _split(config, archives, name, stream(seed, "human36m", name)) for name in ("train", "validation", "test")
    }
    return KeypointSplits(**splits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Archives:
    """What the files hold, unchecked below the subjects."""

    files: tuple[Path, Path, Path]
    poses: Mapping[str, Any]
    points: Mapping[str, Any]


def _read_archives(config: Human36mConfig) -> _Archives:
    files = config.files()
    poses, points = read_object(files[0], "positions_3d"), read_object(files[1], "positions_2d")
    metadata = read_object(files[1], "metadata")
    for path, key, found in (
        (files[0], "positions_3d", poses),
        (files[1], "positions_2d", points),
        (files[1], "metadata", metadata),
    ):
        if not isinstance(found, dict):
            raise ValueError(f"{path}: {key}: expected a dictionary, found a {type(found).__name__}")
    layout, num_joints = metadata.get("layout_name", "h36m"), metadata.get("num_joints")
    if layout != "h36m" or num_joints != len(KEPT_JOINTS):
        raise ValueError(
            f"{files[1]}: metadata: expected the layout 'h36m' of {len(KEPT_JOINTS)} joints, "
            f"found {layout!r} of {num_joints}"
        )
    return _Archives(files=files, poses=poses, points=points)


def _trials(config: Human36mConfig, archives: _Archives, subject: str) -> Iterator[_Trial]:
    """Give the trials of a subject in the order of their names."""
    poses_of = _entry(archives.poses, subject, f"{archives.files[0]}: positions_3d")
    points_of = _entry(archives.points, subject, f"{archives.files[1]}: positions_2d")
    for action in sorted(poses_of):
        name = action.split(" ")[0]
        if name not in ACTION_COLUMNS:
            raise ValueError(
                f"{archives.files[0]}: positions_3d/{subject}: unknown action {action!r}; "
                f"expected one of {', '.join(ACTIONS)}, perhaps with a number"
            )
        left_out = {f"{subject}/{action}", f"{subject}/{name}"}.intersection(config.leave_out)
        if not left_out and (subject, action) not in DAMAGED:
            points = _entry(points_of, action, f"{archives.files[1]}: positions_2d/{subject}")
            yield _trial(archives, subject, action, (poses_of[action], points))


def _entry(content: Mapping[str, Any], key: str, where: str) -> Any:
    if not isinstance(content, dict) or key not in content:
        found = ", ".join(map(str, content)) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(f"{where}: has no {key!r}; found {found}")
    return content[key]


def _trial(archives: _Archives, subject: str, action: str, content: tuple[Any, Any]) -> _Trial:
    """Check the arrays of one trial."""
    poses, points = content
    where = f"positions_3d/{subject}/{action}"
    _check_array(poses, (32, 3), f"{archives.files[0]}: {where}")
    where = f"{archives.files[1]}: positions_2d/{subject}/{action}"
    if not isinstance(points, list | tuple) or len(points) != len(CAMERAS):
        found = f"{len(points)} entries" if isinstance(points, list | tuple) else f"a {type(points).__name__}"
        raise ValueError(f"{where}: expected a list with one array for each of {len(CAMERAS)} cameras, found {found}")
    for view, array in enumerate(points):
        _check_array(array, (len(KEPT_JOINTS), 2), f"{where}/{view}")
        if len(array) < len(poses) - MOST_MISSING:
            raise ValueError(
                f"{where}/{view}: expected as many frames as poses ({len(poses)}, less at most {MOST_MISSING}), "
                f"found {len(array)}: the archives do not belong together"
            )
    return _Trial(subject=subject, action=action, poses_m=poses, points_px=tuple(points))


def _check_array(array: Any, shape: tuple[int, int], where: str) -> None:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        found = f"{array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{where}: expected an array of floats, found a {found}")
    if array.ndim != 3 or array.shape[1:] != shape or not len(array):
        raise ValueError(f"{where}: expected the shape (frames, {shape[0]}, {shape[1]}), found {array.shape}")


def _split(config: Human36mConfig, archives: _Archives, split: str, generator: torch.Generator) -> MultiViewKeypoints:
    """Read the frames of a split, ordered by subject, action and time."""
    subjects: tuple[str, ...] = getattr(config, split)
    rigs = [read_rig(archives.files[2], subject).subset(config.cameras) for subject in subjects]
    trials = [one for subject in subjects for one in _trials(config, archives, subject)]
    if not trials:
        raise ValueError(f"{archives.files[0]}: nothing is left of {', '.join(subjects)}: see leave_out")
    lengths = [len(range(0, one.num_frames, config.stride)) for one in trials]
    chosen = draw(sum(lengths), getattr(config, f"num_{split}"), generator)
    owner = torch.arange(len(trials)).repeat_interleave(torch.tensor(lengths))[chosen]
    starts = torch.tensor([0, *lengths]).cumsum(0)
    recordings = [
        _recording(one, (chosen[owner == index] - starts[index]) * config.stride, subjects.index(one.subject), config)
        for index, one in enumerate(trials)
        if bool((owner == index).any())
    ]
    found = assemble(HUMAN36M, rigs, recordings, ACTIONS)
    check_size(found.joints_mm, "metres", f"{archives.files[0]}: positions_3d ({split})")
    where = f"{archives.files[1]}: positions_2d ({split})"
    check_fit(found.points_px, found.confidences, found.truth_px, where)
    return found


def _recording(one: _Trial, frames: Int[Tensor, " N"], rig: int, config: Human36mConfig) -> Recording:
    """Take frames of a trial; metres become millimetres, 32 joints become 17."""
    views = [CAMERAS.index(name) for name in config.cameras]
    indices = frames.numpy()
    points_px = torch.from_numpy(np.stack([one.points_px[view][indices] for view in views], axis=1)).float()
    return Recording(
        rig=rig,
        action=ACTIONS.index(one.action.split(" ")[0]),
        subject=torch.full((len(frames),), int(one.subject.removeprefix("S"))),
        points_px=points_px,
        confidences=torch.ones(points_px.shape[:-1]),
        joints_mm=torch.from_numpy(MM_PER_M * one.poses_m[indices][:, list(KEPT_JOINTS)]).float(),
    )
