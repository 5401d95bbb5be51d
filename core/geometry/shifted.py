"""Triangulation in plain torch, all points at once, on any device: the homogeneous DLT as a shifted 3x3 system.

With `M = [[N, -b], [-b^T, c]]` the sum of the rows' outer products in the scene's frame, the point solves
`(N - l) Y = b` for the smallest eigenvalue l of M, a root of `f(l) = c - b.Y - l`. The quartic `det(N - l) f(l)` has
real roots only, so that Newton's steps from 0, `1 / ((|Y|^2 + 1) / f + trace((N - l)^-1))`, climb to the smallest root
and never cross it. A point is certain where `N - l` is then positive definite by a margin: f falls up to its first pole
and has one root there. The other points are solved again as the reference form does it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from core.geometry import reference
from core.geometry.agreement import triangulate_by_agreement
from core.geometry.dlt import MIN_HOMOGENEOUS, MIN_RELATIVE_GAP, Metric, view_pairs
from core.geometry.projection import SceneFrame, scene_frame
from core.geometry.robust import RobustConfig, RobustTriangulation
from core.typing import Bool, Float, Tensor

MAX_NEWTON_STEPS = 12

MIN_DETERMINANT = {torch.float32: 5e-3, torch.float64: 1e-6}
"""`det(N - l) / trace(N)^3` below which a point is solved again; two cameras reach 5e-3 when 24 degrees apart."""

LAST_STEP = {torch.float32: 3e-4, torch.float64: 1e-8}
"""Newton ends when its next step would move a point by about this squared, relative to its distance."""

_ENTRIES = tuple((i, j) for i in range(4) for j in range(i, 4))
"""Upper triangle of a symmetric 4x4 matrix: the ten planes of a system."""


def dlt(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    weights: Float[Tensor, "*batch V J"] | None,
    metric: Metric,
) -> Float[Tensor, "*batch J 3"]:
    """`core.geometry.triangulation.triangulate_dlt`; the raw metric by the reference form, as it is for comparisons."""
    if metric == "raw":
        return reference.dlt(projections, points_px, weights, metric)
    views = ShiftedSystems.build(projections, points_px)
    if weights is None:
        weights = torch.ones_like(points_px[..., 0])
    return views.solve(weights.movedim(-2, -1)).to(points_px.dtype)


def robust(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    config: RobustConfig,
    visible: Bool[Tensor, "*batch V J"] | None,
) -> RobustTriangulation:
    """`core.geometry.triangulation.triangulate_robust`."""
    if visible is None:
        visible = torch.ones_like(points_px[..., 0], dtype=torch.bool)
    return triangulate_by_agreement(ShiftedSystems.build(projections, points_px), visible, config, points_px.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedSystems:
    """What each view says about each joint: planes of the rows' outer products, in the scene's frame.

    A row is `(x - origin) depth - image`: pixels count from the image of the scene's centre, where rounding is least.

    Attributes:
        planes: Entries of the matrices, 0 where the detection is not finite.
        pixels: Detections from the origin, float64; 0 where not finite.
        depth: Third row of each projection, float64, as are the image rows.
        image: First and second row of each projection, less the origin times the third.
        is_finite: Where detection and projection are finite.
        frame: Frame of the points.
    """

    planes: Float[Tensor, "10 *batch V J"]
    pixels: Float[Tensor, "*batch V J 2"]
    depth: Float[Tensor, "*batch V 4"]
    image: Float[Tensor, "*batch V 2 4"]
    is_finite: Bool[Tensor, "*batch V J"]
    frame: SceneFrame

    @classmethod
    def build(
        cls, projections: Float[Tensor, "*batch V 3 4"], points_px: Float[Tensor, "*batch V J 2"]
    ) -> "ShiftedSystems":
        """Form the rows of every detection and their outer products, in float64 for float64 points, else float32."""
        dtype = torch.float64 if points_px.dtype == torch.float64 else torch.float32
        batch_shape = projections.shape[:-3]
        projections = _without_repeats(projections)
        frame = scene_frame(projections)
        local = frame.localise(projections.double())
        is_finite = points_px.isfinite().all(dim=-1) & local.isfinite().all(dim=-1).all(dim=-1)[..., None]
        local = local.nan_to_num()
        origin = (local[..., :2, 3] / local[..., 2:, 3]).to(dtype).double().nan_to_num(posinf=0.0, neginf=0.0)
        depth = local[..., 2, :]
        image = local[..., :2, :] - origin[..., None] * depth[..., None, :]
        largest = image[..., :3].abs().amax(dim=(-3, -2, -1))[..., None]
        unit = torch.where(largest > 0, 1 / largest, 1.0)
        depth, image = depth * unit[..., None], image * unit[..., None, None]
        pixels = torch.where(is_finite[..., None], points_px.double() - origin[..., None, :], 0.0)
        planes = _outer_products(pixels.to(dtype), depth.to(dtype), image.to(dtype))
        return cls(
            planes=torch.where(is_finite, planes, 0.0),
            pixels=pixels.detach(),
            depth=depth.expand(*batch_shape, *depth.shape[-2:]),
            image=image.expand(*batch_shape, *image.shape[-3:]),
            is_finite=is_finite,
            frame=frame,
        )

    def detach(self) -> "ShiftedSystems":
        """The same, constant to autograd."""
        return replace(self, planes=self.planes.detach())

    def solve(self, weights: Float[Tensor, "*batch J V"]) -> Float[Tensor, "*batch J 3"]:
        """Points from all views, rows times weights; NaN where a view with weight is not finite or too few have any."""
        weights = weights.to(self.planes.dtype).movedim(-1, -2)
        is_live = weights != 0
        is_lost = (is_live & ~(self.is_finite & weights.isfinite())).any(dim=-2)
        weights = torch.where(is_live & ~is_lost[..., None, :], weights, 0.0)
        largest = weights.detach().abs().amax(dim=-2, keepdim=True)
        weights = weights / torch.where(largest > 0, largest, 1.0)

        by_joint = weights.detach().movedim(-2, -1)

        def exact(*index: Tensor) -> Float[Tensor, "N 4 4"]:
            return self._exact(index, by_joint[index])

        systems = (self.planes * weights.square()).sum(dim=-2)
        points = _ShiftedSolve.apply(systems, ~is_lost, exact)  # type: ignore[no-untyped-call]
        return self.frame.to_world(points.movedim(0, -1)).to(weights.dtype)

    def solve_pairs(self, is_live: Bool[Tensor, "*batch J V"]) -> Float[Tensor, "*batch J P 3"]:
        """Points from each pair of views, float64; NaN where a view is not live."""
        num_views = self.planes.shape[-2]
        first, second = view_pairs(num_views, self.planes.device)
        is_good = is_live.movedim(-1, -2) & self.is_finite
        members = torch.eye(num_views, dtype=torch.float64, device=first.device)
        members = members[first] + members[second]

        def exact(*index: Tensor) -> Float[Tensor, "N 4 4"]:
            *batch, pair, joint = index
            return self._exact((*batch, joint), members[pair])

        systems = self.planes[..., first, :] + self.planes[..., second, :]
        wanted = is_good[..., first, :] & is_good[..., second, :]
        points = _ShiftedSolve.apply(systems, wanted, exact)  # type: ignore[no-untyped-call]
        points = points.double().movedim(0, -1)
        world = self.frame.to_world(points.flatten(-3, -2)).view_as(points)
        return world.transpose(-3, -2)

    def _exact(self, index: tuple[Tensor, ...], weights: Float[Tensor, "N V"]) -> Float[Tensor, "N 4 4"]:
        """The matrices of single joints, by frame and joint, in float64."""
        pixels = self.pixels.movedim(-3, -2)[index]
        batch = index[:-1]
        rows = pixels[..., None] * self.depth[batch][..., None, :] - self.image[batch]
        is_finite = self.is_finite.movedim(-2, -1)[index]
        rows = rows * torch.where(is_finite, weights.double(), 0.0)[..., None, None]
        rows = rows.flatten(-3, -2)
        return rows.mT @ rows


def _without_repeats(projections: Float[Tensor, "*batch V 3 4"]) -> Float[Tensor, "..."]:
    """A rig that was expanded over frames, once."""
    for axis in range(projections.ndim - 3):
        if projections.stride(axis) == 0 and projections.shape[axis] > 1:
            projections = projections.narrow(axis, 0, 1)
    return projections


def _outer_products(
    pixels: Float[Tensor, "*#batch V J 2"], depth: Float[Tensor, "*#batch V 4"], image: Float[Tensor, "*#batch V 2 4"]
) -> Float[Tensor, "10 *#batch V J"]:
    """Sum of `r r^T` over both rows of each detection."""
    rows = [[pixels[..., i] * depth[..., None, k] - image[..., i, None, k] for k in range(4)] for i in range(2)]
    return torch.stack([rows[0][i] * rows[0][j] + rows[1][i] * rows[1][j] for i, j in _ENTRIES])


class _ShiftedSolve(torch.autograd.Function):
    """Points of the scene's frame from systems; NaN, with zero gradient, where there is none.

    Args of `forward`: planes of the systems, where a point is wanted, and the float64 matrices of any points by index.
    """

    @staticmethod
    def forward(
        ctx: Any,
        systems: Float[Tensor, "10 *batch"],
        wanted: Bool[Tensor, "*batch"],
        exact: Callable[..., Float[Tensor, "N 4 4"]],
    ) -> Float[Tensor, "3 *batch"]:
        points, inverse, is_certain = _newton(systems, wanted)
        is_found = is_certain.clone()
        index = (wanted & ~is_certain).nonzero(as_tuple=True)
        if len(index[0]):
            exact_points, exact_inverse, is_determined = _by_eigenvectors(exact(*index))
            points.movedim(0, -1)[index] = exact_points.to(points.dtype)
            inverse.movedim(0, -1)[index] = exact_inverse.to(points.dtype)
            is_found[index] = is_determined
        ctx.save_for_backward(points, inverse, is_found)
        return torch.where(is_found, points, torch.nan)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, "3 *batch"]) -> tuple[Tensor | None, ...]:
        points, inverse, is_found = ctx.saved_tensors
        pull = _times(inverse, gradient)
        along = (pull * points).sum(dim=0) / (points.square().sum(dim=0) + 1)
        pull = torch.cat([pull - along * points, -along[None]])
        point = torch.cat([points, torch.ones_like(along)[None]])
        planes = [pull[i] * point[j] + (pull[j] * point[i] if i != j else 0) for i, j in _ENTRIES]
        return torch.where(is_found, -torch.stack(planes), 0.0), None, None


def _newton(
    systems: Float[Tensor, "10 *batch"], wanted: Bool[Tensor, "*batch"]
) -> tuple[Float[Tensor, "3 *batch"], Float[Tensor, "6 *batch"], Bool[Tensor, "*batch"]]:
    """Points, inverses of `N - l` and which are certain."""
    xx, xy, xz, bx, yy, yz, by, zz, bz, c = systems.unbind()
    b = -torch.stack([bx, by, bz])
    trace = xx + yy + zz
    shift = torch.zeros_like(c)
    is_moving = wanted
    for _ in range(MAX_NEWTON_STEPS):
        inverse, _, _ = _inverse((xx - shift, xy, xz, yy - shift, yz, zz - shift))
        points = _times(inverse, b)
        f = c - (b * points).sum(dim=0) - shift
        stretch = inverse[0] + inverse[3] + inverse[5]
        step = (f / (points.square().sum(dim=0) + 1 + f * stretch)).clamp(min=0)
        shift = torch.where(is_moving, shift + step, shift)
        is_moving = is_moving & (step * stretch > LAST_STEP[c.dtype])
        if not bool(is_moving.any()):
            break
    inverse, determinant, is_positive = _inverse((xx - shift, xy, xz, yy - shift, yz, zz - shift))
    is_certain = wanted & ~is_moving & is_positive & (determinant > MIN_DETERMINANT[c.dtype] * trace**3)
    return _times(inverse, b), inverse, is_certain


def _inverse(
    entries: tuple[Tensor, ...],
) -> tuple[Float[Tensor, "6 *batch"], Float[Tensor, "*batch"], Bool[Tensor, "*batch"]]:
    """Inverses of symmetric 3x3 matrices, their determinants, and which are positive definite."""
    xx, xy, xz, yy, yz, zz = entries
    minors = (
        *(yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy),
        *(xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy),
    )
    adjugate = torch.stack(minors)
    determinant = xx * adjugate[0] + xy * adjugate[1] + xz * adjugate[2]
    return adjugate / determinant, determinant, (xx > 0) & (adjugate[5] > 0) & (determinant > 0)


def _times(symmetric: Float[Tensor, "6 *batch"], vector: Float[Tensor, "3 *batch"]) -> Float[Tensor, "3 *batch"]:
    xx, xy, xz, yy, yz, zz = symmetric.unbind()
    x, y, z = vector.unbind()
    return torch.stack([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z])


def _by_eigenvectors(
    matrices: Float[Tensor, "N 4 4"],
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N 6"], Bool[Tensor, "N"]]:
    """Points by the smallest eigenvector, inverses of `N - l` from the others, and which points exist."""
    is_finite = matrices.isfinite().all(dim=-1).all(dim=-1)
    eye = torch.eye(4, dtype=matrices.dtype, device=matrices.device)
    values, vectors = torch.linalg.eigh(torch.where(is_finite[:, None, None], matrices, eye))
    gaps = values[:, 1:] - values[:, :1]
    last = vectors[:, 3]
    is_found = is_finite & (gaps[:, 0] > MIN_RELATIVE_GAP * values[:, 3]) & (last[:, 0].abs() > MIN_HOMOGENEOUS)
    points = vectors[:, :3, 0] / torch.where(is_found, last[:, 0], 1.0)[:, None]
    others = vectors[:, :3, 1:] - points[..., None] * last[:, None, 1:]
    inverse = (others / torch.where(is_found[:, None], gaps, 1.0)[:, None]) @ others.mT
    upper = [inverse[:, i, j] for i in range(3) for j in range(i, 3)]
    return points, torch.stack(upper, dim=-1), is_found
