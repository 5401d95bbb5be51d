"""The linear algebra under triangulation: one symmetric 4x4 matrix for each view, and its smallest eigenvector.

With rows `r = x P3 - P1` and `y P3 - P2` a view's matrix is the sum of `r r^T`. Adding the matrices of a set of views,
each times its squared weight, gives the normal matrix of their direct linear transform (Hartley & Zisserman, sec.
12.2). The solution is its smallest eigenvector; float64 and the scene's frame keep squaring the rows harmless.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import torch
from torch.autograd.function import once_differentiable

from core.geometry.projection import SceneFrame, scene_frame
from core.typing import Bool, Float, Tensor

Metric = Literal["scene", "raw"]
"""Frame in which the homogeneous point has length one: centred in the scene, or the world as it is given."""

MIN_RELATIVE_GAP = 1e-14
"""Gap between the two smallest eigenvalues, relative to the largest, below which a matrix determines no point."""

MIN_HOMOGENEOUS = 1e-12
"""Smallest last coordinate of a point of length one that is not taken for a point at infinity."""


class _SmallestEigenvector(torch.autograd.Function):
    """Eigenvector of the smallest eigenvalue, with a backward that needs no other gap than its own.

    The general backward of `eigh` (and of `svd`) divides by the differences of all eigenvalues, and is NaN where any
    two coincide, though this vector is well defined there.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        gaps = values - values[..., :1]
        is_determined = gaps[..., 1] > MIN_RELATIVE_GAP * values[..., -1]
        ctx.save_for_backward(gaps, vectors, is_determined)
        ctx.mark_non_differentiable(is_determined)
        return vectors[..., 0], is_determined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_vector: Tensor, _: Tensor) -> Tensor:
        gaps, vectors, is_determined = ctx.saved_tensors
        inverse_gaps = torch.where(is_determined[..., None] & (gaps > 0), 1 / gaps, 0.0)
        inverse_gaps[..., 0] = 0
        components = (vectors.mT @ grad_vector[..., None])[..., 0] * inverse_gaps
        change = vectors @ components[..., None]
        outer = change * vectors[..., None, :, 0]
        return -(outer + outer.mT) / 2


def smallest_eigenvector(
    matrix: Float[Tensor, "*batch 4 4"],
) -> tuple[Float[Tensor, "*batch 4"], Bool[Tensor, "*batch"]]:
    """Unit eigenvector of the smallest eigenvalue (any sign), and whether that eigenvalue stands alone.

    Differentiable once; the gradient is zero where the eigenvalue does not stand alone.
    """
    vector, is_determined = _SmallestEigenvector.apply(matrix)  # type: ignore[no-untyped-call]
    return vector, is_determined


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSystems:
    """What each view says about each joint, in float64.

    Attributes:
        matrices: Sum of `r r^T` over the view's two rows; 0 where the detection is not finite.
        is_finite: Where detection and projection are finite.
        frame: Frame of the matrices; `None`: the world's own.
    """

    matrices: Float[Tensor, "*batch J V 4 4"]
    is_finite: Bool[Tensor, "*batch J V"]
    frame: SceneFrame | None

    @classmethod
    def build(
        cls, projections: Float[Tensor, "*batch V 3 4"], points_px: Float[Tensor, "*batch V J 2"], metric: Metric
    ) -> "ViewSystems":
        """Form the rows of every detection and their outer products."""
        matrix, points = projections.double(), points_px.double()
        frame = scene_frame(projections) if metric == "scene" else None
        if frame is not None:
            matrix = frame.localise(matrix)
        is_finite = points.isfinite().all(dim=-1) & matrix.isfinite().all(dim=-1).all(dim=-1)[..., None]
        points = torch.where(is_finite[..., None], points, 0.0)
        matrix = torch.where(matrix.isfinite(), matrix, 0.0)
        rows = points[..., None] * matrix[..., None, 2:, :] - matrix[..., None, :2, :]
        matrices = torch.where(is_finite[..., None, None], rows.mT @ rows, 0.0)
        return cls(matrices=matrices.transpose(-4, -3), is_finite=is_finite.transpose(-2, -1), frame=frame)

    def detach(self) -> "ViewSystems":
        """The same, constant to autograd."""
        return ViewSystems(matrices=self.matrices.detach(), is_finite=self.is_finite, frame=self.frame)

    def solve(self, weights: Float[Tensor, "*batch J V"]) -> Float[Tensor, "*batch J 3"]:
        """Points from all views, rows times weights; NaN where a view with weight is not finite or too few have any."""
        is_live = weights != 0
        is_lost = (is_live & ~(self.is_finite & weights.isfinite())).any(dim=-1)
        weights = torch.where(is_live & ~is_lost[..., None], weights, 0.0)
        largest = weights.detach().abs().amax(dim=-1, keepdim=True)
        squares = (weights / torch.where(largest > 0, largest, 1.0)).square()
        points = _null_points(torch.einsum("...v,...vab->...ab", squares, self.matrices), is_lost)
        return points if self.frame is None else self.frame.to_world(points)

    def solve_pairs(self, is_live: Bool[Tensor, "*batch J V"]) -> Float[Tensor, "*batch J P 3"]:
        """Points from each pair of views (Roy et al., Eq. 4), in `view_pairs` order; NaN where a view is not live."""
        first, second = view_pairs(self.matrices.shape[-3], self.matrices.device)
        is_good = is_live & self.is_finite
        is_lost = ~(is_good[..., first] & is_good[..., second])
        points = _null_points(self.matrices[..., first, :, :] + self.matrices[..., second, :, :], is_lost)
        return points if self.frame is None else self.frame.to_world(points.flatten(-3, -2)).view_as(points)


def view_pairs(num_views: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices of the first and the second view of every pair, in lexical order."""
    first, second = torch.tensor(list(combinations(range(num_views), 2)), device=device).T
    return first, second


def _null_points(matrices: Float[Tensor, "*batch 4 4"], is_lost: Bool[Tensor, "*batch"]) -> Float[Tensor, "*batch 3"]:
    """Points `X` for which `(X, 1)` is the smallest eigenvector; NaN (and zero gradient) where there is none."""
    eye = torch.eye(4, dtype=matrices.dtype, device=matrices.device)
    vectors, is_determined = smallest_eigenvector(torch.where(is_lost[..., None, None], eye, matrices))
    is_found = is_determined & ~is_lost & (vectors[..., 3].abs() > MIN_HOMOGENEOUS)
    last = torch.where(is_found, vectors[..., 3], 1.0)
    return torch.where(is_found[..., None], vectors[..., :3] / last[..., None], torch.nan)
