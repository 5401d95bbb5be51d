"""Optimal triangulation from two views: the nearest pair of image points that lie on each other's epipolar lines.

Hartley & Sturm 1997 minimise the squared distances of both image points from corrected ones that satisfy the epipolar
constraint, through the roots of a polynomial of degree 6 over the pencil of epipolar lines. Here the same minimum is
found through the multiplier `t` of the constraint. With the singular values `s1 >= |s2|` of the upper left 2x2 block of
F, the sum and the difference of both corrections along each singular direction are uncoupled, and the constraint

    r - t sum_i [ p_i^2 (1 + t s_i / 2) / (1 + t s_i)^2 + q_i^2 (1 - t s_i / 2) / (1 - t s_i)^2 ] = 0

has degree 6 in t too. Its one root in `|t| < 1 / s1`, where the left side falls all the way, is the global minimum
(More 1993, Theorem 3.2, on quadratic problems with one quadratic constraint): no other candidates need be compared,
nothing becomes singular where epipoles lie at infinity (`s = 0`) or points on them, and exact correspondences give
`t = 0` without cancellation.
"""

import torch

from core.geometry.epipolar import fundamental_matrices
from core.geometry.triangulation import triangulate_dlt
from core.typing import Float, Tensor

MAX_STEPS = 100
"""Newton takes 2 to 4 steps; a root at the end of its interval is halved towards."""

NEAR_POLE = 1e-6
"""Distance `1 - |t| s1` below which rounding of t decides the correction along that direction."""


def triangulate_two_views(
    projections: Float[Tensor, "*batch V 3 4"], points_px: Float[Tensor, "*batch V J 2"]
) -> Float[Tensor, "*batch J 3"]:
    """Triangulate joints so that the sum of squared reprojection errors is smallest (Hartley & Sturm 1997).

    The points are corrected, after which all linear methods agree, and `triangulate_dlt` intersects their rays: a joint
    that it loses, or one with a NaN, comes back NaN without gradient, alone. Gradients are exact for the points;
    through the correction the projections are constants.

    Args:
        projections: `K [R | t]` of the two views; maps world millimetres to pixels.
        points_px: Detected joints in the same pixels, undistorted. Both views count alike: there are no weights.

    Raises:
        ValueError: Other than two views, or shapes that do not fit.
    """
    if projections.shape[-3] != 2:
        raise ValueError(f"two-view triangulation needs exactly 2 views, got {projections.shape[-3]}")
    fundamental = fundamental_matrices(projections.detach())[..., 0, 1, :, :]
    return triangulate_dlt(projections, correct_points(fundamental, points_px))


def correct_points(
    fundamental: Float[Tensor, "*#batch 3 3"], points_px: Float[Tensor, "*batch 2 J 2"]
) -> Float[Tensor, "*batch 2 J 2"]:
    """Move image points by the smallest sum of squares to where `x_2^T F x_1 = 0` (Hartley & Sturm 1997).

    Computed in float64. Differentiable once, in the points; F is a constant. A point of which either image is not
    finite comes back NaN in both, with zero gradient. Where several corrections are equally short, any of them.

    Args:
        fundamental: `fundamental_matrices(...)[v, w]` of the two views, of any scale; one for each frame, or one that
            broadcasts. Zero corrects nothing.
        points_px: Images of the points in the first and in the second view.
    """
    fundamental = fundamental[(None,) * (points_px.ndim - 1 - fundamental.ndim)].detach()
    is_finite = points_px.isfinite().all(dim=-1).all(dim=-2)
    is_finite = is_finite & fundamental.isfinite().all(dim=-1).all(dim=-1)[..., None]
    points = torch.where(is_finite[..., None, :, None], points_px, 0.0).double()
    matrix = torch.where(fundamental.isfinite(), fundamental, 0.0).double()
    shifts = _shortest_shifts(matrix, points.movedim((-3, -1), (0, 1)))
    corrected = points + shifts.movedim((0, 1), (-3, -1))
    return torch.where(is_finite[..., None, :, None], corrected, torch.nan).to(points_px.dtype)


def _shortest_shifts(
    fundamental: Float[Tensor, "*#batch 3 3"], points: Float[Tensor, "2 2 *batch J"]
) -> Float[Tensor, "2 2 *batch J"]:
    """Corrections of finite points, whose first axes are view and coordinate.

    Along the singular directions of the upper left block, turned to in both views, the constraint has no products of
    different coordinates; of the sum and the difference of the views' corrections, over the root of 2, only squares.
    """
    size = fundamental.square().sum(dim=(-2, -1), keepdim=True).sqrt()
    matrix = (fundamental / torch.where(size > 0, size, 1.0)).movedim((-2, -1), (0, 1))[..., None]
    left_angle, values, right_angle = _singular_directions(matrix[:2, :2])
    first, second = _turn(points[0], -right_angle), _turn(points[1], -left_angle)
    row, column = _turn(matrix[2, :2], -right_angle), _turn(matrix[:2, 2], -left_angle)
    to_first, to_second = values * second + row, values * first + column
    shifts = _nearest_on_quadric(
        torch.cat([values, -values]),
        torch.cat([to_first + to_second, to_first - to_second]) * 0.5**0.5,
        (second * to_second + row * first).sum(dim=0) + matrix[2, 2],
    )
    sums, differences = shifts[:2] * 0.5**0.5, shifts[2:] * 0.5**0.5
    return torch.stack([_turn(sums + differences, right_angle), _turn(sums - differences, left_angle)])


def _singular_directions(
    matrix: Float[Tensor, "2 2 *batch"],
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "2 *batch"], Float[Tensor, "*batch"]]:
    """Angles and values of `R(left) diag(values) R(right)^T`; rotations both, so that the second value has a sign."""
    (a, b), (c, d) = matrix
    turn_rad, mirror_rad = torch.atan2(c - b, a + d), torch.atan2(c + b, a - d)
    turn, mirror = torch.hypot(c - b, a + d) / 2, torch.hypot(c + b, a - d) / 2
    return (mirror_rad + turn_rad) / 2, torch.stack([turn + mirror, turn - mirror]), (mirror_rad - turn_rad) / 2


def _turn(points: Float[Tensor, "2 *batch"], angle_rad: Float[Tensor, "*#batch"]) -> Float[Tensor, "2 *batch"]:
    """Rotate by an angle."""
    (x, y), cosine, sine = points, angle_rad.cos(), angle_rad.sin()
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y])


def _nearest_on_quadric(
    curvatures: Float[Tensor, "4 *#batch"], slopes: Float[Tensor, "4 *batch"], residual: Float[Tensor, "*batch"]
) -> Float[Tensor, "4 *batch"]:
    """Shortest `w` with `residual + slopes w + curvatures w^2 / 2 = 0`: `w = -t slopes / (1 + t curvatures)`.

    Solved for `t >= 0`; where the residual is negative, all of the equation is taken the other way round.
    """
    sign = torch.where(residual < 0, -1.0, 1.0)
    e = (curvatures * sign).flatten(1)
    g, r = slopes.flatten(1), (residual * sign).flatten()
    with torch.no_grad():
        t = _multiplier(e, g.square(), r)
        steepness = _constraint(t, e, g.square(), r)[1]
        is_at_end = 1 - t * e.abs().amax(dim=0) <= NEAR_POLE
        steepness = torch.where(is_at_end | (steepness == 0), torch.inf, steepness)
    t = t + _constraint(t, e, g.square(), r)[0] / steepness
    shifts = -t * g / (1 + t * e)
    if bool(is_at_end.any()):
        at_end = is_at_end.nonzero()[:, 0]
        completed = _complete(shifts[:, at_end], e[:, at_end], g[:, at_end], r[at_end])
        shifts = shifts.index_copy(1, at_end, completed)
    return shifts.view_as(slopes) * sign


def _complete(
    shifts: Float[Tensor, "4 M"], e: Float[Tensor, "4 M"], g: Float[Tensor, "4 M"], r: Float[Tensor, "M"]
) -> Float[Tensor, "4 M"]:
    """Solve the constraint for the coordinate of the most negative curvature, the others given (More's hard case)."""
    row = e.argmin(dim=0, keepdim=True)
    rest = (r + (e * shifts.square() / 2 + g * shifts).scatter(0, row, 0.0).sum(dim=0)).clamp(min=0)
    curvature, slope = -e.gather(0, row), g.gather(0, row)
    root = (slope.square() + 2 * curvature * rest).clamp(min=torch.finfo(g.dtype).tiny).sqrt()
    return shifts.scatter(0, row, -2 * rest * torch.where(slope < 0, -1.0, 1.0) / (slope.abs() + root))


def _multiplier(e: Float[Tensor, "4 N"], squares: Float[Tensor, "4 N"], r: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
    """The root in [0, 1 / max |e|) by Newton's method, halving where it leaves the bracket; converged ones rest.

    Where there is no root before the pole itself, the end of the interval.
    """
    t = torch.zeros_like(r)
    low, high = torch.zeros_like(r), (1 - 1e-12) / e.abs().amax(dim=0)
    found, active = t.clone(), torch.arange(len(r), device=r.device)
    for _ in range(MAX_STEPS):
        value, slope = _constraint(t, e, squares, r)
        low, high = torch.where(value > 0, t, low), torch.where(value > 0, high, t)
        moved = t + value / slope
        moved = torch.where((moved > low) & (moved < high), moved, (low + high) / 2)
        moved = torch.where(value == 0, t, moved)
        is_moving = (moved - t).abs() > 1e-8 * moved * (1 - moved * e.abs().amax(dim=0))
        t = moved
        num_moving = int(is_moving.sum())
        if 2 * num_moving <= len(active):
            found[active] = t
            if num_moving == 0:
                break
            e, squares = e[:, is_moving], squares[:, is_moving]
            r, t, low, high, active = r[is_moving], t[is_moving], low[is_moving], high[is_moving], active[is_moving]
    else:
        found[active] = t
    return found


def _constraint(
    t: Float[Tensor, "N"], e: Float[Tensor, "4 N"], squares: Float[Tensor, "4 N"], r: Float[Tensor, "N"]
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """Left side of the constraint, and minus its derivative."""
    inverse = 1 / (1 + t * e)
    scaled = squares * inverse
    return r - t / 2 * (scaled + scaled * inverse).sum(dim=0), (scaled * inverse.square()).sum(dim=0)
