"""Bodies: 17 capsules a player between the joints, dressed so that teams and left and right can be told apart.

`L` limbs of one player, always 17.
"""

from dataclasses import dataclass

import torch

from core.typing import Bool, Float, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Limb:
    """One capsule; its ends lie at `start + extent * (end - start)` of two joints, Human3.6M order.

    Args:
        start: Joint at one end.
        end: Joint at the other end.
        radii_mm: At both ends, for a stature of 1.85 m.
        cloth: Names of the garments before and after `split`.
        split: Where along the capsule the second garment begins.
        extent: Ends of the capsule, as fractions of the bone.
        joints: Joints that this limb shows; `None` means its two ends.
    """

    start: int
    end: int
    radii_mm: tuple[float, float]
    cloth: tuple[str, str]
    split: float = 0.5
    extent: tuple[float, float] = (0.0, 1.0)
    joints: tuple[int, ...] | None = None


LIMBS = (
    Limb(start=1, end=4, radii_mm=(112.0, 112.0), cloth=("shorts", "shorts"), extent=(0.1, 0.9), joints=(0, 1, 4)),
    Limb(start=1, end=2, radii_mm=(92.0, 62.0), cloth=("shorts", "skin"), split=0.62),
    Limb(start=4, end=5, radii_mm=(92.0, 62.0), cloth=("shorts", "skin"), split=0.62),
    Limb(start=2, end=3, radii_mm=(60.0, 44.0), cloth=("skin", "sock_right"), split=0.35),
    Limb(start=5, end=6, radii_mm=(60.0, 44.0), cloth=("skin", "sock_left"), split=0.35),
    Limb(start=3, end=3, radii_mm=(48.0, 40.0), cloth=("shoes", "shoes")),
    Limb(start=6, end=6, radii_mm=(48.0, 40.0), cloth=("shoes", "shoes")),
    Limb(start=0, end=7, radii_mm=(116.0, 122.0), cloth=("shorts", "jersey"), split=0.25),
    Limb(start=7, end=8, radii_mm=(122.0, 122.0), cloth=("jersey", "jersey"), extent=(0.0, 0.72), joints=(7, 8)),
    Limb(start=11, end=14, radii_mm=(70.0, 70.0), cloth=("jersey", "jersey"), joints=(8, 11, 14)),
    Limb(start=9, end=10, radii_mm=(92.0, 94.0), cloth=("skin", "hair"), split=0.7, extent=(0.1, 0.62)),
    Limb(start=11, end=12, radii_mm=(58.0, 46.0), cloth=("sleeve_left", "skin"), split=0.55),
    Limb(start=14, end=15, radii_mm=(58.0, 46.0), cloth=("sleeve_right", "skin"), split=0.55),
    Limb(start=12, end=13, radii_mm=(44.0, 36.0), cloth=("skin", "skin")),
    Limb(start=15, end=16, radii_mm=(44.0, 36.0), cloth=("skin", "skin")),
    Limb(start=12, end=13, radii_mm=(50.0, 52.0), cloth=("hand_left", "hand_left"), extent=(1.0, 1.4), joints=(13,)),
    Limb(start=15, end=16, radii_mm=(50.0, 52.0), cloth=("hand_right", "hand_right"), extent=(1.0, 1.4), joints=(16,)),
)
NUM_LIMBS = len(LIMBS)
FEET = (5, 6)
REFERENCE_STATURE_MM = 1850.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsules:
    """Capsules in the world; `C` of them in each of any leading axes.

    Args:
        ends_mm: Centres of the two end spheres.
        radii_mm: Radii of the two end spheres.
    """

    ends_mm: Float[Tensor, "*batch C 2 3"]
    radii_mm: Float[Tensor, "*batch C 2"]


def limb_shows_joint() -> Bool[Tensor, "J L"]:
    """Say which limbs show which joint when they are what the camera sees there."""
    shows = torch.zeros(17, NUM_LIMBS, dtype=torch.bool)
    for index, limb in enumerate(LIMBS):
        for joint in limb.joints or (limb.start, limb.end):
            shows[joint, index] = True
    return shows


def limb_splits() -> Float[Tensor, " L"]:
    """Give where along each limb its second garment begins."""
    return torch.tensor([limb.split for limb in LIMBS])


def build_bodies(joints_mm: Float[Tensor, "T P 17 3"], stature_mm: Float[Tensor, " P"]) -> Capsules:
    """Put the limbs around the joints; thickness grows with stature."""
    extent = torch.tensor([limb.extent for limb in LIMBS]).to(joints_mm)
    start_mm = joints_mm[:, :, [limb.start for limb in LIMBS]]
    bone_mm = joints_mm[:, :, [limb.end for limb in LIMBS]] - start_mm
    ends_mm = start_mm[..., None, :] + bone_mm[..., None, :] * extent[..., None]
    ends_mm[:, :, FEET, 1] += _toes_mm(joints_mm)[:, :, None]
    radii_mm = torch.tensor([limb.radii_mm for limb in LIMBS]).to(joints_mm)
    radii_mm = radii_mm * (stature_mm / REFERENCE_STATURE_MM)[:, None, None]
    return Capsules(ends_mm=ends_mm, radii_mm=radii_mm.expand(joints_mm.shape[0], -1, -1, -1))


def _toes_mm(joints_mm: Tensor) -> Tensor:
    """Give the way from ankle to toes: ahead of the hips, and a little down."""
    leftward = torch.nn.functional.normalize((joints_mm[:, :, 4] - joints_mm[:, :, 1])[..., :2], dim=-1)
    ahead = torch.stack([leftward[..., 1], -leftward[..., 0], torch.full_like(leftward[..., 0], -0.25)], dim=-1)
    return 150.0 * ahead
