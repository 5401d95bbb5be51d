"""Simulated multi-view keypoints: one person at a time before a rig, and what a detector makes of the images."""

from dataclasses import dataclass, field
from typing import Literal

import torch

from core.data.cmu import cmu_fingerprint, read_cmu
from core.data.multiview_keypoints import KeypointSplits, MultiViewKeypoints
from core.geometry.rig import Rig, projections
from core.openpose import BODY_18, BODY_AND_HANDS
from core.simulator.detections import Chance, DetectorNoise, detect, draw_chance
from core.simulator.hands import add_hands
from core.simulator.observed import Scene
from core.simulator.openpose_body import openpose_body
from core.simulator.recording import FPS, SPLITS, Recording, SplitSizes, simulate_recordings, take_recordings
from core.simulator.rigs import PLANS, CalibrationError, RigName, make_rig, miscalibrate
from core.simulator.streams import stream
from core.skeleton import HUMAN36M

SKELETONS = {"human36m": HUMAN36M, "body": BODY_18, "body_and_hands": BODY_AND_HANDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedKeypoints:
    """A recording to simulate.

    Attributes:
        rig: Whose cameras' geometry.
        motion: The scene simulator's, or clips of the CMU database (fewer people: see `core.data.cmu`).
        skeleton: Which joints are detected.
        num_train: Frames to train on, shared evenly by the subjects.
        num_validation: Frames to choose settings on.
        num_test: Frames to measure on.
        num_train_subjects: People to train on; nobody is in two splits.
        num_validation_subjects: People to choose settings on.
        num_test_subjects: People to measure on.
        num_views: The first so many cameras, which are spread over the rig; `None`: all. What a camera sees does not
            depend on it.
        detections: The detector's errors.
        calibration_error: How wrong the cameras are that methods are given.
        root: The data folder, for the CMU database; `None`: see `core.data.root`.
    """

    rig: RigName = "human36m"
    motion: Literal["simulated", "cmu"] = "simulated"
    skeleton: Literal["human36m", "body", "body_and_hands"] = "human36m"
    num_train: int = 1_500
    num_validation: int = 300
    num_test: int = 600
    num_train_subjects: int = 5
    num_validation_subjects: int = 1
    num_test_subjects: int = 2
    num_views: int | None = None
    detections: DetectorNoise = field(default_factory=DetectorNoise)
    calibration_error: CalibrationError = field(default_factory=CalibrationError)
    root: str | None = None

    def __post_init__(self) -> None:
        for split in SPLITS:
            size = self.size(split)
            if not 1 <= size.num_subjects <= size.num_frames:
                raise ValueError(
                    f"num_{split}_subjects must be from 1 to num_{split}, "
                    f"got {size.num_subjects} people in {size.num_frames} frames"
                )
        most = len(PLANS[self.rig].eyes_mm)
        if self.num_views is not None and not 1 <= self.num_views <= most:
            raise ValueError(f"num_views must be from 1 to {most} on the rig {self.rig}, got {self.num_views}")

    def size(self, split: str) -> SplitSizes:
        """Frames and people of a split."""
        return SplitSizes(num_frames=getattr(self, f"num_{split}"), num_subjects=getattr(self, f"num_{split}_subjects"))

    def files_fingerprint(self) -> str:
        """Identify the files of recorded motion; a constant for simulated motion.

        Raises:
            FileNotFoundError: They are not there.
        """
        return cmu_fingerprint(self.root) if self.motion == "cmu" else "simulated"


def simulate_keypoints(config: SimulatedKeypoints, seed: int) -> KeypointSplits:
    """Simulate the three splits; everything follows from the seed.

    People, cameras, calibration and detector have random numbers of their own: configurations that differ in the
    detector alone see the same frames, and the same chance in the detector.
    """
    sizes, floor_mm = [config.size(split) for split in SPLITS], PLANS[config.rig].floor_mm
    if config.motion == "cmu":
        recordings = take_recordings(read_cmu(config.root), sizes, floor_mm, seed)
    else:
        recordings = simulate_recordings(sizes, floor_mm, seed)
    rig = make_rig(config.rig, stream(seed, "rig"))
    poses = torch.stack([camera.world_to_camera for camera in rig])
    given = miscalibrate(poses, config.calibration_error, stream(seed, "calibration"))[: config.num_views]
    rig = rig.subset(rig.names[: config.num_views])
    intrinsics = torch.stack([camera.intrinsics for camera in rig])
    splits = {}
    for split, recording in zip(SPLITS, recordings, strict=True):
        scene = _observe(config, seed, split, recording, rig)
        found = detect(scene, config.detections, _chance(scene, seed, split))
        splits[split] = MultiViewKeypoints(
            skeleton=scene.skeleton,
            intrinsics=intrinsics.float()[None],
            world_to_camera=given.float()[None],
            size_px=scene.size_px[None],
            rig=torch.zeros(len(scene.joints_mm), dtype=torch.int64),
            points_px=found.points_px,
            confidences=found.confidences,
            truth_px=scene.images_px(scene.joints_mm),
            joints_mm=scene.joints_mm,
            subject=recording.subject,
            action=recording.action,
            actions=recording.actions,
        )
    return KeypointSplits(**splits)


def _observe(config: SimulatedKeypoints, seed: int, split: str, recording: Recording, rig: Rig) -> Scene:
    joints_mm = recording.body_mm if config.skeleton == "human36m" else openpose_body(recording.body_mm)
    if config.skeleton == "body_and_hands":
        fps = FPS if config.motion == "simulated" else 0.0
        hands_mm = add_hands(recording.body_mm, fps=fps, generator=stream(seed, "hands", split))
        joints_mm = torch.cat([joints_mm, hands_mm], dim=1)
    return Scene(
        skeleton=SKELETONS[config.skeleton],
        joints_mm=joints_mm,
        body_mm=recording.body_mm,
        projections=projections(rig),
        size_px=torch.tensor([camera.size_px for camera in rig], dtype=torch.float32),
    )


def _chance(scene: Scene, seed: int, split: str) -> Chance:
    num_frames, num_joints = scene.joints_mm.shape[:2]
    views = [stream(seed, "detector", split, view) for view in range(len(scene.projections))]
    return draw_chance(num_frames, num_joints, stream(seed, "detector", split), views)
