"""How much each view has to say, by the agreement of the pairs (Roy et al. 2022, Eq. 4 to 6), in Triton.

A program takes a block of points; all pairs of views lie along a second axis, from the systems of the pairs to the
weights, and nothing in between goes through memory.
"""

from typing import no_type_check

import triton
import triton.language as tl

from core.geometry import median
from core.geometry.gpu.solver import (
    INFINITY,
    NOT_A_NUMBER,
    SIZES,
    add_detection,
    empty_system,
    invert,
    load_detection,
    locate,
    multiply,
    solve,
)

MAX_MEDIAN_STEPS = tl.constexpr(median.MAX_STEPS)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def weigh_views(
    points,
    visible,
    views,
    frames,
    settings,
    pairs,
    weights,
    wss_mm,
    is_open,
    num_points,
    num_joints,
    rig_step,
    NUM_VIEWS: tl.constexpr,
    NUM_PAIRS: tl.constexpr,
    MIN_DETERMINANT: tl.constexpr,
    IS_MEAN: tl.constexpr,
    IS_EQUAL_ABOVE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Weigh the views of each point (Eq. 5), and give the pairs' root mean square distance from their centre (Eq. 6).

    Points with a pair that is not certain are marked as open. `NUM_PAIRS` is a power of two; `pairs` holds the first
    and the second view of each pair, twice the same one past the last pair.
    """
    point, frame, first, is_inside = locate(num_points, num_joints, NUM_VIEWS, BLOCK)
    rig = views + frame * rig_step * NUM_VIEWS * 16
    left, right = tl.load(pairs + tl.arange(0, NUM_PAIRS)), tl.load(pairs + NUM_PAIRS + tl.arange(0, NUM_PAIRS))
    wanted = is_inside[:, None] & (left != right)[None, :]
    system, wanted = add_member(None, wanted, points, visible, rig, first, num_joints, left)
    system, wanted = add_member(system, wanted, points, visible, rig, first, num_joints, right)
    position, _, is_valid = solve(system, wanted, MIN_DETERMINANT)
    tl.store(is_open + point, count(wanted & (is_valid == 0)) > 0, mask=is_inside)

    scale = tl.load(frames + frame * rig_step * 8, mask=is_inside, other=1.0)
    square_mm2 = scatter(position, is_valid, settings, scale)
    num_valid = count(is_valid)
    spread_mm = tl.sqrt(tl.sum(square_mm2, axis=1) / tl.maximum(num_valid, 1).to(scale.dtype))
    tl.store(wss_mm + point, tl.where(num_valid > 0, spread_mm, NOT_A_NUMBER), mask=is_inside)

    votes = tl.exp(-tl.load(settings) * square_mm2)
    for view in range(NUM_VIEWS):
        at = first + view * num_joints
        weight = masked_median(votes, is_valid & ((left == view) | (right == view))[None, :], NUM_VIEWS - 1, IS_MEAN)
        weight = tl.maximum(weight, tl.load(settings + 1))
        if IS_EQUAL_ABOVE:
            weight = tl.where((num_valid > 0) & (spread_mm > tl.load(settings + 2)), 1.0, weight)
        tl.store(weights + at, tl.where(load_visible(visible, at, is_inside), weight, 0.0), mask=is_inside)


@triton.jit
@no_type_check
def load_visible(visible, at, is_inside):
    """Load which detections exist."""
    if visible is None:
        return is_inside
    else:
        return tl.load(visible + at, mask=is_inside, other=0) != 0


@triton.jit
@no_type_check
def add_member(system, wanted, points, visible, rig, first, num_joints, view):
    """Add a view to the systems of pairs; a pair is wanted where its views are visible and finite."""
    at = first[:, None] + (view * num_joints)[None, :]
    here = rig[:, None] + (view * 16)[None, :]
    x, y, is_finite = load_detection(points + 2 * at, here, wanted)
    if system is None:
        system = empty_system(x)
    system = add_detection(system, here, x, y, tl.where(wanted, 1.0, 0.0).to(x.dtype), wanted)
    return system, wanted & is_finite & load_visible(visible, at, wanted)


@triton.jit
@no_type_check
def count(mask):
    """Count along the pairs."""
    return tl.sum(mask.to(tl.int32), axis=1)


@triton.jit
@no_type_check
def masked_median(values, is_valid, MOST: tl.constexpr, IS_MEAN: tl.constexpr):
    """Give the median of the valid values along the pairs, at most `MOST`; 0 where there is none.

    Of an even number it is the mean of the two in the middle or the lower one. Climbs from value to value.
    """
    num_valid = count(is_valid)
    lower = tl.min(values, axis=1) - 1.0
    for _ in range((MOST + 1) // 2):
        num_passed = count(is_valid & (values <= lower[:, None]))
        lower = tl.where(num_passed <= (num_valid - 1) // 2, next_above(lower, values, is_valid), lower)
    if IS_MEAN:
        num_passed = count(is_valid & (values <= lower[:, None]))
        upper = tl.where(num_passed <= num_valid // 2, next_above(lower, values, is_valid), lower)
        lower = (lower + upper) * 0.5
    return tl.where(num_valid > 0, lower, 0.0)


@triton.jit
@no_type_check
def next_above(value, values, is_valid):
    """Give the smallest valid value above one."""
    return tl.min(tl.where(is_valid & (values > value[:, None]), values, INFINITY), axis=1)


@triton.jit
@no_type_check
def scatter(position, is_valid, settings, scale):
    """Give the squared distances of the valid points from their geometric median, in mm^2; 0 for the others."""
    x = tl.where(is_valid, position[0], 0.0)
    y = tl.where(is_valid, position[1], 0.0)
    z = tl.where(is_valid, position[2], 0.0)
    tolerance = tl.maximum(tl.load(settings + 3) / scale, tl.load(settings + 5))
    a, b, c = geometric_median(x, y, z, is_valid, tolerance, tl.load(settings + 4) / scale)
    dx, dy, dz = x - a[:, None], y - b[:, None], z - c[:, None]
    return tl.where(is_valid, (dx * dx + dy * dy + dz * dz) * (scale * scale)[:, None], 0.0)


@triton.jit
@no_type_check
def expand(a, b, c, x, y, z, is_valid, smoothing):
    """Expand the sum of distances around a place, as `core.geometry.median` does.

    Gives the sum, Newton's step to its minimum and Weiszfeld's, which stands in where the first does not exist.
    """
    MARGIN: tl.constexpr = 1e-9 if x.dtype == tl.float64 else 1e-6
    dx, dy, dz = x - a[:, None], y - b[:, None], z - c[:, None]
    square = dx * dx + dy * dy + dz * dz + (smoothing * smoothing)[:, None]
    inverse = tl.where(is_valid, 1.0 / tl.sqrt(square), 0.0)
    cube = inverse * inverse * inverse
    cost, stiffness = tl.sum(square * inverse, axis=1), tl.sum(inverse, axis=1)
    stiffness = tl.where(stiffness > 0, stiffness, 1.0)
    px, py, pz = tl.sum(inverse * dx, axis=1), tl.sum(inverse * dy, axis=1), tl.sum(inverse * dz, axis=1)
    most = stiffness * (1.0 + MARGIN)
    hessian, _, is_positive = invert(
        most - tl.sum(cube * dx * dx, axis=1),
        -tl.sum(cube * dx * dy, axis=1),
        -tl.sum(cube * dx * dz, axis=1),
        most - tl.sum(cube * dy * dy, axis=1),
        -tl.sum(cube * dy * dz, axis=1),
        most - tl.sum(cube * dz * dz, axis=1),
    )
    nx, ny, nz = multiply(hessian, px, py, pz)
    wx, wy, wz = px / stiffness, py / stiffness, pz / stiffness
    newton = (tl.where(is_positive, nx, wx), tl.where(is_positive, ny, wy), tl.where(is_positive, nz, wz))
    return cost, newton, (wx, wy, wz)


@triton.jit
@no_type_check
def geometric_median(x, y, z, is_valid, tolerance, smoothing):
    """Find the place with the smallest sum of distances to the valid points, from their mean on.

    Newton's step is tried, then shorter and shorter ones, then Weiszfeld's, which never climbs; a step is taken where
    the sum does not grow. It ends when Newton's step is short: Weiszfeld's also is where the minimum lies almost on a
    point, and still far.
    """
    SLACK: tl.constexpr = 1e-12 if x.dtype == tl.float64 else 1e-6
    SHORTEST: tl.constexpr = 0.01
    share = 1.0 / tl.maximum(count(is_valid), 1).to(x.dtype)
    a, b, c = share * tl.sum(x, axis=1), share * tl.sum(y, axis=1), share * tl.sum(z, axis=1)
    cost, newton, weiszfeld = expand(a, b, c, x, y, z, is_valid, smoothing)
    nx, ny, nz = newton
    wx, wy, wz = weiszfeld
    length = tl.zeros_like(a) + 1.0
    is_moving = (nx * nx + ny * ny + nz * nz > tolerance * tolerance).to(tl.int32)
    num_steps = 0
    while (num_steps < MAX_MEDIAN_STEPS) & (tl.max(is_moving) > 0):
        is_newton = length > SHORTEST
        dx = tl.where(is_newton, length * nx, wx)
        dy = tl.where(is_newton, length * ny, wy)
        dz = tl.where(is_newton, length * nz, wz)
        there, newton, weiszfeld = expand(a + dx, b + dy, c + dz, x, y, z, is_valid, smoothing)
        is_taken = (is_moving != 0) & ((is_newton == 0) | (there <= cost * (1.0 + SLACK)))
        a, b, c = tl.where(is_taken, a + dx, a), tl.where(is_taken, b + dy, b), tl.where(is_taken, c + dz, c)
        nx = tl.where(is_taken, newton[0], nx)
        ny = tl.where(is_taken, newton[1], ny)
        nz = tl.where(is_taken, newton[2], nz)
        wx = tl.where(is_taken, weiszfeld[0], wx)
        wy = tl.where(is_taken, weiszfeld[1], wy)
        wz = tl.where(is_taken, weiszfeld[2], wz)
        cost = tl.where(is_taken, there, cost)
        length = tl.where(is_taken, 1.0, length * 0.25)
        is_moving = tl.where(nx * nx + ny * ny + nz * nz > tolerance * tolerance, is_moving, 0)
        num_steps += 1
    return a, b, c
