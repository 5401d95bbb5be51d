"""Epipolar geometry of a rig: the fundamental matrix of every pair of views, and how far people are from matching."""

import torch

from core.typing import Float, Tensor


def fundamental_matrices(projections: Float[Tensor, "*batch V 3 4"]) -> Float[Tensor, "*batch V V 3 3"]:
    """Give `F[v, w]` with `x_w^T F[v, w] x_v = 0` for the images `x_v`, `x_w` of one point, for all pairs, in float64.

    An entry is the determinant of two rows of each matrix (Hartley & Zisserman, Eq. 17.3), written as the product of
    two lines in Pluecker coordinates: nothing is inverted, so that any rank-3 matrices will do, affine ones too.
    `F[w, v]` is the transpose of `F[v, w]`; the matrix of a view with itself, or with one of the same centre, is zero
    up to rounding. Each matrix has the scale of its projections. Differentiable.
    """
    lines = _row_lines(projections.double())
    reciprocal = lines[..., [5, 4, 3, 2, 1, 0]] * lines.new_tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])
    return torch.einsum("...vac,...wbc->...vwba", lines, reciprocal)


def _row_lines(projections: Float[Tensor, "*batch V 3 4"]) -> Float[Tensor, "*batch V 3 6"]:
    """Pluecker coordinates (01, 02, 03, 12, 13, 23) of the line in which the planes of the other two rows meet."""
    first, second = projections[..., [1, 2, 0], :], projections[..., [2, 0, 1], :]
    left, right = [0, 0, 0, 1, 1, 2], [1, 2, 3, 2, 3, 3]
    return first[..., left] * second[..., right] - first[..., right] * second[..., left]


@torch.no_grad()
def epipolar_distances(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V P J 2"],
    scores: Float[Tensor, "*batch V P J"],
) -> Float[Tensor, "*batch V P V P"]:
    """Measure how far any two people of different views are from being one (Dong et al. 2019, sec. 3.2).

    For each joint, the mean of its two distances: of either image point from the epipolar line of the other. For two
    people, the mean over joints weighted by the product of both scores, so that a joint counts where both views see it.
    Flattened to `(V P, V P)` it is the matrix that matching across all views takes; `[v, :, w, :]` is that of two
    views. A constant to autograd, as an assignment of people is.

    Args:
        projections: `K [R | t]` per view; maps world millimetres to pixels.
        points_px: Joints of the people in each view, undistorted.
        scores: Confidence per joint, >= 0; 0 where there is none, and for people that fill up the axis. A joint that is
            not finite counts as not there.

    Returns:
        Pixels, in the dtype of the points; infinite where two people share no joint, within a view, and where a
        projection is not finite. Views of one centre have no epipolar lines: what stands there means nothing.
    """
    *batch, num_views, num_people, _, _ = points_px.shape
    first, second = torch.triu_indices(num_views, num_views, 1, device=projections.device)
    matrices = fundamental_matrices(projections)[..., first, second, :, :].movedim((-2, -1), (0, 1)).flatten(2)
    is_there = points_px.isfinite().all(dim=-1) & (scores > 0)
    detections = torch.stack([*points_px.unbind(-1), scores]).where(is_there, 0.0).double()
    left, right = (detections[..., view, :, :].movedim((-2, -1), (1, 2)).flatten(3) for view in (first, second))
    pair_px = _pair_distances(matrices, left, right).movedim((0, 1), (-2, -1))
    pair_px = pair_px.reshape(*batch, len(first), num_people, num_people).to(points_px.dtype)
    distances_px = pair_px.new_full((*batch, num_views, num_views, num_people, num_people), torch.inf)
    distances_px[..., first, second, :, :] = pair_px
    distances_px[..., second, first, :, :] = pair_px.mT
    return distances_px.transpose(-3, -2)


def _pair_distances(
    fundamental: Float[Tensor, "3 3 N"], left: Float[Tensor, "3 P J N"], right: Float[Tensor, "3 Q J N"]
) -> Float[Tensor, "P Q N"]:
    """Mean distances for `N` pairs of views, of detections (x, y, score); `N` is last, where torch is fast.

    `|x'^T F x|` is each of a joint's two distances, times the length of the normal of the line it is measured from.
    """
    (x, y, score), (other_x, other_y, other_score) = left, right
    a, b, c = (row[0] * x + row[1] * y + row[2] for row in fundamental)
    columns = fundamental.transpose(0, 1)[:2]
    other_a, other_b = (column[0] * other_x + column[1] * other_y + column[2] for column in columns)
    residuals = (a[:, None] * other_x).addcmul_(b[:, None], other_y).add_(c[:, None]).abs_()
    factors = _inverse_length(a, b)[:, None] + _inverse_length(other_a, other_b)
    weights = score[:, None] * other_score
    sums, totals = residuals.mul_(factors).mul_(weights).sum(dim=2), weights.sum(dim=2)
    is_measured = (totals > 0) & sums.isfinite()
    return torch.where(is_measured, sums / (2 * torch.where(totals > 0, totals, 1.0)), torch.inf)


def _inverse_length(a: Float[Tensor, "*batch"], b: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """One over the length of a line's normal; 1 at the epipole, which has no line and whose residuals are 0."""
    lengths = torch.hypot(a, b)
    return 1 / torch.where(lengths > 0, lengths, 1.0)
