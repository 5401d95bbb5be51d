"""The numbers of Roy et al.'s table 3, from detections: multi-view, single-view, and the 2D errors behind them."""

import torch

from core.geometry.triangulation import RobustConfig
from core.methods.lifting import relative_depths_mm, root_depth_mm, unproject
from core.methods.multiview import MultiViewBatch
from core.methods.triangulation_ssl import Weighting, triangulate
from core.metrics.pose import mpjpe_mm, nmpjpe_mm, pmpjpe_mm, root_aligned
from core.typing import Bool, Float, Tensor


def pose_errors(
    prefix: str, predicted_mm: Float[Tensor, "N J 3"], truth_mm: Float[Tensor, "N J 3"], root: int
) -> dict[str, float]:
    """Give the means of MPJPE, NMPJPE and PMPJPE, roots aligned."""
    relative, relative_truth = root_aligned(predicted_mm, root), root_aligned(truth_mm, root)
    return {
        f"{prefix}/mpjpe": float(mpjpe_mm(relative, relative_truth).mean()),
        f"{prefix}/nmpjpe": float(nmpjpe_mm(relative, relative_truth).mean()),
        f"{prefix}/pmpjpe": float(pmpjpe_mm(relative, relative_truth).mean()),
    }


def multi_view_errors(
    sets: MultiViewBatch,
    points_px: Float[Tensor, "N V J 2"],
    confidences: Float[Tensor, "N V J"] | None,
    *,
    weighting: Weighting,
    robust: RobustConfig,
    root: int,
) -> dict[str, float]:
    """Give the errors of triangulated poses: by the arm's own estimator, and by one that is the same for every arm.

    `multiview_fixed` triangulates every arm's detections with the geometric weights, and so compares detectors alone.
    `multiview/absolute` is the error in the world, roots not aligned.
    """
    own = triangulate(sets, points_px, confidences, weighting, robust)
    fixed = triangulate(sets, points_px, None, "geometric", robust)
    return {
        **pose_errors("multiview", own.points_mm, sets.joints_mm, root),
        "multiview/absolute": float(mpjpe_mm(own.points_mm, sets.joints_mm).mean()),
        **pose_errors("multiview_fixed", fixed.points_mm, sets.joints_mm, root),
    }


def single_view_errors(
    sets: MultiViewBatch,
    points_px: Float[Tensor, "N V J 2"],
    relative_m: Float[Tensor, "N V J"],
    root: int,
) -> dict[str, float]:
    """Give the errors of lifted poses over all usable views; the root's depth is the true one, as in the paper (A8)."""
    depths_mm = root_depth_mm(sets.projections, sets.joints_mm, root)[..., None] + 1000 * relative_m
    predicted_mm = unproject(sets.projections, points_px, depths_mm)
    truth_mm = sets.joints_mm[:, None].expand_as(predicted_mm)
    return pose_errors("singleview", predicted_mm[sets.usable], truth_mm[sets.usable], root)


def detection_errors(
    sets: MultiViewBatch, points_px: Float[Tensor, "N V J 2"], visible: Bool[Tensor, "N V J"]
) -> dict[str, float]:
    """Give the mean 2D error in crop pixels, apart for joints that are seen and joints that are hidden."""
    error_px = (points_px - sets.joints_px).norm(dim=-1)
    usable = sets.usable[..., None]
    return {
        "detection/visible": float(error_px[visible & usable].mean()),
        "detection/hidden": float(error_px[~visible & usable].mean()),
    }


def lifting_targets(
    sets: MultiViewBatch, joints_mm: Float[Tensor, "N J 3"], kept: Bool[Tensor, "N J"], root: int
) -> tuple[Float[Tensor, "N V J"], Bool[Tensor, "N V J"]]:
    """Turn 3D poses, true or pseudo, into depths in metres for every view, and say which of them are known.

    A pose whose root is not kept teaches nothing: every depth is relative to the root's.
    """
    depths_m = relative_depths_mm(sets.projections, joints_mm, root) / 1000
    known = kept & kept[:, root : root + 1] & joints_mm.isfinite().all(-1)
    known = known[:, None] & sets.usable[..., None]
    return torch.where(known, depths_m, 0.0), known
