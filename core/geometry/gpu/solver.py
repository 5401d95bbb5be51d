"""The homogeneous DLT as a shifted 3x3 system, in Triton: what the kernels of this package share.

Formulation, step length and the test for certainty are those of `core.geometry.shifted`. Everything here works element
by element, on tensors of any shape. A system is a tuple of ten, the upper triangle of N (xx, xy, xz, yy, yz, zz), b and
c. A view is sixteen numbers in memory, see `core.geometry.gpu.rig`.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl

from core.geometry import shifted

MAX_NEWTON_STEPS = tl.constexpr(shifted.MAX_NEWTON_STEPS)
LAST_STEP_32 = tl.constexpr(shifted.LAST_STEP[torch.float32])
LAST_STEP_64 = tl.constexpr(shifted.LAST_STEP[torch.float64])

SIZES = ("num_points", "num_joints", "rig_step")
"""Arguments of the kernels that are not compiled anew for special values."""

INFINITY = tl.constexpr(float("inf"))
NOT_A_NUMBER = tl.constexpr(float("nan"))


@triton.jit
@no_type_check
def locate(num_points, num_joints, NUM_VIEWS: tl.constexpr, BLOCK: tl.constexpr):
    """Give this program's points, their frames, where their first views lie among the detections, and which exist."""
    point = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    frame = point // num_joints
    return point, frame, frame * NUM_VIEWS * num_joints + point % num_joints, point < num_points


@triton.jit
@no_type_check
def load_detection(points, view, is_inside):
    """Load detections, from the image of the scene's centre on.

    Gives x and y in pixels, 0 where the detection or its view is not finite, and where both are.
    """
    x = tl.load(points, mask=is_inside, other=0.0)
    y = tl.load(points + 1, mask=is_inside, other=0.0)
    is_finite = (tl.abs(x) < INFINITY) & (tl.abs(y) < INFINITY) & (tl.load(view + 14, mask=is_inside, other=0.0) != 0)
    x = x - tl.load(view + 12, mask=is_inside, other=0.0)
    y = y - tl.load(view + 13, mask=is_inside, other=0.0)
    return tl.where(is_finite, x, 0.0), tl.where(is_finite, y, 0.0), is_finite


@triton.jit
@no_type_check
def load_vector(vector, is_inside):
    """Load the three numbers of a vector."""
    return (
        tl.load(vector, mask=is_inside, other=0.0),
        tl.load(vector + 1, mask=is_inside, other=0.0),
        tl.load(vector + 2, mask=is_inside, other=0.0),
    )


@triton.jit
@no_type_check
def load_row(row, is_inside):
    """Load the four numbers of a row."""
    x, y, z = load_vector(row, is_inside)
    return x, y, z, tl.load(row + 3, mask=is_inside, other=0.0)


@triton.jit
@no_type_check
def add_row(system, pixel, depth, image, weight):
    """Add the row `weight (pixel depth - image)` to a system."""
    xx, xy, xz, yy, yz, zz, bx, by, bz, c = system
    x = weight * (pixel * depth[0] - image[0])
    y = weight * (pixel * depth[1] - image[1])
    z = weight * (pixel * depth[2] - image[2])
    last = weight * (pixel * depth[3] - image[3])
    xx, xy, xz, yy, yz, zz = xx + x * x, xy + x * y, xz + x * z, yy + y * y, yz + y * z, zz + z * z
    return xx, xy, xz, yy, yz, zz, bx - x * last, by - y * last, bz - z * last, c + last * last


@triton.jit
@no_type_check
def add_detection(system, view, x, y, weight, is_inside):
    """Add both rows of detections to their systems."""
    depth = load_row(view, is_inside)
    system = add_row(system, x, depth, load_row(view + 4, is_inside), weight)
    return add_row(system, y, depth, load_row(view + 8, is_inside), weight)


@triton.jit
@no_type_check
def empty_system(like):
    """Give a system without rows, of the shape and type of a tensor."""
    zero = tl.zeros_like(like)
    return zero, zero, zero, zero, zero, zero, zero, zero, zero, zero


@triton.jit
@no_type_check
def invert(xx, xy, xz, yy, yz, zz):
    """Invert symmetric 3x3 matrices; also gives their determinants and which are positive definite."""
    a, b, c = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy
    d, e, f = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
    determinant = xx * a + xy * b + xz * c
    factor = 1.0 / determinant
    is_positive = (xx > 0) & (f > 0) & (determinant > 0)
    return (a * factor, b * factor, c * factor, d * factor, e * factor, f * factor), determinant, is_positive


@triton.jit
@no_type_check
def multiply(matrix, x, y, z):
    """Multiply symmetric 3x3 matrices and vectors."""
    xx, xy, xz, yy, yz, zz = matrix
    return xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z


@triton.jit
@no_type_check
def solve(system, wanted, MIN_DETERMINANT: tl.constexpr):
    """Solve systems by Newton's steps from 0 to the smallest root.

    Gives points of the scene's frame, the inverses of `N - l` there, and which of the wanted ones are certain.
    """
    xx, xy, xz, yy, yz, zz, bx, by, bz, c = system
    LAST_STEP: tl.constexpr = LAST_STEP_64 if c.dtype == tl.float64 else LAST_STEP_32
    shift = tl.zeros_like(c)
    is_moving = wanted.to(tl.int32)
    num_steps = 0
    while (num_steps < MAX_NEWTON_STEPS) & (tl.max(is_moving) > 0):
        inverse, _, _ = invert(xx - shift, xy, xz, yy - shift, yz, zz - shift)
        x, y, z = multiply(inverse, bx, by, bz)
        f = c - (bx * x + by * y + bz * z) - shift
        stretch = inverse[0] + inverse[3] + inverse[5]
        step = tl.maximum(f / (x * x + y * y + z * z + 1.0 + f * stretch), 0.0)
        shift = tl.where(is_moving != 0, shift + step, shift)
        is_moving = tl.where(step * stretch > LAST_STEP, is_moving, 0)
        num_steps += 1
    inverse, determinant, is_positive = invert(xx - shift, xy, xz, yy - shift, yz, zz - shift)
    trace = xx + yy + zz
    is_certain = wanted & (is_moving == 0) & is_positive & (determinant > MIN_DETERMINANT * trace * trace * trace)
    return multiply(inverse, bx, by, bz), inverse, is_certain
