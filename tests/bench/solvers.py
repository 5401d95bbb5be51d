"""The usual ways to triangulate joints, peers of the kernel: batched SVD in torch, OpenCV, kornia, a loop over points.

Shapes as in `core.geometry.triangulation`: `B` frames, `V` views, `J` joints; projections may be expanded over frames.
"""

from importlib.util import find_spec
from itertools import combinations

import cv2
import numpy as np
import torch

from core.geometry.triangulation import RobustConfig
from core.typing import Float, Tensor

HAS_KORNIA = find_spec("kornia") is not None
NUM_WEISZFELD_STEPS = 20


def by_svd(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    weights: Float[Tensor, "*batch V J"] | None = None,
) -> Float[Tensor, "*batch J 3"]:
    """Stack the rows of all points and take the last right singular vectors: learnable-triangulation's way, batched."""
    rows = points_px[..., None] * projections[..., :, None, None, 2, :] - projections[..., :, None, :2, :]
    if weights is not None:
        rows = rows * weights[..., None, None]
    point = torch.linalg.svd(rows.movedim(-4, -3).flatten(-3, -2), full_matrices=False).Vh[..., -1, :]
    return point[..., :3] / point[..., 3:]


def robust_by_svd(
    projections: Float[Tensor, "B V 3 4"], points_px: Float[Tensor, "B V J 2"], config: RobustConfig
) -> Float[Tensor, "B J 3"]:
    """Eq. 4 and 5 of Roy et al. 2022 with stacked SVDs: pairs, geometric median, weights (constants), weighted DLT."""
    num_views = points_px.shape[-3]
    pairs = torch.tensor(list(combinations(range(num_views), 2)))
    with torch.no_grad():
        pairs_mm = by_svd(projections[:, pairs], points_px[:, pairs])
        centre_mm = pairs_mm.mean(dim=1, keepdim=True)
        for _ in range(NUM_WEISZFELD_STEPS):
            inverse = 1.0 / (pairs_mm - centre_mm).norm(dim=-1, keepdim=True).clamp(min=1e-6)
            centre_mm = (pairs_mm * inverse).sum(dim=1, keepdim=True) / inverse.sum(dim=1, keepdim=True)
        pair_weights = torch.exp(-(pairs_mm - centre_mm).square().sum(dim=-1) / config.sigma_mm**2)
        partners = torch.stack([(pairs == view).any(dim=1).nonzero()[:, 0] for view in range(num_views)])
        weights = pair_weights[:, partners].median(dim=2).values.clamp(min=config.weight_floor)
    return by_svd(projections, points_px, weights)


def by_point(projections: np.ndarray, points_px: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Loop in Python over frames and joints, one SVD in numpy each."""
    num_frames, num_views, num_joints = points_px.shape[:3]
    found_mm = np.empty((num_frames, num_joints, 3), dtype=points_px.dtype)
    rows = np.empty((2 * num_views, 4), dtype=points_px.dtype)
    for frame in range(num_frames):
        for joint in range(num_joints):
            for view in range(num_views):
                matrix, (x, y) = projections[frame, view], points_px[frame, view, joint]
                rows[2 * view] = x * matrix[2] - matrix[0]
                rows[2 * view + 1] = y * matrix[2] - matrix[1]
                if weights is not None:
                    rows[2 * view : 2 * view + 2] *= weights[frame, view, joint]
            point = np.linalg.svd(rows, full_matrices=False)[2][-1]
            found_mm[frame, joint] = point[:3] / point[3]
    return found_mm


def by_opencv(
    first: np.ndarray, second: np.ndarray, first_px: np.ndarray, second_px: np.ndarray
) -> Float[np.ndarray, "N 3"]:
    """Triangulate the points of all frames in one call; the images of `N` points have shape `(2, N)`."""
    point = cv2.triangulatePoints(first, second, first_px, second_px)
    return (point[:3] / point[3]).T


def by_kornia(
    projections: Float[Tensor, "B 2 3 4"], points_px: Float[Tensor, "B 2 J 2"], weights: None = None
) -> Float[Tensor, "B J 3"]:
    """Call kornia with its default solver, `eigh` in float64; `cofactor`, the fastest, loses points of these scenes."""
    from kornia.geometry.epipolar import triangulate_points

    return triangulate_points(projections[:, 0], projections[:, 1], points_px[:, 0], points_px[:, 1], solver="eigh")
