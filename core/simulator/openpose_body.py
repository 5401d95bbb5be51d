"""From the 17 joints in which motion is simulated or recorded to the 18 of OpenPose's body.

The limbs' joints are the same. The neck lies midway between the shoulders; nose, eyes and ears stand in a frame of the
head, spanned by its axis (neck to top of the head) and the direction across the shoulders.
"""

import torch

from core.openpose import BODY_18
from core.skeleton import HUMAN36M
from core.typing import Float, Tensor

LIMBS = tuple(name for name in BODY_18.names if name in HUMAN36M.names and name not in {"Neck"})
FACE_MM = {
    "Nose": (105.0, 0.0, 20.0),
    "REye": (85.0, -32.0, 55.0),
    "LEye": (85.0, 32.0, 55.0),
    "REar": (0.0, -75.0, 40.0),
    "LEar": (0.0, 75.0, 40.0),
}
"""Forward, left and up from the middle of the head's axis, for a head 200 mm from the neck's top to its crown."""


def frame_of(up: Float[Tensor, "*batch 3"], left: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Columns forward, left and up; `up` is kept, `left` is made perpendicular to it."""
    up = torch.nn.functional.normalize(up, dim=-1)
    forward = torch.nn.functional.normalize(torch.linalg.cross(left, up), dim=-1)
    return torch.stack([forward, torch.linalg.cross(up, forward), up], dim=-1)


def openpose_body(joints_mm: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch 18 3"]:
    """Place OpenPose's joints on a body given in Human3.6M's."""
    at = {name: joints_mm[..., index, :] for index, name in enumerate(HUMAN36M.names)}
    placed = {name: at[name] for name in LIMBS}
    placed["Neck"] = (at["LShoulder"] + at["RShoulder"]) / 2
    axis = at["Head"] - at["Neck"]
    frame = frame_of(axis, at["LShoulder"] - at["RShoulder"])
    scale = axis.norm(dim=-1, keepdim=True) / 200.0
    for name, offset_mm in FACE_MM.items():
        placed[name] = at["Neck"] + 0.35 * axis + scale * (frame @ joints_mm.new_tensor(offset_mm))
    return torch.stack([placed[name] for name in BODY_18.names], dim=-2)
