"""Which joints a person's own body hides: capsules of the simulated players' size, tested in the image.

`N` frames, `V` views, `J` joints, `C` capsules.
"""

from dataclasses import dataclass

import torch

from core.simulator.body import LIMBS, REFERENCE_STATURE_MM
from core.typing import Bool, Float, Tensor

MARGIN_MM = 50.0
"""A capsule hides a joint only if its axis is nearer to the camera by this much, so that no limb hides its own ends."""
_SOLID = tuple(limb for limb in LIMBS if limb.start != limb.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsules:
    """Capsules of one body in every frame.

    Attributes:
        starts_mm: One end of each axis.
        ends_mm: The other.
        radii_mm: Mean of the radii at both ends.
    """

    starts_mm: Float[Tensor, "N C 3"]
    ends_mm: Float[Tensor, "N C 3"]
    radii_mm: Float[Tensor, " C"]


def body_capsules(joints_mm: Float[Tensor, "N 17 3"], stature_mm: float = REFERENCE_STATURE_MM) -> Capsules:
    """Wrap a body in capsules; joints in Human3.6M order."""
    starts = joints_mm[:, [limb.start for limb in _SOLID]]
    along = joints_mm[:, [limb.end for limb in _SOLID]] - starts
    extents = joints_mm.new_tensor([limb.extent for limb in _SOLID])
    radii = joints_mm.new_tensor([limb.radii_mm for limb in _SOLID]).mean(dim=1)
    return Capsules(
        starts_mm=starts + along * extents[:, :1],
        ends_mm=starts + along * extents[:, 1:],
        radii_mm=radii * (stature_mm / REFERENCE_STATURE_MM),
    )


def hidden_by(
    capsules: Capsules, points_mm: Float[Tensor, "N J 3"], projections: Float[Tensor, "V 3 4"]
) -> Bool[Tensor, "N V J"]:
    """Whether a capsule covers a point in the image and lies before it.

    The projections' third rows have unit length, as those of `K [R | t]` do. A capsule's outline is taken as its axis'
    projection widened by the radius at the depth of the nearest point.
    """
    focal_px = focal_lengths_px(projections)
    start_px, start_mm = _project(projections, capsules.starts_mm)
    end_px, end_mm = _project(projections, capsules.ends_mm)
    points_px, depth_mm = _project(projections, points_mm)
    along_px, along_mm = end_px - start_px, end_mm - start_mm
    inverse = 1.0 / along_px.square().sum(dim=-1).clamp(min=1e-6)
    hidden = torch.zeros(depth_mm.shape, dtype=torch.bool)
    for number, radius_mm in enumerate(capsules.radii_mm.tolist()):
        of = (..., slice(number, number + 1))
        across = points_px - start_px[..., number : number + 1, :]
        axis = along_px[..., number : number + 1, :]
        at = ((across * axis).sum(dim=-1) * inverse[of]).clamp(0.0, 1.0)
        away = (across - at[..., None] * axis).square().sum(dim=-1)
        near_mm = start_mm[of] + at * along_mm[of]
        covers = away * near_mm.square() < (radius_mm * focal_px[:, None]).square()
        hidden |= covers & (near_mm < depth_mm - MARGIN_MM)
    return hidden


def focal_lengths_px(projections: Float[Tensor, "V 3 4"]) -> Float[Tensor, " V"]:
    """Horizontal focal length of each view: the first row across the optical axis."""
    first, axis = projections[:, 0, :3], projections[:, 2, :3]
    return (first - (first * axis).sum(dim=-1, keepdim=True) * axis).norm(dim=-1)


def _project(
    projections: Float[Tensor, "V 3 4"], points_mm: Float[Tensor, "N K 3"]
) -> tuple[Float[Tensor, "N V K 2"], Float[Tensor, "N V K"]]:
    image = torch.einsum("vab,nkb->nvka", projections[..., :3], points_mm) + projections[:, None, :, 3]
    depth = image[..., 2]
    return image[..., :2] / torch.where(depth > 1.0, depth, 1.0)[..., None], depth
