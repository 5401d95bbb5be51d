"""Panoptic Studio with OpenPose detections: sequences of one person, up to 31 HD views.

Joo et al., "Panoptic Studio", TPAMI 2017. Under the data folder, as the Panoptic toolbox and OpenPose write them:

    panoptic/<sequence>/calibration_<sequence>.json
        cameras: type ("hd"), name ("00_00"), K, R, t (cm; x_cam = R X + t), distCoef, resolution
    panoptic/<sequence>/hdPose3d_stage1_coco19/body3DScene_%08d.json
        bodies: id, joints19 = 19 x (x, y, z, confidence), cm, y down
    panoptic/<sequence>/hdHand3d/handRecon3D_hd%08d.json                    (for `body_and_hands` only)
        people: id, left_hand and right_hand with landmarks = 21 x (x, y, z)
    panoptic/<sequence>/openpose/<camera>/<camera>_%08d_keypoints.json
        OpenPose's own output (`core.data.openpose_json`), as its options `--image_dir hdImgs/<camera>` and
        `--write_json openpose/<camera>` give it for the toolbox's images

What is done with them:

- A frame counts where the motion capture has exactly one body with every joint (and both hands, where they are wanted);
  other frames are left out and counted (`Selection`).
- Of several people that OpenPose found in a view the most confident is taken. A view without a file, or without a
  person, has confidence 0 in that frame.
- An individual is a pair of sequence and body id. One person may have several, so that their number is an upper bound.
- Whole sequences belong to a split. The default is the toolbox's nine recordings of single people; which ones Rochette
  et al. took is not said.

At full size there are millions of small files, about 0.1 ms each: limit the frames. The seed draws them, and only their
detections are read.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
import torch

from core.data.assembly import Recording, assemble
from core.data.multiview_keypoints import KeypointSplits, MultiViewKeypoints
from core.data.openpose_json import read_person
from core.data.panoptic_files import ROOT_KEY, Body, Sequence, read_bodies, read_body, read_calibration
from core.data.places import data_folder, existing
from core.data.plausibility import check_fit, check_size
from core.openpose import BODY_18, BODY_AND_HANDS
from core.simulator.streams import stream

SKELETONS = {"body": BODY_18, "body_and_hands": BODY_AND_HANDS}
IDS_PER_SEQUENCE = 1_000
NUM_FINGERPRINTED = 8
"""Frames of each sequence whose files' content is part of the fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticConfig:
    """Where the sequences lie, and what of them is used.

    Attributes:
        root: The data folder, absolute; `None`: see `core.data.root`.
        train: Sequences to train on, as their folders are called.
        validation: Sequences to choose settings on.
        test: Sequences to measure on.
        skeleton: Whether the hands are read too.
        cameras: Names of HD cameras; empty: all that the calibrations of all sequences have.
        stride: Every how many-th frame of a sequence is taken.
        num_train: At most so many frames of the split, drawn by the seed; `None`: all. Likewise of the others.
        min_truth_confidence: A frame counts where every true joint of the body has a larger confidence.
    """

    root: str | None = None
    train: tuple[str, ...] = (
        "171026_pose1",
        "171026_pose2",
        "171204_pose1",
        "171204_pose2",
        "171204_pose3",
        "171204_pose4",
    )
    validation: tuple[str, ...] = ("171204_pose5",)
    test: tuple[str, ...] = ("171026_pose3", "171204_pose6")
    skeleton: Literal["body", "body_and_hands"] = "body"
    cameras: tuple[str, ...] = ()
    stride: int = 1
    num_train: int | None = None
    num_validation: int | None = None
    num_test: int | None = None
    min_truth_confidence: float = 0.0

    def __post_init__(self) -> None:
        for name in ("num_train", "num_validation", "num_test", "stride"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"panoptic.{name} must be >= 1, got {value}")
        if len(set(self.sequences)) != len(self.sequences) or not (self.train and self.validation and self.test):
            raise ValueError(
                "panoptic.train, validation and test need at least one sequence each, and none twice, got "
                f"{self.train}, {self.validation}, {self.test}"
            )

    @property
    def sequences(self) -> tuple[str, ...]:
        """Those of all splits."""
        return (*self.train, *self.validation, *self.test)

    def files(self, sequence: str) -> Sequence:
        """Where the files of a sequence lie.

        Raises:
            FileNotFoundError: It is not there.
        """
        return Sequence(folder=existing(data_folder(self.root, ROOT_KEY) / "panoptic" / sequence, ROOT_KEY))

    def chosen_cameras(self) -> tuple[str, ...]:
        """Names of the cameras that were asked for, else of those that all sequences have.

        Raises:
            FileNotFoundError: A sequence or its calibration is not there.
            ValueError: A calibration is not of the expected form.
        """
        if self.cameras:
            return self.cameras
        first, *others = [read_calibration(self.files(name).calibration).names for name in self.sequences]
        return tuple(name for name in first if all(name in names for names in others))

    def files_fingerprint(self) -> str:
        """Identify the sequences by their calibrations, the numbers of all frames, and all files of a few frames each.

        Reading every file would take hours at full size: a change in a file that is not looked at goes unnoticed.

        Raises:
            FileNotFoundError: A sequence is not there.
            ValueError: A calibration is not of the expected form.
        """
        digest = blake2b(digest_size=10)
        cameras = self.chosen_cameras()
        for name in self.sequences:
            files = self.files(name)
            frames = files.frames()
            digest.update(f"{name} {frames}".encode())
            digest.update(existing(files.calibration, ROOT_KEY).read_bytes())
            for frame in frames[:: -(-len(frames) // NUM_FINGERPRINTED)]:
                detections = (files.detections(camera, frame) for camera in cameras)
                for path in (files.bodies(frame), files.hands(frame), *detections):
                    digest.update(path.read_bytes() if path.is_file() else b"none")
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A frame that counts."""

    sequence: str
    frame: int
    body: Body


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The frames of a split.

    Attributes:
        frames: Those that count, ordered by sequence and time.
        num_other_people: Frames that were left out because they show nobody, or several people.
        num_incomplete: Frames that were left out because a joint or a hand is missing.
    """

    frames: tuple[Selected, ...]
    num_other_people: int
    num_incomplete: int


def select_frames(config: PanopticConfig, split: Literal["train", "validation", "test"], seed: int) -> Selection:
    """Find the frames of a split that count; with a limit, frames are looked at in random order until there are enough.

    Raises:
        FileNotFoundError: A sequence is not there.
        ValueError: A file is not of the expected form, or no frame counts.
    """
    files = {name: config.files(name) for name in getattr(config, split)}
    candidates = [(name, frame) for name, one in files.items() for frame in one.frames()[:: config.stride]]
    limit: int | None = getattr(config, f"num_{split}")
    order = list(range(len(candidates)))
    if limit is not None:
        order = torch.randperm(len(candidates), generator=stream(seed, "panoptic", split)).tolist()
    kept: dict[int, Selected] = {}
    num_other_people = num_incomplete = 0
    for index in order:
        if limit is not None and len(kept) == limit:
            break
        name, frame = candidates[index]
        people = read_bodies(files[name].bodies(frame))
        if len(people) != 1:
            num_other_people += 1
            continue
        body = read_body(
            files[name],
            frame,
            people[0],
            min_confidence=config.min_truth_confidence,
            with_hands=config.skeleton == "body_and_hands",
        )
        if body is None:
            num_incomplete += 1
            continue
        kept[index] = Selected(sequence=name, frame=frame, body=body)
    if not kept:
        raise ValueError(
            f"{', '.join(str(one.folder) for one in files.values())}: expected frames of one complete person, found "
            f"{num_other_people} with nobody or several people and {num_incomplete} with joints or hands missing"
        )
    return Selection(
        frames=tuple(kept[index] for index in sorted(kept)),
        num_other_people=num_other_people,
        num_incomplete=num_incomplete,
    )


def load_panoptic(config: PanopticConfig, seed: int) -> KeypointSplits:
    """Read the splits; where frames are limited the seed draws them.

    Raises:
        FileNotFoundError: A sequence or its calibration is not there.
        ValueError: A file is not of the expected form; the text says which.
    """
    cameras = config.chosen_cameras()
    return KeypointSplits(
        train=_split(config, "train", cameras, seed),
        validation=_split(config, "validation", cameras, seed),
        test=_split(config, "test", cameras, seed),
    )


def _split(
    config: PanopticConfig, split: Literal["train", "validation", "test"], cameras: tuple[str, ...], seed: int
) -> MultiViewKeypoints:
    names: tuple[str, ...] = getattr(config, split)
    frames = select_frames(config, split, seed).frames
    recordings = [
        _recording(config, name, own, cameras, names.index(name))
        for name in names
        if (own := [one for one in frames if one.sequence == name])
    ]
    rigs = [read_calibration(config.files(name).calibration).subset(cameras) for name in names]
    found = assemble(SKELETONS[config.skeleton], rigs, recordings, config.sequences)
    where = f"{config.files(names[0]).folder.parent}: {', '.join(names)}"
    check_size(found.joints_mm, "centimetres", where)
    check_fit(found.points_px, found.confidences, found.truth_px, f"{where}: openpose")
    return found


def _recording(
    config: PanopticConfig, name: str, frames: list[Selected], cameras: tuple[str, ...], rig: int
) -> Recording:
    """Read the detections of a sequence's frames."""
    files, with_hands = config.files(name), config.skeleton == "body_and_hands"
    number = config.sequences.index(name)
    detections = torch.from_numpy(
        np.stack(
            [
                np.stack(
                    [read_person(files.detections(camera, one.frame), with_hands=with_hands) for camera in cameras]
                )
                for one in frames
            ]
        )
    )
    strange = [one.body.number for one in frames if not 0 <= one.body.number < IDS_PER_SEQUENCE]
    if strange:
        raise ValueError(f"{files.folder}: expected body ids from 0 to {IDS_PER_SEQUENCE - 1}, found {strange[0]}")
    return Recording(
        rig=rig,
        action=number,
        subject=torch.tensor([IDS_PER_SEQUENCE * number + one.body.number for one in frames]),
        points_px=detections[..., :2],
        confidences=detections[..., 2],
        joints_mm=torch.from_numpy(np.stack([one.body.joints_mm for one in frames])),
    )
