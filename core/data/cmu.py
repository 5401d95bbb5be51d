"""Motion recorded at Carnegie Mellon University: clips of 17 joints in Human3.6M's order, millimetres, z up.

The data used here was obtained from mocap.cs.cmu.edu; the database was created with funding from NSF EIA-0196217. Some
clips do not say whom they show. They count as one person more, who may only be trained on; those in which that person
walks or runs are left out, as they may show one of the others. Axis letters beyond the usual: `T` frames of a clip.
"""

import json
from dataclasses import dataclass

import torch

from core.data.root import checksum, data_file, read_arrays
from core.skeleton import HUMAN36M
from core.typing import Float, Tensor

MOTION_FILE, CLIPS_FILE = "cmu_mocap/cmu17_30fps.npz", "cmu_mocap/clips.json"
UNKNOWN_SUBJECT = 0
_MAYBE_SOMEBODY_ELSE = ("walking", "running")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip:
    """One recording.

    Attributes:
        joints_mm: Where the person went, as recorded.
        subject: The database's number; `UNKNOWN_SUBJECT` where it is not known.
        action: What the person does.
    """

    joints_mm: Float[Tensor, "T 17 3"]
    subject: int
    action: str


def cmu_fingerprint(root: str | None) -> str:
    """Checksum of both files.

    Raises:
        FileNotFoundError: They are not there.
    """
    return "-".join(checksum(data_file(root, name)) for name in (MOTION_FILE, CLIPS_FILE))


def read_cmu(root: str | None) -> tuple[Clip, ...]:
    """Read every clip that is clear about who moves, as far as splits by person need it.

    Raises:
        FileNotFoundError: The data are not there.
        ValueError: The files are not of this form.
    """
    path = data_file(root, CLIPS_FILE)
    described = json.loads(path.read_text(encoding="utf-8"))
    if described.get("units") != "mm" or tuple(described.get("joint_names", ())) != HUMAN36M.names:
        raise ValueError(f"{path}: expected millimetres and the joints {', '.join(HUMAN36M.names)}")
    joints_mm = torch.as_tensor(read_arrays(data_file(root, MOTION_FILE), {"joints": 3})["joints"]).float()
    if joints_mm.shape[1:] != (HUMAN36M.num_joints, 3):
        raise ValueError(f"{path}: joints must have shape (frames, 17, 3), got {tuple(joints_mm.shape)}")
    clips = []
    for entry in described["clips"]:
        subject, action = entry["subject"] or UNKNOWN_SUBJECT, entry["action"]
        if subject != UNKNOWN_SUBJECT or not action.startswith(_MAYBE_SOMEBODY_ELSE):
            frames = joints_mm[entry["start"] : entry["start"] + entry["length"]]
            clips.append(Clip(joints_mm=frames, subject=subject, action=action.split(" - ")[0]))
    return tuple(clips)
