"""Projection matrices of a rig: projecting points, and the frame in which the scene is small and central."""

from dataclasses import dataclass

import torch

from core.typing import Float, Tensor

MIN_SCALE_MM = 1_000.0
"""Smallest length of the scene's frame: cameras that (nearly) coincide leave it undetermined."""


def project_points(
    projections: Float[Tensor, "*batch V 3 4"], points_mm: Float[Tensor, "*batch J 3"]
) -> Float[Tensor, "*batch V J 2"]:
    """Project joints into every view by the projection matrices alone (no distortion), in float64.

    A point behind a camera lands where the line through the pinhole meets the image; on its focal plane, and for a NaN
    point, the pixels are NaN and the gradient is zero.
    """
    matrix, points = projections.double(), points_mm.double()
    image = torch.einsum("...vab,...jb->...vja", matrix[..., :3], points) + matrix[..., None, :, 3]
    depth = image[..., 2:]
    is_defined = (depth != 0) & image.isfinite().all(dim=-1, keepdim=True)
    pixels = torch.where(is_defined, image[..., :2], 0.0) / torch.where(is_defined, depth, 1.0)
    return torch.where(is_defined, pixels, torch.nan).to(points_mm.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneFrame:
    """A frame with its origin in the scene and a unit as long as the cameras are far: `X = scale * Y + centre`."""

    centre: Float[Tensor, "*batch 3"]
    scale: Float[Tensor, "*batch"]

    def localise(self, projections: Float[Tensor, "*batch V 3 4"]) -> Float[Tensor, "*batch V 3 4"]:
        """Projections (float64) that take points of this frame, rows scaled to the third one's unit length."""
        linear = projections[..., :3]
        offset = (linear @ self.centre[..., None, :, None])[..., 0] + projections[..., 3]
        local = torch.cat([linear * self.scale[..., None, None, None], offset[..., None]], dim=-1)
        return local / linear[..., 2:, :].norm(dim=-1, keepdim=True)

    def to_world(self, points: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch J 3"]:
        """Points of this frame in the world."""
        return points * self.scale[..., None, None] + self.centre[..., None, :]


@torch.no_grad()
def scene_frame(projections: Float[Tensor, "*batch V 3 4"]) -> SceneFrame:
    """Find where the cameras look, from their centres and optical axes in float64 (a constant to autograd).

    The centre is the point nearest to all optical axes (for parallel axes: nearest to the camera centres); the scale is
    the root mean square distance of the cameras from it. A matrix that is no finite camera's makes the frame NaN.
    """
    matrices = projections.double()
    inverse, info = torch.linalg.inv_ex(matrices[..., :3])
    inverse = torch.where((info == 0)[..., None, None], inverse, torch.nan)
    centres = -(inverse @ matrices[..., 3:])[..., 0]
    axes = torch.nn.functional.normalize(matrices[..., 2, :3], dim=-1)
    eye = torch.eye(3, dtype=torch.float64, device=projections.device)
    across = eye * (1 + 1e-6) - axes[..., :, None] * axes[..., None, :]
    origin = centres.mean(dim=-2)
    offsets = centres - origin[..., None, :]
    shift, _ = torch.linalg.solve_ex(across.sum(dim=-3), (across @ offsets[..., None])[..., 0].sum(dim=-2))
    centre = origin + shift
    distance = (centres - centre[..., None, :]).square().sum(dim=-1).mean(dim=-1).sqrt()
    return SceneFrame(centre=centre, scale=distance.clamp(min=MIN_SCALE_MM))
