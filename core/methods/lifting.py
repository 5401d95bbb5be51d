"""Lifting one view's 2D pose to 3D (Roy et al. 2022, sec. 3.1 and 4.2): Eq. 2 and Eq. 7."""

import torch

from core.typing import Bool, Float, Tensor


def relative_depths_mm(
    projections: Float[Tensor, "*batch V 3 4"], joints_mm: Float[Tensor, "*batch J 3"], root: int
) -> Float[Tensor, "*batch V J"]:
    """Give each joint's depth in each view relative to the root's: d_rel of Eq. 7.

    A projection `K [R | t]` maps to (depth u, depth v, depth), whatever affine crop is absorbed in `K`.
    """
    depths_mm = _depths_mm(projections, joints_mm)
    return depths_mm - depths_mm[..., root : root + 1]


def root_depth_mm(
    projections: Float[Tensor, "*batch V 3 4"], joints_mm: Float[Tensor, "*batch J 3"], root: int
) -> Float[Tensor, "*batch V"]:
    """Give d_root of Eq. 7; at lifting time the paper takes it from the truth (A8)."""
    return _depths_mm(projections, joints_mm)[..., root]


def unproject(
    projections: Float[Tensor, "*batch 3 4"],
    points_px: Float[Tensor, "*batch J 2"],
    depths_mm: Float[Tensor, "*batch J"],
) -> Float[Tensor, "*batch J 3"]:
    """Solve Eq. 7 for the joints in the world, given their pixels and absolute depths (computed in float64)."""
    rays = torch.cat([points_px, torch.ones_like(points_px[..., :1])], dim=-1).double()
    image = rays * depths_mm[..., None].double() - projections[..., None, :, 3].double()
    solution = torch.linalg.solve(projections[..., :3].double(), image.transpose(-1, -2))
    return solution.transpose(-1, -2).to(points_px.dtype)


def lifting_loss(
    predicted_m: Float[Tensor, "B J"], depths_m: Float[Tensor, "B J"], known: Bool[Tensor, "B J"]
) -> Float[Tensor, ""]:
    """Compute Eq. 2: the mean squared error in metres.

    With the detected 2D point and the root's depth fixed, a joint's 3D error is its depth error times the length of its
    ray at unit depth, which is 1 to within a few percent: the error of the depths stands for it.
    """
    error = torch.where(known, predicted_m - depths_m, 0.0)
    return error.square().sum() / known.sum().clamp(min=1)


def _depths_mm(
    projections: Float[Tensor, "*batch V 3 4"], joints_mm: Float[Tensor, "*batch J 3"]
) -> Float[Tensor, "*batch V J"]:
    row = projections[..., 2, :]
    return torch.einsum("...vk,...jk->...vj", row[..., :3], joints_mm) + row[..., 3:]
