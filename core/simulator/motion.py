"""How players move: gait, envelopes of basketball actions and smooth noise turned into 17 joints per player."""

import math
from dataclasses import dataclass

import torch

from core.simulator.paths import Paths, walk
from core.simulator.subjects import ANKLE_HEIGHT, Subjects
from core.typing import Float, Tensor

JUMP_MM = 450.0
ACTIONS = ("reach_left", "reach_right", "jump", "crouch", "dribble", "spread")
ACTION_SECONDS = 0.7
ACTION_THRESHOLD = 0.9
"""In standard deviations of smooth noise: each action is on for about a fifth of the time."""
NOISE_SECONDS = 0.5
NOISE_RAD = 0.12
ANGLES = (
    *("hip_left", "hip_right", "splay_left", "splay_right", "knee_left", "knee_right"),
    *("lean", "sway", "twist", "nod", "shake"),
    *("raise_left", "raise_right", "abduct_left", "abduct_right", "turn_left", "turn_right"),
    *("elbow_left", "elbow_right"),
)
Angles = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Several players over time.

    Args:
        joints_mm: World positions in Human3.6M order, z up, the floor at 0.
        ground_mm: Ground position of each player, as a tracker would know it.
        fps: Frames in a second.
    """

    joints_mm: Float[Tensor, "T P J 3"]
    ground_mm: Float[Tensor, "T P 2"]
    fps: float


def simulate_motion(
    subjects: Subjects, num_frames: int, *, fps: float, floor_mm: tuple[float, float], generator: torch.Generator
) -> Motion:
    """Let the subjects play on a floor centred on the origin."""
    num_players = subjects.stature_mm.shape[0]
    paths = walk(num_players, num_frames, fps=fps, floor_mm=floor_mm, generator=generator)
    draw = _SmoothNoise((num_frames, num_players), fps, generator)
    actions = {name: _envelope(draw(ACTION_SECONDS)) for name in ACTIONS}
    angles = _angles(paths, subjects, actions, fps)
    angles = {name: angle + NOISE_RAD * draw(NOISE_SECONDS) for name, angle in angles.items()}
    for side in ("left", "right"):
        angles[f"knee_{side}"] = angles[f"knee_{side}"].clamp(0.05, 2.4)
        angles[f"elbow_{side}"] = angles[f"elbow_{side}"].clamp(0.05, 2.5)
    joints_mm = _pose(subjects, angles, paths.heading_rad)
    ankle_mm = joints_mm[..., [3, 6], 2].amin(dim=-1)
    lift_mm = ANKLE_HEIGHT * subjects.stature_mm - ankle_mm + JUMP_MM * actions["jump"]
    at_mm = torch.cat([paths.position_mm, lift_mm[..., None]], dim=-1)
    return Motion(joints_mm=joints_mm + at_mm[:, :, None], ground_mm=paths.position_mm, fps=fps)


class _SmoothNoise:
    """Draws Gaussian noise of unit variance, smoothed over time by a Gaussian window."""

    def __init__(self, shape: tuple[int, int], fps: float, generator: torch.Generator) -> None:
        self.shape, self.fps, self.generator = shape, fps, generator

    def __call__(self, window_s: float) -> Tensor:
        width = window_s * self.fps
        reach = math.ceil(3 * width)
        window = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / width) ** 2)
        num_frames, num_players = self.shape
        white = torch.randn(num_players, 1, num_frames + 2 * reach, generator=self.generator)
        smooth = torch.nn.functional.conv1d(white, (window / window.norm())[None, None])
        return smooth[:, 0].T


def _envelope(noise: Tensor) -> Tensor:
    """Turn smooth noise into an activity between 0 and 1 that is mostly off."""
    return torch.sigmoid(8.0 * (noise - ACTION_THRESHOLD))


def _angles(paths: Paths, subjects: Subjects, actions: Angles, fps: float) -> Angles:
    """Blend the gait with the actions, in the order in which one overrides the other."""
    angles = _gait(paths, subjects)
    seconds = torch.arange(paths.speed_mm_s.shape[0])[:, None] / fps
    bounce = 0.4 * torch.sin(2 * math.pi * 1.7 * seconds + torch.arange(subjects.stature_mm.shape[0]))
    both = ("left", "right")

    def blend(name: str, activity: Tensor, goal: Tensor | float) -> None:
        angles[name] = angles[name] + activity * (goal - angles[name])

    crouch = torch.maximum(actions["crouch"], 0.5 * actions["spread"])
    blend("lean", crouch, 0.65)
    for side in both:
        blend(f"hip_{side}", crouch, 1.0)
        blend(f"knee_{side}", crouch, 1.4)
        blend(f"splay_{side}", crouch, 0.3)
        blend(f"abduct_{side}", actions["spread"], 1.35)
        blend(f"raise_{side}", actions["spread"], 0.2)
        blend(f"elbow_{side}", actions["spread"], 0.35)
    blend("raise_right", actions["dribble"], 0.45)
    blend("elbow_right", actions["dribble"], 0.9 + bounce)
    for side in both:
        reach = torch.maximum(actions[f"reach_{side}"], 0.8 * actions["jump"])
        blend(f"raise_{side}", reach, 2.6)
        blend(f"elbow_{side}", reach, 0.25)
        blend(f"hip_{side}", actions["jump"], 0.25)
        blend(f"knee_{side}", actions["jump"], 0.45)
    return angles


def _gait(paths: Paths, subjects: Subjects) -> Angles:
    """Give the angles of standing, walking or running, whichever the speed asks for."""
    zero = torch.zeros_like(paths.speed_mm_s)
    step = torch.tanh(paths.speed_mm_s / 1200.0)
    run = torch.tanh((paths.speed_mm_s - 1800.0).clamp(min=0) / 1500.0)
    stride_mm = subjects.stature_mm * (0.75 + 0.55 * run)
    phase = 2 * math.pi * (paths.distance_mm / stride_mm).remainder(1.0) + torch.arange(stride_mm.shape[1])
    angles = dict.fromkeys(ANGLES, zero)
    for side, shift in (("left", 0.0), ("right", math.pi)):
        swing, lift = torch.sin(phase + shift), 0.5 + 0.5 * torch.cos(phase + shift)
        angles[f"hip_{side}"] = 0.08 + step * (0.38 + 0.30 * run) * swing + 0.15 * run
        angles[f"knee_{side}"] = 0.15 + step * (0.75 + 0.75 * run) * lift**1.5
        angles[f"raise_{side}"] = 0.10 - step * (0.35 + 0.45 * run) * swing
        angles[f"elbow_{side}"] = 0.30 + 1.1 * run
        angles[f"abduct_{side}"] = zero + 0.18
        angles[f"splay_{side}"] = zero + 0.06
    angles["lean"] = 0.04 + 0.25 * run
    angles["twist"] = 0.15 * step * torch.sin(phase)
    return angles


def _rotation(axis: str, angle: Tensor) -> Tensor:
    """Give rotation matrices about `x` (forward), `y` (left) or `z` (up)."""
    sin, cos, zero, one = torch.sin(angle), torch.cos(angle), torch.zeros_like(angle), torch.ones_like(angle)
    rows = {
        "x": (one, zero, zero, zero, cos, -sin, zero, sin, cos),
        "y": (cos, zero, sin, zero, one, zero, -sin, zero, cos),
        "z": (cos, -sin, zero, sin, cos, zero, zero, zero, one),
    }[axis]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _pose(subjects: Subjects, angles: Angles, heading_rad: Tensor) -> Tensor:
    """Chain the bones from the pelvis at the origin; bone lengths are untouched by any angle."""
    length = {name: subjects.length_mm(name)[:, None] for name in ("thigh", "shin", "loin", "chest", "neck", "head")}
    side_mm = {name: subjects.length_mm(name)[:, None] for name in ("hip", "shoulder", "upper_arm", "forearm")}
    up, left = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])
    pelvis = torch.zeros(*heading_rad.shape, 3)
    hips = _rotation("z", heading_rad) @ _rotation("x", 0.3 * angles["sway"])
    loin = hips @ _rotation("y", angles["lean"] / 2) @ _rotation("x", angles["sway"] / 2)
    chest = loin @ _rotation("z", angles["twist"]) @ _rotation("y", angles["lean"] / 2)
    head = chest @ _rotation("z", 2 * angles["shake"]) @ _rotation("y", angles["nod"] - angles["lean"] / 2)
    spine = pelvis + loin @ up * length["loin"]
    thorax = spine + chest @ up * length["chest"]
    nose = thorax + head @ torch.tensor([0.4, 0.0, 0.9165]) * length["neck"]
    top = nose + head @ torch.tensor([-0.15, 0.0, 0.9887]) * length["head"]
    limbs = {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        thigh = hips @ _rotation("x", sign * angles[f"splay_{side}"]) @ _rotation("y", -angles[f"hip_{side}"])
        shin = thigh @ _rotation("y", angles[f"knee_{side}"])
        hip = pelvis + hips @ (sign * left) * side_mm["hip"]
        knee = hip - thigh @ up * length["thigh"]
        arm = chest @ _rotation("x", sign * angles[f"abduct_{side}"]) @ _rotation("y", -angles[f"raise_{side}"])
        arm = arm @ _rotation("z", -sign * (0.4 + 2 * angles[f"turn_{side}"]))
        forearm = arm @ _rotation("y", -angles[f"elbow_{side}"])
        shoulder = thorax + chest @ torch.tensor([0.0, sign * 0.95, -0.3122]) * side_mm["shoulder"]
        elbow = shoulder - arm @ up * side_mm["upper_arm"]
        limbs[side] = (hip, knee, knee - shin @ up * length["shin"])
        limbs[f"{side} arm"] = (shoulder, elbow, elbow - forearm @ up * side_mm["forearm"])
    trunk = (spine, thorax, nose, top)
    order = (pelvis, *limbs["right"], *limbs["left"], *trunk, *limbs["left arm"], *limbs["right arm"])
    return torch.stack(order, dim=2)
