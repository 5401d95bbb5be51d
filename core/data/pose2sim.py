"""The Pose2Sim demonstration: four calibrated cameras, 100 frames at 60 Hz, OpenPose BODY_25B, its own triangulation.

Pagnon et al., "Pose2Sim", Sensors 2021. There is no optical ground truth: the reference is what the Pose2Sim program
stored. It did not undo the lens distortion, so neither should who compares. Its archive is in millimetres with z up
already. Axis letters beyond the usual: `F` frames, `P` people.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from core.data.calibration import rig_from_arrays
from core.data.root import checksum, data_file, read_arrays
from core.geometry.rig import Rig
from core.typing import Float, Tensor

DIMENSIONS = {"K": 3, "R": 3, "t": 2, "size": 2, "dist": 2, "assoc": 5, "ref": 4, "kp_names": 1, "ref_names": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose2SimConfig:
    """Which recording.

    Attributes:
        root: The data folder, absolute; `None`: see `core.data.root`.
        recording: The balancing trial of one man (`single`), or him and a rendered woman (`multi`).
    """

    root: str | None = None
    recording: Literal["single", "multi"] = "single"

    @property
    def file(self) -> str:
        """Path of the archive inside the data folder."""
        return f"pose2sim/{self.recording}.npz"

    def fingerprint(self) -> str:
        """Checksum of the archive.

        Raises:
            FileNotFoundError: It is not there.
        """
        return checksum(data_file(self.root, self.file))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pose2SimRecording:
    """The recording, float64.

    Attributes:
        rig: The four cameras, with their distortion.
        joints: Names of the joints of the reference, in its order.
        points_px: Detections of each person in each view, after Pose2Sim's association, in the order of `joints`.
        likelihoods: OpenPose's confidence; 0 where the joint was not detected.
        reference_mm: Joints that Pose2Sim triangulated, not filtered; the few it could not are interpolated in time.
    """

    rig: Rig
    joints: tuple[str, ...]
    points_px: Float[Tensor, "F V P J 2"]
    likelihoods: Float[Tensor, "F V P J"]
    reference_mm: Float[Tensor, "F P J 3"]


def read_pose2sim(config: Pose2SimConfig) -> Pose2SimRecording:
    """Read a recording.

    Raises:
        FileNotFoundError: The data are not there.
        ValueError: The archive is not of this form.
    """
    arrays = read_arrays(data_file(config.root, config.file), DIMENSIONS)
    detected, joints = arrays["kp_names"].tolist(), arrays["ref_names"].tolist()
    associated = torch.as_tensor(arrays["assoc"], dtype=torch.float64)
    associated = associated[..., [detected.index(name) for name in joints], :]
    return Pose2SimRecording(
        rig=rig_from_arrays(arrays["K"], arrays["R"], arrays["t"], arrays["size"], arrays["dist"]),
        joints=tuple(joints),
        points_px=associated[..., :2],
        likelihoods=associated[..., 2],
        reference_mm=torch.as_tensor(arrays["ref"], dtype=torch.float64),
    )
