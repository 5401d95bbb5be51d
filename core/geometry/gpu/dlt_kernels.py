"""The weighted DLT of a block of points, and its gradient, in Triton.

Tensors are contiguous: points (F, V, J, 2), weights (F, V, J) or `None` for ones, results (F, J, 3), and the state from
the forward to the backward pass (9, F, J), a point in the scene's frame and an inverse. A program takes the points
`BLOCK * program_id` and following of the F x J.
"""

from typing import no_type_check

import triton
import triton.language as tl

from core.geometry.gpu.solver import (
    INFINITY,
    NOT_A_NUMBER,
    SIZES,
    add_detection,
    empty_system,
    load_detection,
    load_row,
    load_vector,
    locate,
    multiply,
    solve,
)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def dlt_forward(
    points,
    weights,
    views,
    frames,
    result,
    state,
    is_open,
    num_points,
    num_joints,
    rig_step,
    NUM_VIEWS: tl.constexpr,
    MIN_DETERMINANT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Triangulate; points that are not certain are NaN and marked as open."""
    point, frame, first, is_inside = locate(num_points, num_joints, NUM_VIEWS, BLOCK)
    rig = views + frame * rig_step * NUM_VIEWS * 16
    largest, num_live, num_bad = survey(points, weights, rig, first, num_joints, is_inside, NUM_VIEWS)
    system = empty_system(largest)
    for view in range(NUM_VIEWS):
        here = rig + 16 * view
        x, y, weight = load_scaled(points, weights, here, first + view * num_joints, largest, is_inside)
        system = add_detection(system, here, x, y, weight, is_inside)
    wanted = is_inside & (num_bad == 0) & (num_live >= 2)
    position, inverse, is_certain = solve(system, wanted, MIN_DETERMINANT)
    tl.store(is_open + point, wanted & (is_certain == 0), mask=is_inside)
    metric = frames + frame * rig_step * 8
    for i in tl.static_range(3):
        y = tl.where(is_certain, position[i], NOT_A_NUMBER)
        tl.store(result + 3 * point + i, to_world(metric, i, y, is_inside), mask=is_inside)
        if state is not None:
            tl.store(state + i * num_points + point, y, mask=is_inside)
    if state is not None:
        for i in tl.static_range(6):
            tl.store(state + (3 + i) * num_points + point, inverse[i], mask=is_inside)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def dlt_backward(
    points,
    weights,
    views,
    frames,
    state,
    gradient,
    to_points,
    to_weights,
    num_points,
    num_joints,
    rig_step,
    NUM_VIEWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Take gradients of points to detections and weights.

    A change of the row r moves the point z = (Y, 1) against the gradient by -((r.z) v + (r.v) z).
    """
    point, frame, first, is_inside = locate(num_points, num_joints, NUM_VIEWS, BLOCK)
    rig = views + frame * rig_step * NUM_VIEWS * 16
    scale = tl.load(frames + frame * rig_step * 8, mask=is_inside, other=0.0)
    z, v, is_found = start_adjoint(state, gradient, scale, num_points, point, is_inside)
    largest, _, _ = survey(points, weights, rig, first, num_joints, is_inside, NUM_VIEWS)
    for view in range(NUM_VIEWS):
        here = rig + 16 * view
        detection = first + view * num_joints
        x, y, weight = load_scaled(points, weights, here, detection, largest, is_inside)
        depth = load_row(here, is_inside)
        depth_z, depth_v = dot(depth, z), dot(depth, v)
        to_weight = tl.zeros_like(x)
        for axis in tl.static_range(2):
            image = load_row(here + 4 + 4 * axis, is_inside)
            row_z = (y if axis else x) * depth_z - dot(image, z)
            row_v = (y if axis else x) * depth_v - dot(image, v)
            to_pixel = -weight * weight * (row_z * depth_v + row_v * depth_z)
            tl.store(to_points + 2 * detection + axis, tl.where(is_found, to_pixel, 0.0), mask=is_inside)
            to_weight -= 2.0 * weight * row_z * row_v
        if to_weights is not None:
            tl.store(to_weights + detection, tl.where(is_found, to_weight / largest, 0.0), mask=is_inside)


@triton.jit
@no_type_check
def load_weight(weights, at, is_inside, like):
    """Load weights, of the type of a tensor."""
    if weights is None:
        return tl.zeros_like(like) + 1.0
    else:
        return tl.load(weights + at, mask=is_inside, other=0.0)


@triton.jit
@no_type_check
def survey(points, weights, rig, first, num_joints, is_inside, NUM_VIEWS: tl.constexpr):
    """Give the largest weight, how many views carry weight, and how many of these are not finite."""
    largest = tl.zeros_like(tl.load(points + 2 * first, mask=is_inside, other=0.0))
    num_live = tl.zeros_like(is_inside.to(tl.int32))
    num_bad = num_live
    for view in range(NUM_VIEWS):
        at = first + view * num_joints
        x, _, is_finite = load_detection(points + 2 * at, rig + 16 * view, is_inside)
        weight = load_weight(weights, at, is_inside, x)
        is_live = weight != 0
        is_good = is_live & is_finite & (tl.abs(weight) < INFINITY)
        num_live += is_live.to(tl.int32)
        num_bad += (is_live & (is_good == 0)).to(tl.int32)
        largest = tl.maximum(largest, tl.where(is_good, tl.abs(weight), 0.0))
    return tl.where(largest > 0, largest, 1.0), num_live, num_bad


@triton.jit
@no_type_check
def load_scaled(points, weights, view, at, largest, is_inside):
    """Load detections and their weights over the largest one; all are 0 where a detection is not finite."""
    x, y, is_finite = load_detection(points + 2 * at, view, is_inside)
    return x, y, tl.where(is_finite, load_weight(weights, at, is_inside, x) / largest, 0.0)


@triton.jit
@no_type_check
def to_world(metric, axis: tl.constexpr, y, is_inside):
    """Take a coordinate to the world. The centre comes in two parts, so that only the result is rounded to its grid."""
    scale = tl.load(metric, mask=is_inside, other=0.0)
    centre = tl.load(metric + 1 + axis, mask=is_inside, other=0.0)
    rest = tl.load(metric + 4 + axis, mask=is_inside, other=0.0)
    return (y * scale + rest) + centre


@triton.jit
@no_type_check
def start_adjoint(state, gradient, scale, num_points, point, is_inside):
    """Give each point z = (Y, 1), what its gradient pulls it by, and whether it was found; nothing pulls a lost one."""
    x, y, zz = load_planes(state, num_points, point, is_inside)
    is_found = is_inside & (tl.abs(x) < INFINITY)
    x, y, zz = tl.where(is_found, x, 0.0), tl.where(is_found, y, 0.0), tl.where(is_found, zz, 0.0)
    a, b, c = load_planes(state + 3 * num_points, num_points, point, is_found)
    d, e, f = load_planes(state + 6 * num_points, num_points, point, is_found)
    gx, gy, gz = load_vector(gradient + 3 * point, is_found)
    vx, vy, vz = multiply((a, b, c, d, e, f), gx * scale, gy * scale, gz * scale)
    along = (vx * x + vy * y + vz * zz) / (x * x + y * y + zz * zz + 1.0)
    v = (vx - along * x, vy - along * y, vz - along * zz, -along)
    return (x, y, zz, tl.zeros_like(x) + 1.0), v, is_found


@triton.jit
@no_type_check
def load_planes(planes, num_points, point, is_inside):
    """Load three numbers that lie in planes."""
    return (
        tl.load(planes + point, mask=is_inside, other=0.0),
        tl.load(planes + num_points + point, mask=is_inside, other=0.0),
        tl.load(planes + 2 * num_points + point, mask=is_inside, other=0.0),
    )


@triton.jit
@no_type_check
def dot(row, vector):
    """Multiply rows and vectors of four."""
    return row[0] * vector[0] + row[1] * vector[1] + row[2] * vector[2] + row[3] * vector[3]
