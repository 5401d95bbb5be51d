"""What the GPU kernels read besides the detections: prepared rigs, settings and pairs, as small tensors."""

from dataclasses import dataclass
from functools import cache

import torch

from core.geometry.dlt import view_pairs
from core.geometry.median import SMOOTHING_MM, TOLERANCE_MM
from core.geometry.robust import RobustConfig
from core.geometry.shifted import ShiftedSystems
from core.typing import Float, Int, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class RigTables:
    """Rigs in their scenes' frames, one for each frame of points or one for all.

    Attributes:
        views: Third row of the projection, first and second row less the origin times the third, origin in pixels,
            whether the view is finite, 0. A row of a detection x is `(x - origin) depth - image`.
        frames: Scale in mm, centre in mm, what its rounding left of the centre, 0.
    """

    views: Float[Tensor, "R V 16"]
    frames: Float[Tensor, "R 8"]

    @classmethod
    def of(cls, projections: Float[Tensor, "F V 3 4"], dtype: torch.dtype) -> "RigTables":
        """Prepare rigs as the torch form does: they are what it makes of a detection at the pixel (0, 0)."""
        rigs = projections.detach()
        if rigs.stride(0) == 0:
            rigs = rigs[:1]
        systems = ShiftedSystems.build(rigs, rigs.new_zeros(*rigs.shape[:2], 1, 2, dtype=dtype))
        is_finite = systems.is_finite.double()
        views = [systems.depth, systems.image.flatten(-2), -systems.pixels[..., 0, :], is_finite, 0 * is_finite]
        centre, scale = systems.frame.centre, systems.frame.scale[:, None]
        rest = centre - centre.to(dtype)
        return cls(
            views=torch.cat(views, dim=-1).to(dtype),
            frames=torch.cat([scale, centre, rest, 0 * scale], dim=-1).to(dtype),
        )

    @property
    def step(self) -> int:
        """From one frame's rig to the next one's."""
        return int(len(self.views) > 1)


FINEST = {torch.float32: 1e-7, torch.float64: 0.0}
"""Rounding of a point, relative to the size of the scene: a geometric median that moves no farther has come to rest."""


@cache
def settings(config: RobustConfig, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "6"]:
    """Give what `agreement_kernel` reads of the settings, in its order."""
    threshold_mm = torch.inf if config.wss is None else config.wss.threshold_rms_mm
    median = (TOLERANCE_MM, SMOOTHING_MM, FINEST[dtype])
    return torch.tensor((config.sigma_mm**-2, config.weight_floor, threshold_mm, *median), dtype=dtype, device=device)


@cache
def padded_pairs(num_views: int, device: torch.device) -> Int[Tensor, "2 P"]:
    """Give the first and the second view of every pair, up to a power of two with pairs of a view with itself."""
    pairs = torch.stack(view_pairs(num_views, device)).int()
    size = 1 << (pairs.shape[1] - 1).bit_length()
    return torch.nn.functional.pad(pairs, (0, size - pairs.shape[1])).contiguous()
