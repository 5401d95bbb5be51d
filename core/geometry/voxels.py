"""Unprojection: what the views' feature maps hold where the voxels of a grid are seen (Iskakov et al. 2019, sec. 3.2).

Axis letters beyond the usual: `C` channels; `X Y Z` voxels.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from core.typing import Bool, Float, Tensor

OUTSIDE = 3.0
"""A place, in the units of `grid_sample`, at which maps of any size give 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VoxelGrid:
    """A box along the world's axes, cut into voxels.

    Attributes:
        centre_mm: Middle of the box, in the frame of the projections.
        side_mm: Lengths of the box.
        num_voxels: Voxels along each axis.
    """

    centre_mm: Float[Tensor, "*batch 3"]
    side_mm: tuple[float, float, float]
    num_voxels: tuple[int, int, int]

    def __post_init__(self) -> None:
        if min(self.side_mm) <= 0 or min(self.num_voxels) < 1:
            raise ValueError(
                f"a grid needs sides > 0 and at least 1 voxel along each, got {self.side_mm} mm, {self.num_voxels}"
            )

    def offsets_mm(self) -> tuple[Float[Tensor, " X"], Float[Tensor, " Y"], Float[Tensor, " Z"]]:
        """Where the voxels' centres lie along each axis, from the middle of the box."""
        x, y, z = (
            (torch.arange(number, device=self.centre_mm.device, dtype=torch.float64) + 0.5 - number / 2) * side / number
            for side, number in zip(self.side_mm, self.num_voxels, strict=True)
        )
        return x, y, z

    def to_world(self, cells: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch J 3"]:
        """Positions in millimetres of (fractional) cells; cell (0, 0, 0) is the centre of the first voxel."""
        number, side = cells.new_tensor(self.num_voxels), cells.new_tensor(self.side_mm)
        return (cells + 0.5 - number / 2) * side / number + self.centre_mm[..., None, :].to(cells.dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ViewVolumes:
    """Each view's features in the voxels.

    Attributes:
        samples: Feature maps at the voxels' images; 0 where the view does not see the voxel.
        is_seen: Whether a voxel's centre lies before the camera and its image on the image's area.
    """

    samples: Float[Tensor, "*batch V C X Y Z"]
    is_seen: Bool[Tensor, "*batch V X Y Z"]

    def sum(self) -> Float[Tensor, "*batch C X Y Z"]:
        """Sum over the views (Iskakov et al., "sum")."""
        return self.samples.sum(dim=-5)

    def mean(self, weights: Float[Tensor, "*batch V C"] | None = None) -> Float[Tensor, "*batch C X Y Z"]:
        """Mean over the views that see a voxel, of given confidences ("conf."); 0 where none does.

        Args:
            weights: Confidence of each view and channel, >= 0; `None`: all views alike.
        """
        seen = self.is_seen[..., None, :, :, :].to(self.samples.dtype)
        if weights is None:
            return self.samples.sum(dim=-5) / seen.sum(dim=-5).clamp(min=1)
        total = torch.einsum("...vc,...vxyz->...cxyz", weights, seen[..., 0, :, :, :])
        weighted = (self.samples * weights[..., None, None, None]).sum(dim=-5)
        return weighted / torch.where(total > 0, total, 1.0)

    def softmax(self) -> Float[Tensor, "*batch C X Y Z"]:
        """Mean over the views that see a voxel, by the softmax of the samples ("softmax"); 0 where none does."""
        unseen = ~self.is_seen[..., None, :, :, :]
        logits = self.samples.masked_fill(unseen, torch.finfo(self.samples.dtype).min)
        return (logits.softmax(dim=-5) * self.samples).sum(dim=-5)


def unproject(
    features: Float[Tensor, "*batch V C H W"],
    projections: Float[Tensor, "*batch V 3 4"],
    grid: VoxelGrid,
    stride: int = 1,
) -> ViewVolumes:
    """Sample every view's feature map bilinearly at the images of the voxels' centres.

    A cell of the map covers `stride` pixels and its centre is at `(cell + 0.5) * stride - 0.5`, as for `soft_argmax`;
    images within half a cell of the border take the border's value. Differentiable in all tensors. A voxel that is not
    before the camera, and all voxels of a view whose projection is not finite, count as not seen.

    Args:
        features: Heatmaps or features of each view.
        projections: `K [R | t]` of the image (or crop) that the maps cover, with depth positive before the camera.
        grid: The voxels; its centre has the batch axes of the features.
        stride: Pixels per cell.
    """
    *batch, num_views, channels, height, width = features.shape
    x, y, depth = _project_grid(projections, grid, features.dtype)
    is_front = depth > 0
    depth = torch.where(is_front, depth, 1.0)
    places, is_seen = [], is_front
    for image, size in ((x, width), (y, height)):
        # From -1 to 1 over the image's area, whose edges lie half a pixel beyond the first and the last pixels.
        place = (image / depth + 0.5) * (2 / (size * stride)) - 1
        is_seen = is_seen & (place.abs() <= 1)
        places.append(place.clamp(1 / size - 1, 1 - 1 / size))
    grid_places = torch.where(is_seen[..., None], torch.stack(places, dim=-1), OUTSIDE)
    samples = functional.grid_sample(
        features.flatten(0, -4), grid_places.flatten(0, -5).flatten(1, -2)[:, None], align_corners=False
    )
    return ViewVolumes(samples=samples.view(*batch, num_views, channels, *grid.num_voxels), is_seen=is_seen)


def _project_grid(
    projections: Float[Tensor, "*batch V 3 4"], grid: VoxelGrid, dtype: torch.dtype
) -> Float[Tensor, "3 *batch V X Y Z"]:
    """Homogeneous image points: two sums for each voxel, since the grid is the sum of its axes."""
    matrix = projections.double()
    middle = (matrix[..., :3] @ grid.centre_mm.double()[..., None, :, None])[..., 0] + matrix[..., 3]
    matrix, middle = matrix.movedim(-2, 0)[..., None].to(dtype), middle.movedim(-1, 0)[..., None].to(dtype)
    x, y, z = (matrix[..., axis, :] * offset.to(dtype) for axis, offset in enumerate(grid.offsets_mm()))
    return (middle + x)[..., :, None, None] + (y[..., :, None] + z[..., None, :])[..., None, :, :]
