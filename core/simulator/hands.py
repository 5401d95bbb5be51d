"""Hands: 21 joints at the end of each forearm, whose fingers bend by smooth noise.

Lengths are fractions of the forearm, so that big people have big hands; they never change in a motion. Axis letters
beyond the usual: `N` frames, `K` noises.
"""

import math

import torch

from core.openpose import FINGERS, NUM_HAND_JOINTS
from core.simulator.openpose_body import frame_of
from core.skeleton import HUMAN36M
from core.typing import Float, Tensor

PALM = {"Thumb": 0.14, "Index": 0.37, "Middle": 0.36, "Ring": 0.34, "Pinky": 0.32}
"""From the wrist to each finger's first joint, in forearms (about 265 mm)."""
BONES = {
    "Thumb": (0.17, 0.13, 0.11),
    "Index": (0.17, 0.10, 0.08),
    "Middle": (0.19, 0.12, 0.09),
    "Ring": (0.17, 0.11, 0.09),
    "Pinky": (0.13, 0.08, 0.08),
}
SPREAD_RAD = {"Thumb": 0.75, "Index": 0.22, "Middle": 0.02, "Ring": -0.17, "Pinky": -0.36}
"""Direction of each finger in the palm's plane, towards the thumb's side."""
CURL_RAD = {"Thumb": 0.3, "Index": 0.5, "Middle": 0.55, "Ring": 0.6, "Pinky": 0.6}
"""Mean bend at each joint of a relaxed hand."""
CURL_NOISE_RAD, FIST_NOISE_RAD, WRIST_NOISE_RAD = 0.12, 0.35, 0.3
NOISE_SECONDS = 0.5


def add_hands(joints_mm: Float[Tensor, "N 17 3"], *, fps: float, generator: torch.Generator) -> Float[Tensor, "N 42 3"]:
    """Place the left hand, then the right, on bodies in Human3.6M's joints.

    Args:
        joints_mm: Successive frames.
        fps: Frames in a second; 0 where frames have nothing to do with each other.
        generator: Of the noise that bends fingers and wrists.
    """
    at = {name: joints_mm[..., index, :] for index, name in enumerate(HUMAN36M.names)}
    across = at["LShoulder"] - at["RShoulder"]
    hands = []
    for side, sign in (("L", 1.0), ("R", -1.0)):
        noise = _smooth(3 + len(FINGERS), len(joints_mm), NOISE_SECONDS * fps, generator)
        forearm = at[f"{side}Wrist"] - at[f"{side}Elbow"]
        frame = frame_of(forearm, sign * across)
        frame = frame @ _about(0, WRIST_NOISE_RAD * noise[0]) @ _about(1, WRIST_NOISE_RAD * noise[1])
        local = _fingers(FIST_NOISE_RAD * noise[2], CURL_NOISE_RAD * noise[3:], sign)
        length = forearm.norm(dim=-1)[..., None, None]
        hands.append(at[f"{side}Wrist"][..., None, :] + length * (local @ frame.mT))
    return torch.cat(hands, dim=-2)


def _fingers(fist_rad: Float[Tensor, " N"], curl_rad: Float[Tensor, "5 N"], sign: float) -> Float[Tensor, "N 21 3"]:
    """Joints of a hand whose palm lies across the forward axis; up is along the forearm; the thumb points forward."""
    zero = torch.zeros(*fist_rad.shape, 3)
    joints = [zero]
    for number, finger in enumerate(FINGERS):
        splay = SPREAD_RAD[finger]
        direction = torch.tensor([math.sin(splay), 0.0, math.cos(splay)])
        inward = torch.tensor([0.0, -sign, 0.0])
        place = zero + PALM[finger] * direction
        joints.append(place)
        bend = torch.zeros_like(fist_rad)
        for bone in BONES[finger]:
            step = CURL_RAD[finger] * (1.0 if finger != "Thumb" else 0.6) + fist_rad + curl_rad[number]
            bend = bend + step.clamp(0.0, 1.6)
            place = place + bone * (torch.cos(bend)[..., None] * direction + torch.sin(bend)[..., None] * inward)
            joints.append(place)
    assert len(joints) == NUM_HAND_JOINTS
    return torch.stack(joints, dim=-2)


def _about(axis: int, angle_rad: Float[Tensor, " N"]) -> Float[Tensor, "N 3 3"]:
    """Rotation about one axis of the frame."""
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.eye(3).repeat(*angle_rad.shape, 1, 1)
    matrix[..., first, first] = matrix[..., second, second] = torch.cos(angle_rad)
    matrix[..., second, first] = torch.sin(angle_rad)
    matrix[..., first, second] = -torch.sin(angle_rad)
    return matrix


def _smooth(num_noises: int, num_frames: int, width: float, generator: torch.Generator) -> Float[Tensor, "K N"]:
    """Gaussian noise of unit variance, smoothed over the frames by a Gaussian window."""
    reach = math.ceil(3 * width)
    window = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / max(width, 1e-6)) ** 2)
    white = torch.randn(num_noises, 1, num_frames + 2 * reach, generator=generator)
    return torch.nn.functional.conv1d(white, (window / window.norm())[None, None])[:, 0]
