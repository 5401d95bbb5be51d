"""Synthetic rigs with the geometry of real ones: Human3.6M's, HumanEva's and Panoptic Studio's cameras.

Human3.6M's and Panoptic's follow their published calibrations (positions, focal lengths, image sizes), turned to z up;
HumanEva's three colour cameras are only like the original: 640 x 480, around the room, people as large in the image.
The world's origin is the middle of the floor. Cameras have no distortion: detections are in undistorted pixels.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch

from core.geometry.camera import Camera
from core.geometry.rig import Rig
from core.typing import Float, Tensor

RigName = Literal["human36m", "humaneva", "panoptic"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RigPlan:
    """Where the cameras of a rig stand.

    Attributes:
        eyes_mm: Centres of the cameras.
        target_mm: Point that all look at, nearly.
        focal_px: Focal length.
        size_px: Width and height of the images.
        floor_mm: Floor that people stay on so that every camera sees them.
        shift_mm: Largest displacement of an eye or a target by the seed, along each axis.
        focal_spread: Largest change of a focal length by the seed, as a fraction of it.
    """

    eyes_mm: tuple[tuple[float, float, float], ...]
    target_mm: tuple[float, float, float]
    focal_px: float
    size_px: tuple[int, int]
    floor_mm: tuple[float, float]
    shift_mm: float = 100.0
    focal_spread: float = 0.003


def _dome() -> tuple[tuple[float, float, float], ...]:
    """31 cameras 2.75 m from a point 1.31 m high, in seven rows, in an order that spreads any first few.

    The first is on the second row; each next one is as far as can be from those before it.
    """
    rows = ((4.0, 5), (-2.0, 5), (14.0, 5), (23.0, 5), (41.0, 5), (48.5, 5), (-12.0, 1))
    eyes = []
    for row, (elevation_deg, count) in enumerate(rows):
        for place in range(count):
            azimuth = 2 * math.pi * (place + 0.37 * row) / count
            elevation = math.radians(elevation_deg)
            across = 2_750.0 * math.cos(elevation)
            height_mm = 1_313.0 + 2_750.0 * math.sin(elevation)
            eyes.append((across * math.cos(azimuth), across * math.sin(azimuth), height_mm))
    order = [0]
    while len(order) < len(eyes):
        rest = [view for view in range(len(eyes)) if view not in order]
        order.append(max(rest, key=lambda view: min(math.dist(eyes[view], eyes[other]) for other in order)))
    return tuple(eyes[view] for view in order)


PLANS: dict[RigName, RigPlan] = {
    "human36m": RigPlan(
        eyes_mm=(
            (1_900.0, 5_000.0, 1_550.0),
            (1_850.0, -5_100.0, 1_590.0),
            (-1_800.0, 5_200.0, 1_500.0),
            (-1_750.0, -3_800.0, 1_580.0),
        ),
        target_mm=(0.0, 100.0, 700.0),
        focal_px=1_147.0,
        size_px=(1_000, 1_000),
        floor_mm=(2_400.0, 2_400.0),
    ),
    "humaneva": RigPlan(
        eyes_mm=((4_200.0, 0.0, 1_500.0), (-2_100.0, 3_600.0, 1_500.0), (-2_100.0, -3_600.0, 1_500.0)),
        target_mm=(0.0, 0.0, 900.0),
        focal_px=790.0,
        size_px=(640, 480),
        floor_mm=(1_400.0, 1_400.0),
    ),
    "panoptic": RigPlan(
        eyes_mm=_dome(),
        target_mm=(0.0, 0.0, 1_250.0),
        focal_px=1_450.0,
        size_px=(1_920, 1_080),
        floor_mm=(1_400.0, 1_400.0),
        focal_spread=0.05,
    ),
}


def make_rig(name: RigName, generator: torch.Generator) -> Rig:
    """Set the cameras up, each eye and its target moved a little by the generator."""
    plan = PLANS[name]
    cameras = []
    for eye_mm in plan.eyes_mm:
        chance = 2 * torch.rand(7, generator=generator, dtype=torch.float64) - 1
        shift_mm, focal_px = plan.shift_mm * chance[:6], plan.focal_px * (1 + plan.focal_spread * float(chance[6]))
        eye = (torch.tensor(eye_mm, dtype=torch.float64) + shift_mm[:3]).tolist()
        target = (torch.tensor(plan.target_mm, dtype=torch.float64) + shift_mm[3:]).tolist()
        cameras.append(Camera.look_at(eye, target, focal_px=focal_px, size_px=plan.size_px))
    return Rig(names=tuple(f"{name}_{view}" for view in range(len(cameras))), cameras=tuple(cameras))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationError:
    """How far the calibration that methods are given is from the true one (standard deviations).

    Attributes:
        rotation_rad: Of a camera's orientation, about each axis.
        translation_mm: Of a camera's centre, along each axis.
    """

    rotation_rad: float = 0.0
    translation_mm: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rotation_rad", "translation_mm"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")


def miscalibrate(
    world_to_camera: Float[Tensor, "V 3 4"], error: CalibrationError, generator: torch.Generator
) -> Float[Tensor, "V 3 4"]:
    """Turn and move every camera by chance; the same generator gives the same directions at every size of the error."""
    num_views = len(world_to_camera)
    turn, move = torch.randn(2, num_views, 3, generator=generator, dtype=torch.float64)
    wrong = torch.linalg.matrix_exp(_cross(error.rotation_rad * turn)) @ world_to_camera[..., :3].double()
    centre = -(world_to_camera[..., :3].mT.double() @ world_to_camera[..., 3:].double())
    offset = -(wrong @ (centre + error.translation_mm * move[..., None]))
    return torch.cat([wrong, offset], dim=-1)


def _cross(vector: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3 3"]:
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
