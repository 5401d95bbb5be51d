"""One calibrated camera: OpenCV's pinhole model with five distortion coefficients, immutable, float64 on the CPU.

World and camera coordinates are millimetres, the camera looks along +z with x right and y down, and the centre of the
top-left pixel is (0, 0). Points of any dtype and device go in and come out; the arithmetic between is float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from core.typing import Bool, Float, Tensor

NUM_NEWTON_STEPS = 12


def _no_distortion() -> Tensor:
    return torch.zeros(5, dtype=torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Camera:
    """A calibrated camera: `x_px = K distort([R | t] X)`.

    Attributes:
        intrinsics: `K`, pixels; the last row is (0, 0, 1).
        world_to_camera: `[R | t]`, `R` a rotation, `t` in millimetres.
        size_px: Width and height of the image.
        distortion: OpenCV's k1, k2, p1, p2, k3.
    """

    intrinsics: Float[Tensor, "3 3"]
    world_to_camera: Float[Tensor, "3 4"]
    size_px: tuple[int, int]
    distortion: Float[Tensor, "5"] = field(default_factory=_no_distortion)

    def __post_init__(self) -> None:
        for name, shape in (("intrinsics", (3, 3)), ("world_to_camera", (3, 4)), ("distortion", (5,))):
            value = torch.as_tensor(getattr(self, name)).detach().to(dtype=torch.float64, device="cpu").clone()
            if tuple(value.shape) != shape:
                raise ValueError(f"camera {name} must have shape {shape}, got {tuple(value.shape)}")
            if not bool(value.isfinite().all()):
                raise ValueError(f"camera {name} must be finite, got {value.tolist()}")
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        K, R = self.intrinsics, self.world_to_camera[:, :3]
        if K[0, 0] <= 0 or K[1, 1] <= 0 or K[1, 0] != 0 or K[2].tolist() != [0.0, 0.0, 1.0]:
            raise ValueError(f"camera intrinsics must be upper triangular, focal lengths > 0, got {K.tolist()}")
        if (R @ R.T - torch.eye(3, dtype=R.dtype)).abs().max() > 1e-4 or torch.linalg.det(R) < 0:
            raise ValueError(
                f"camera world_to_camera must hold a rotation in its first three columns, got {R.tolist()}"
            )
        if min(self.size_px) < 1:
            raise ValueError(f"camera size_px must be (width, height) >= 1, got {self.size_px}")

    @classmethod
    def look_at(
        cls,
        eye_mm: Sequence[float],
        target_mm: Sequence[float],
        *,
        focal_px: float,
        size_px: tuple[int, int],
        up: Sequence[float] = (0.0, 0.0, 1.0),
    ) -> "Camera":
        """Make a camera without distortion at `eye_mm` that sees `target_mm` in the middle of its image.

        Args:
            eye_mm: Camera centre in the world.
            target_mm: A point on the optical axis.
            focal_px: Focal length of both axes.
            size_px: Width and height; the principal point is the image's centre, ((w - 1) / 2, (h - 1) / 2).
            up: World direction that shall point up in the image; not parallel to the line of sight.

        Raises:
            ValueError: The eye is the target, or `up` is parallel to the line of sight.
        """
        eye = torch.tensor(eye_mm, dtype=torch.float64)
        forward = torch.tensor(target_mm, dtype=torch.float64) - eye
        right = torch.linalg.cross(forward, torch.tensor(up, dtype=torch.float64))
        if right.norm() <= 1e-9 * forward.norm() or forward.norm() == 0:
            raise ValueError(f"look_at needs a line of sight not parallel to up={tuple(up)}: {eye_mm} to {target_mm}")
        forward, right = forward / forward.norm(), right / right.norm()
        R = torch.stack([right, torch.linalg.cross(forward, right), forward])
        width, height = size_px
        K = [[focal_px, 0.0, (width - 1) / 2], [0.0, focal_px, (height - 1) / 2], [0.0, 0.0, 1.0]]
        return cls(
            intrinsics=torch.tensor(K, dtype=torch.float64),
            world_to_camera=torch.cat([R, -(R @ eye)[:, None]], dim=1),
            size_px=size_px,
        )

    @property
    def projection(self) -> Float[Tensor, "3 4"]:
        """`K [R | t]`: world millimetres to pixels of the undistorted image."""
        return self.intrinsics @ self.world_to_camera

    @property
    def centre_mm(self) -> Float[Tensor, "3"]:
        """Position of the pinhole in the world."""
        return -self.world_to_camera[:, :3].T @ self.world_to_camera[:, 3]

    def depth_mm(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Distance of points along the optical axis; negative behind the camera."""
        return self._to_camera(points_mm)[..., 2].to(points_mm.dtype)

    def project(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
        """Image points, with distortion; NaN (and zero gradient) where the point is not in front of the camera.

        The distortion polynomial is fitted inside the image: far outside it folds back, so that a point well beyond
        the field of view may land in the image. `inside` knows nothing of that: test depth and angle where it matters.
        """
        local = self._to_camera(points_mm)
        is_front = local[..., 2:] > 0
        depth = torch.where(is_front, local[..., 2:], 1.0)
        pixels = self._to_pixels(_distort(local[..., :2] / depth, self.distortion.to(local.device)))
        return torch.where(is_front, pixels, torch.nan).to(points_mm.dtype)

    def undistort(self, points_px: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Move image points to where `projection` alone would put them: the inverse of the distortion.

        Newton's method with the analytic Jacobian; the gradient is that of the exact inverse.
        """
        K = self.intrinsics.to(points_px.device)
        y = (points_px[..., 1].double() - K[1, 2]) / K[1, 1]
        x = (points_px[..., 0].double() - K[0, 2] - K[0, 1] * y) / K[0, 0]
        wanted = torch.stack([x, y], dim=-1)
        if bool((self.distortion != 0).any()):
            wanted = _undistort(wanted, self.distortion.to(points_px.device))
        return self._to_pixels(wanted).to(points_px.dtype)

    def inside(self, points_px: Float[Tensor, "*batch 2"]) -> Bool[Tensor, "*batch"]:
        """Whether image points lie on the image's area, which reaches half a pixel beyond the pixel centres."""
        width, height = self.size_px
        x, y = points_px.unbind(-1)
        return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)

    def crop(self, x0_px: float, y0_px: float, scale: float, size_px: tuple[int, int] | None = None) -> "Camera":
        """Camera of the image cut so that pixel (x0, y0) comes first, then resized by `scale`.

        Areas correspond as in `interpolate(align_corners=False)`: `x' + 0.5 = scale * (x - x0 + 0.5)`. Distortion acts
        before the intrinsics, so that the crop of a distorted camera is exact too.

        Args:
            x0_px: Column of the first pixel of the crop; may be fractional or outside.
            y0_px: Row of the first pixel of the crop.
            scale: Size of the resized image over that of the crop.
            size_px: Width and height of the result; `None`: what is left of the image.

        Raises:
            ValueError: `scale` is not positive, or nothing is left of the image.
        """
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"crop needs a finite scale > 0, got {scale}")
        width, height = self.size_px
        left = (round(scale * (width - x0_px)), round(scale * (height - y0_px)))
        affine = torch.tensor(
            [
                [scale, 0.0, scale * (0.5 - x0_px) - 0.5],
                [0.0, scale, scale * (0.5 - y0_px) - 0.5],
                [0.0, 0.0, 1.0],
            ],
            dtype=torch.float64,
        )
        return replace(self, intrinsics=affine @ self.intrinsics, size_px=size_px or left)

    def _to_camera(self, points_mm: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        pose = self.world_to_camera.to(points_mm.device)
        return points_mm.double() @ pose[:, :3].T + pose[:, 3]

    def _to_pixels(self, normalised: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        K = self.intrinsics.to(normalised.device)
        return normalised @ K[:2, :2].T + K[:2, 2]


def _distort(points: Float[Tensor, "*batch 2"], coefficients: Float[Tensor, "5"]) -> Float[Tensor, "*batch 2"]:
    """Distort points of the plane z = 1 (OpenCV's radial and tangential terms)."""
    k1, k2, p1, p2, k3 = coefficients.unbind()
    x, y = points.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        dim=-1,
    )


def _newton_step(
    points: Float[Tensor, "*batch 2"], wanted: Float[Tensor, "*batch 2"], coefficients: Float[Tensor, "5"]
) -> Float[Tensor, "*batch 2"]:
    """Solve `J step = wanted - distort(points)`; `J`, symmetric 2x2, is a constant to autograd."""
    with torch.no_grad():
        k1, k2, p1, p2, k3 = coefficients.unbind()
        x, y = points.unbind(-1)
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        slope = 2 * (k1 + r2 * (2 * k2 + r2 * 3 * k3))
        xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
        yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
        xy = slope * x * y + 2 * p1 * x + 2 * p2 * y
        determinant = xx * yy - xy * xy
        known = _distort(points, coefficients)
    dx, dy = (wanted - known).unbind(-1)
    return torch.stack([yy * dx - xy * dy, xx * dy - xy * dx], dim=-1) / determinant[..., None]


def _undistort(wanted: Float[Tensor, "*batch 2"], coefficients: Float[Tensor, "5"]) -> Float[Tensor, "*batch 2"]:
    """Invert `_distort`; the last step alone is recorded, which gives the inverse function's gradient."""
    points = wanted.detach()
    for _ in range(NUM_NEWTON_STEPS):
        points = points + _newton_step(points, wanted.detach(), coefficients)
    return points + _newton_step(points, wanted, coefficients)
