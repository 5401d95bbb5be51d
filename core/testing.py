"""Small exact scenes for tests and benchmarks, of this project and of its users."""

from dataclasses import dataclass

import torch

from core.geometry.projection import project_points
from core.geometry.rig import projections, ring_rig
from core.typing import Float, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Joints and their exact images.

    Attributes:
        projections: `K [R | t]` of each view.
        points_px: Images of the joints, without noise or distortion.
        joints_mm: The joints in the world.
    """

    projections: Float[Tensor, "*batch V 3 4"]
    points_px: Float[Tensor, "*batch V J 2"]
    joints_mm: Float[Tensor, "*batch J 3"]


def ring_scene(
    num_views: int,
    num_joints: int,
    generator: torch.Generator | None = None,
    *,
    batch: int | None = None,
    radius_mm: float = 5_000.0,
    dtype: torch.dtype = torch.float64,
) -> Scene:
    """Make joints spread over a cube of 2 m in the middle of a ring of cameras.

    Args:
        num_views: Cameras on the ring.
        num_joints: Joints, uniform in the cube.
        generator: Source of the joints; `None`: always the same ones.
        batch: Number of frames; `None`: one frame without a batch axis.
        radius_mm: Radius of the ring.
        dtype: Of all tensors; the images are computed in float64.
    """
    generator = generator or torch.Generator().manual_seed(0)
    leading = () if batch is None else (batch,)
    cube = torch.rand(*leading, num_joints, 3, generator=generator, dtype=torch.float64) - 0.5
    joints_mm = 2_000.0 * cube + torch.tensor([0.0, 0.0, 1_000.0], dtype=torch.float64)
    matrices = projections(ring_rig(num_views, radius_mm=radius_mm)).expand(*leading, num_views, 3, 4)
    return Scene(
        projections=matrices.to(dtype),
        points_px=project_points(matrices, joints_mm).to(dtype),
        joints_mm=joints_mm.to(dtype),
    )
