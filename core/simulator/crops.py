"""Crops: the box of a player's cylinder in a picture, and the projection matrix that has crop and resize in it."""

from dataclasses import dataclass

import torch

from core.typing import Bool, Float, Tensor

CYLINDER_HEIGHT_MM, CYLINDER_RADIUS_MM = 2150.0, 450.0
NUM_RIM_POINTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Crops:
    """Where players are cut out.

    Args:
        image_to_crop: Affine map from picture pixels to crop pixels, homogeneous.
        projections: From world millimetres to crop pixels.
        inside: Whether the box of the cylinder lies wholly in the picture, in front of the camera.
    """

    image_to_crop: Float[Tensor, "*batch 3 3"]
    projections: Float[Tensor, "*batch 3 4"]
    inside: Bool[Tensor, "*batch"]

    def __getitem__(self, part: slice) -> "Crops":
        return Crops(
            image_to_crop=self.image_to_crop[part], projections=self.projections[part], inside=self.inside[part]
        )


def project(
    projections: Float[Tensor, "*batch 3 4"], points_mm: Float[Tensor, "*batch N 3"]
) -> Float[Tensor, "*batch N 3"]:
    """Give x and y in pixels and the depth in millimetres (third row of `projections` of unit length)."""
    seen = points_mm @ projections[..., :3].transpose(-1, -2) + projections[..., None, :, 3]
    return torch.cat([seen[..., :2] / seen[..., 2:], seen[..., 2:]], dim=-1)


def cylinder_box(
    projections: Float[Tensor, "*batch 3 4"], ground_mm: Float[Tensor, "*batch 2"]
) -> Float[Tensor, "*batch 5"]:
    """Bound the projected cylinder at `ground_mm`: left, top, right, bottom in pixels, and its least depth in mm."""
    turn = torch.arange(NUM_RIM_POINTS).to(ground_mm) * (2 * torch.pi / NUM_RIM_POINTS)
    rim_mm = CYLINDER_RADIUS_MM * torch.stack([turn.cos(), turn.sin()], dim=-1) + ground_mm[..., None, :]
    low_mm = torch.nn.functional.pad(rim_mm, (0, 1))
    high_mm = torch.nn.functional.pad(rim_mm, (0, 1), value=CYLINDER_HEIGHT_MM)
    seen = project(projections, torch.cat([low_mm, high_mm], dim=-2))
    low, high = seen.amin(dim=-2), seen.amax(dim=-2)
    return torch.cat([low[..., :2], high[..., :2], low[..., 2:]], dim=-1)


def crop_players(
    projections: Float[Tensor, "*batch 3 4"],
    ground_mm: Float[Tensor, "*batch 2"],
    *,
    image_size_px: tuple[int, int],
    height_px: int,
    width_px: int,
) -> Crops:
    """Cut out the cylinder at the known ground position, widened about its centre to the crop's aspect.

    Pixel (0, 0) is the centre of the top-left pixel, in the picture and in the crop.

    Args:
        projections: From world millimetres to the picture's pixels.
        ground_mm: Where the player stands.
        image_size_px: Width and height of the picture.
        height_px: Of the crop.
        width_px: Of the crop.
    """
    box = cylinder_box(projections, ground_mm)
    left, top, right, bottom, nearest_mm = box.unbind(dim=-1)
    scale = torch.minimum(height_px / (bottom - top), width_px / (right - left))
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    shift_x = (width_px - 1) / 2 - scale * (left + right) / 2
    shift_y = (height_px - 1) / 2 - scale * (top + bottom) / 2
    rows = (scale, zero, shift_x, zero, scale, shift_y, zero, zero, one)
    image_to_crop = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
    width, height = image_size_px
    inside = (left >= -0.5) & (top >= -0.5) & (right <= width - 0.5) & (bottom <= height - 0.5) & (nearest_mm > 0)
    return Crops(image_to_crop=image_to_crop, projections=image_to_crop @ projections, inside=inside)
