"""What a multi-view method sees: synchronised crops with their projections, and box coordinates."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from core.typing import Bool, Float, Int, Tensor, UInt8


@runtime_checkable
class MultiViewData(Protocol):
    """Synchronised crops of people with calibrated cameras and, where labelled, the truth.

    `images` may be memory-mapped; a batch is read when it is indexed.
    """

    @property
    def images(self) -> UInt8[Tensor, "N V 3 H W"]:
        """Crops."""
        ...

    @property
    def projections(self) -> Float[Tensor, "N V 3 4"]:
        """World millimetres to crop pixels."""
        ...

    @property
    def joints_mm(self) -> Float[Tensor, "N J 3"]:
        """True joints in the world."""
        ...

    @property
    def joints_px(self) -> Float[Tensor, "N V J 2"]:
        """Their projections in the crops."""
        ...

    @property
    def visible(self) -> Bool[Tensor, "N V J"]:
        """Joints that the camera sees."""
        ...

    @property
    def inside(self) -> Bool[Tensor, "N V"]:
        """Views whose crop lies inside the image."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiViewBatch:
    """Some sets of a `MultiViewData`, on the device.

    Args:
        images: Crops.
        projections: World millimetres to crop pixels.
        joints_mm: True joints.
        joints_px: Their projections in the crops.
        usable: Views whose crop lies inside the image.
    """

    images: UInt8[Tensor, "B V 3 H W"]
    projections: Float[Tensor, "B V 3 4"]
    joints_mm: Float[Tensor, "B J 3"]
    joints_px: Float[Tensor, "B V J 2"]
    usable: Bool[Tensor, "B V"]


def take(data: MultiViewData, indices: Int[Tensor, " B"], device: str) -> MultiViewBatch:
    """Read the sets at `indices`."""
    return MultiViewBatch(
        images=data.images[indices].to(device),
        projections=data.projections[indices].float().to(device),
        joints_mm=data.joints_mm[indices].float().to(device),
        joints_px=data.joints_px[indices].float().to(device),
        usable=data.inside[indices].to(device),
    )


def box_size(images: UInt8[Tensor, "*batch 3 H W"]) -> Float[Tensor, "2"]:
    """Give a crop's width and height in pixels."""
    return torch.tensor([images.shape[-1], images.shape[-2]], dtype=torch.float32, device=images.device)


def to_box(points_px: Float[Tensor, "*batch 2"], size_px: Float[Tensor, "2"]) -> Float[Tensor, "*batch 2"]:
    """Scale crop pixels to the person box's coordinates: -1 and 1 at the box's edges (Roy et al., sec. 4.2)."""
    return (points_px + 0.5) / size_px * 2 - 1
