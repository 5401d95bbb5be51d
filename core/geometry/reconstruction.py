"""Joints from several calibrated views in two steps: closed form under an orthographic camera, then perspective.

Rochette et al. (2019) supervise their strong twin with a reconstruction made this way (after Faugeras), from detections
alone and frame by frame. The first step takes every camera for a scaled orthographic one, which makes the image linear
in the joint: one 3x3 system. The second minimises the reprojection error under perspective, from there.

All joints of all frames are solved at once, in float64. Every sum over views is a matrix product of per-view matrices
with per-detection coefficients, so that a joint costs no more than its detections.
"""

from dataclasses import dataclass

import torch

from core.geometry.projection import scene_frame
from core.typing import Bool, Float, Tensor

MIN_DEPTH_MM = 1.0
"""A point nearer to a camera's focal plane than this is no candidate: its image is meaningless."""

MAX_CONDITION = 1e12
"""Ratio of the largest to the smallest eigenvalue beyond which views do not determine a joint."""

_FIRST_DAMPING = 1e-3
_MAX_DAMPING = 1e8


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructionConfig:
    """How joints are reconstructed.

    Args:
        huber_px: Reprojection errors count squared up to here and linearly beyond, so that a detection on somebody's
            other arm does not drag the joint along; `None`: squared throughout. The published losses are Huber's, and
            the twins are to differ in nothing else. 10 px is a usual detection error; at 1 px the points are the
            same within a millimetre, and the iteration is slower.
        max_iterations: Perspective steps at most; joints that have come to rest before stop.
        tolerance_mm: Length of a step at which a joint has come to rest.
        min_confidence: Detections below are left out.
    """

    huber_px: float | None = 10.0
    max_iterations: int = 30
    tolerance_mm: float = 0.1
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        if self.huber_px is not None and not self.huber_px > 0:
            raise ValueError(f"ReconstructionConfig.huber_px must be > 0 or null, got {self.huber_px}")


def reconstruct(
    intrinsics: Float[Tensor, "*batch V 3 3"],
    world_to_camera: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    present: Bool[Tensor, "*batch V J"],
    config: ReconstructionConfig,
) -> Float[Tensor, "*batch J 3"]:
    """Reconstruct joints by both steps; NaN where fewer than two views see a joint or they do not determine it.

    Args:
        intrinsics: `K` of each view, pixels.
        world_to_camera: `[R | t]`, millimetres.
        points_px: Detections, undistorted; a missing one may hold anything.
        present: Which detections take part.
        config: Settings.
    """
    K, pose = intrinsics.double(), world_to_camera.double()
    start_mm = reconstruct_orthographic(K, pose, points_px.double(), present)
    refined_mm = refine_perspective(K @ pose, points_px.double(), present, start_mm, config)
    return refined_mm.to(points_px.dtype)


def reconstruct_orthographic(
    intrinsics: Float[Tensor, "*batch V 3 3"],
    world_to_camera: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    present: Bool[Tensor, "*batch V J"],
) -> Float[Tensor, "*batch J 3"]:
    """First step, closed form: each camera sees `K Pi_o(R X + t) / z` with the one depth z of the scene's centre.

    The centre is where the cameras look (`core.geometry.projection.scene_frame`). A joint d from it is d^2 / z off, in
    the order of magnitude: exact for cameras far away, a start for the second step otherwise.
    """
    K, pose, points = intrinsics.double(), world_to_camera.double(), points_px.double()
    centre = scene_frame(K @ pose).centre
    depths = (pose[..., 2, :3] @ centre[..., :, None])[..., 0] + pose[..., 2, 3]
    affine = K[..., :2, :2] @ pose[..., :2, :] / depths[..., None, None]
    rows, offset = affine[..., :3], affine[..., 3] + K[..., :2, 2]
    seen = present & points.isfinite().all(dim=-1)
    weights = seen.to(points.dtype)
    residual = torch.where(seen[..., None], points - offset[..., None, :], 0.0)
    grams = (rows.mT @ rows).flatten(-2)
    normal = (weights.mT @ grams).unflatten(-1, (3, 3))
    gradient = residual.transpose(-3, -2).flatten(-2) @ rows.flatten(-3, -2)
    return _solve(normal, gradient, seen.sum(dim=-2))


def refine_perspective(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    present: Bool[Tensor, "*batch V J"],
    start_mm: Float[Tensor, "*batch J 3"],
    config: ReconstructionConfig,
) -> Float[Tensor, "*batch J 3"]:
    """Second step: minimise the sum of (Huber's) reprojection errors by damped Gauss-Newton steps, joint by joint.

    A step that does not lower a joint's error is not taken and its damping grows (Levenberg and Marquardt), so that the
    error never rises; Huber's function enters by reweighting. Joints whose start is NaN stay NaN.
    """
    seen = present & points_px.isfinite().all(dim=-1)
    views = _Views.build(projections.double(), torch.where(seen[..., None], points_px.double(), 0.0), seen)
    joints = start_mm.double()
    damping = torch.full_like(joints[..., 0], _FIRST_DAMPING)
    state = views.linearise(joints, config.huber_px)
    is_moving = state.error.isfinite() & joints.isfinite().all(dim=-1)
    for _ in range(config.max_iterations):
        if not bool(is_moving.any()):
            break
        step = state.step(damping)
        candidate = torch.where(is_moving[..., None], joints + step, joints)
        found = views.linearise(candidate, config.huber_px)
        is_better = is_moving & (found.error <= state.error)
        joints = torch.where(is_better[..., None], candidate, joints)
        state = state.replace(found, is_better)
        damping = torch.where(is_better, damping * 0.1, damping * 10.0)
        is_small = step.norm(dim=-1) < config.tolerance_mm
        is_moving = is_moving & ~(is_small | (damping > _MAX_DAMPING))
    return joints


def reprojection_errors(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    present: Bool[Tensor, "*batch V J"],
    joints_mm: Float[Tensor, "*batch J 3"],
) -> Float[Tensor, "*batch J"]:
    """Root mean square reprojection error of each joint over the views that see it, in pixels; NaN without any."""
    seen = present & points_px.isfinite().all(dim=-1)
    views = _Views.build(projections.double(), torch.where(seen[..., None], points_px.double(), 0.0), seen)
    error = views.linearise(joints_mm.double(), None).error
    return (2 * error / seen.sum(dim=-2)).sqrt().to(points_px.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Linearised:
    """Error of each joint and its Gauss-Newton system; the error is infinite behind a camera."""

    error: Float[Tensor, "*batch J"]
    normal: Float[Tensor, "*batch J 3 3"]
    gradient: Float[Tensor, "*batch J 3"]

    def step(self, damping: Float[Tensor, "*batch J"]) -> Float[Tensor, "*batch J 3"]:
        """Solve `(N + damping diag(N)) step = gradient`; zero where that cannot be solved."""
        diagonal = self.normal.diagonal(dim1=-2, dim2=-1)
        damped = self.normal + torch.diag_embed(diagonal * damping[..., None])
        step, info = torch.linalg.solve_ex(damped, self.gradient[..., None])
        is_solved = (info == 0) & step.isfinite().all(dim=(-2, -1))
        return torch.where(is_solved[..., None], step[..., 0], 0.0)

    def replace(self, other: "_Linearised", where: Bool[Tensor, "*batch J"]) -> "_Linearised":
        """Take the other's where it is better."""
        return _Linearised(
            error=torch.where(where, other.error, self.error),
            normal=torch.where(where[..., None, None], other.normal, self.normal),
            gradient=torch.where(where[..., None], other.gradient, self.gradient),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Views:
    """Detections with the per-view matrices of which every Gauss-Newton system is a combination.

    With `z` the depth and `(x, y)` the image of a joint, the Jacobian's rows are `(P1 - x P3) / z` and
    `(P2 - y P3) / z` (first three columns), and the sum of their outer products combines four matrices, `grams`.
    """

    linear: Float[Tensor, "*batch V 3 3"]
    offset: Float[Tensor, "*batch V 3"]
    grams: Float[Tensor, "*batch K 9"]
    points: Float[Tensor, "*batch V J 2"]
    seen: Bool[Tensor, "*batch V J"]

    @classmethod
    def build(cls, projections: Tensor, points: Tensor, seen: Tensor) -> "_Views":
        """Form the matrices; `K` is four times the number of views."""
        scaled = projections / projections[..., 2:, :3].norm(dim=-1, keepdim=True)
        linear = scaled[..., :3]
        outer = linear[..., :, None, :, None] * linear[..., None, :, None, :]
        first, second, third = (outer[..., row, row, :, :] for row in range(3))
        mixed_x = outer[..., 0, 2, :, :] + outer[..., 2, 0, :, :]
        mixed_y = outer[..., 1, 2, :, :] + outer[..., 2, 1, :, :]
        grams = torch.stack([first + second, mixed_x, mixed_y, third], dim=-4)
        return cls(
            linear=linear, offset=scaled[..., 3], grams=grams.flatten(-4, -3).flatten(-2), points=points, seen=seen
        )

    def linearise(self, joints: Float[Tensor, "*batch J 3"], huber_px: float | None) -> _Linearised:
        """Project joints, and form the error and the system at them."""
        image = (self.linear @ joints.mT[..., None, :, :]) + self.offset[..., None]
        depth = image[..., 2, :]
        is_front = depth > MIN_DEPTH_MM
        inverse = torch.where(is_front, 1 / depth, 1.0)
        x, y = image[..., 0, :] * inverse, image[..., 1, :] * inverse
        dx, dy = self.points[..., 0] - x, self.points[..., 1] - y
        distance = (dx.square() + dy.square()).sqrt()
        weight = self.seen.to(joints.dtype)
        costs = 0.5 * distance.square()
        if huber_px is not None:
            is_far = distance > huber_px
            costs = torch.where(is_far, huber_px * (distance - 0.5 * huber_px), costs)
            weight = torch.where(is_far, weight * huber_px / distance, weight)
        costs = torch.where(self.seen, torch.where(is_front, costs, torch.inf), 0.0)
        curvature, force = weight * inverse.square(), weight * inverse
        along_depth = -(x * dx + y * dy)
        coefficients = torch.cat(
            [curvature, -curvature * x, -curvature * y, curvature * (x.square() + y.square())], dim=-2
        )
        forces = torch.stack([force * dx, force * dy, force * along_depth], dim=-2)
        return _Linearised(
            error=costs.sum(dim=-2),
            normal=(coefficients.mT @ self.grams).unflatten(-1, (3, 3)),
            gradient=forces.flatten(-3, -2).mT @ self.linear.flatten(-3, -2),
        )


def _solve(
    normal: Float[Tensor, "*batch J 3 3"], gradient: Float[Tensor, "*batch J 3"], num_seen: Tensor
) -> Float[Tensor, "*batch J 3"]:
    """Solve each joint's system; NaN where two views or the system's conditioning are wanting."""
    values = torch.linalg.eigvalsh(normal)
    is_determined = (num_seen >= 2) & (values[..., 0] * MAX_CONDITION > values[..., 2])
    eye = torch.eye(3, dtype=normal.dtype, device=normal.device)
    safe = torch.where(is_determined[..., None, None], normal, eye)
    solution = torch.linalg.solve(safe, gradient[..., None])[..., 0]
    return torch.where(is_determined[..., None], solution, torch.nan)
