"""The z-buffer: many capsules in many crops at once, resolved by one scatter of packed (depth, capsule) keys.

`K` capsules over all crops, `F` fragments (capsule, pixel). Each capsule's bounding window is laid out flat, so the
work is a fixed number of tensor operations however many capsules there are.
"""

from dataclasses import dataclass

import torch

from core.typing import Float, Int, Tensor

DEPTH_STEP_MM = 0.5
NEAREST_MM = 300.0
INDEX_BITS = 24
FAR = torch.iinfo(torch.int64).max
NOTHING = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Discs:
    """Capsules as one camera each sees them: a disc at either end and all between, in crop pixels.

    Args:
        crop: The crop in which the capsule is drawn.
        ends_px: Centres of the discs.
        radii_px: Radii of the discs, by perspective.
        depth_mm: Depths of the centres.
        radii_mm: Radii in the world: how far the surface stands before the axis.
    """

    crop: Int[Tensor, " K"]
    ends_px: Float[Tensor, "K 2 2"]
    radii_px: Float[Tensor, "K 2"]
    depth_mm: Float[Tensor, "K 2"]
    radii_mm: Float[Tensor, "K 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ZBuffer:
    """What is seen at each pixel.

    Args:
        owner: Index of the front-most capsule among the `K`, or `NOTHING`.
        depth_mm: Its depth there; infinite where there is nothing.
    """

    owner: Int[Tensor, "B H W"]
    depth_mm: Float[Tensor, "B H W"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """The capsule surface at some pixels.

    Args:
        along: Position along the capsule's axis, 0 to 1.
        offset: From the axis in units of the radius, x right and y down; below 1 in length inside the outline.
    """

    along: Float[Tensor, " F"]
    offset: Float[Tensor, "F 2"]


def rasterise(discs: Discs, *, num_crops: int, height_px: int, width_px: int) -> ZBuffer:
    """Find the front-most capsule at every pixel of every crop."""
    keys = torch.full((num_crops * height_px * width_px,), FAR, device=discs.crop.device)
    capsule, x_px, y_px = _fragments(discs, height_px, width_px)
    surface = locate(discs, capsule, x_px, y_px)
    inside = ((surface.offset**2).sum(dim=-1) < 1).nonzero()[:, 0]
    capsule, x_px, y_px = capsule[inside], x_px[inside], y_px[inside]
    depth_mm = _depth_mm(discs, capsule, surface.along[inside], surface.offset[inside])
    key = ((depth_mm / DEPTH_STEP_MM).long() << INDEX_BITS) | capsule
    pixel = (discs.crop[capsule] * height_px + y_px) * width_px + x_px
    keys.scatter_reduce_(0, pixel, key, reduce="amin")
    owner = torch.where(keys == FAR, NOTHING, keys & ((1 << INDEX_BITS) - 1))
    depth = torch.where(keys == FAR, torch.inf, (keys >> INDEX_BITS) * DEPTH_STEP_MM)
    shape = (num_crops, height_px, width_px)
    return ZBuffer(owner=owner.view(shape), depth_mm=depth.to(discs.depth_mm.dtype).view(shape))


def locate(discs: Discs, capsule: Int[Tensor, " F"], x_px: Int[Tensor, " F"], y_px: Int[Tensor, " F"]) -> Surface:
    """Find where on the given capsules the given pixels lie (nearest point of the axis in the picture)."""
    axis_px = discs.ends_px[:, 1] - discs.ends_px[:, 0]
    inverse = 1.0 / (axis_px**2).sum(dim=-1).clamp(min=1e-6)
    table = torch.stack(
        [*discs.ends_px[:, 0].T, *axis_px.T, *(axis_px * inverse[:, None]).T, *_start_and_growth(discs.radii_px)]
    )
    start_x, start_y, axis_x, axis_y, scaled_x, scaled_y, radius, growth = table[:, capsule]
    from_x, from_y = x_px - start_x, y_px - start_y
    along = (from_x * scaled_x + from_y * scaled_y).clamp_(0, 1)
    scale = 1.0 / (radius + along * growth)
    offset = torch.stack([(from_x - along * axis_x) * scale, (from_y - along * axis_y) * scale], dim=-1)
    return Surface(along=along, offset=offset)


def _start_and_growth(pair: Tensor) -> tuple[Tensor, Tensor]:
    return pair[:, 0], pair[:, 1] - pair[:, 0]


def _depth_mm(discs: Discs, capsule: Tensor, along: Tensor, offset: Tensor) -> Tensor:
    """Give the depth of the surface: that of the axis (its inverse is linear in the picture) less the bulge."""
    table = torch.stack([*_start_and_growth(1.0 / discs.depth_mm), *_start_and_growth(discs.radii_mm)])
    inverse, inverse_growth, radius_mm, radius_growth = table[:, capsule]
    bulge = (1 - (offset**2).sum(dim=-1)).clamp_(min=0).sqrt_()
    return 1.0 / (inverse + along * inverse_growth) - bulge * (radius_mm + along * radius_growth)


def _fragments(discs: Discs, height_px: int, width_px: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lay out the pixels of every capsule's bounding window: the capsule, x and y of each."""
    edge = torch.tensor([width_px - 1, height_px - 1], device=discs.crop.device)
    low = (discs.ends_px - discs.radii_px[..., None]).amin(dim=1).ceil().clamp(min=0).minimum(edge + 1).int()
    high = (discs.ends_px + discs.radii_px[..., None]).amax(dim=1).floor().clamp(min=-1).minimum(edge).int()
    size = (high - low + 1).clamp(min=0)
    size = torch.where((discs.depth_mm > NEAREST_MM).all(dim=1, keepdim=True), size, 0)
    # Two levels of repeat_interleave (rows, then pixels) instead of a division per pixel.
    num_rows = torch.where(size[:, 0] > 0, size[:, 1], 0)
    capsule_of_row = torch.repeat_interleave(num_rows)
    y_of_row = low[capsule_of_row, 1] + _count_within(num_rows, capsule_of_row)
    width_of_row = size[capsule_of_row, 0]
    row = torch.repeat_interleave(width_of_row)
    x_px = low[:, 0][capsule_of_row][row] + _count_within(width_of_row, row)
    return capsule_of_row[row], x_px, y_of_row[row]


def _count_within(counts: Tensor, group: Tensor) -> Tensor:
    """Number the members of each group from 0, where `group` is `repeat_interleave(counts)`."""
    before = counts.cumsum(dim=0) - counts
    return torch.arange(group.shape[0], device=group.device) - before[group]
