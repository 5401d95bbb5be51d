"""Reproducing another program: Pose2Sim's triangulation of its own demonstration, and what it depends on.

Its rule for each joint: the views whose likelihood is at least 0.3 take part; they are triangulated by the direct
linear transform, rows weighted by likelihood; while the mean reprojection error exceeds 15 px one view more is left
out (that choice of views for which the error is smallest), as long as two remain. Joints that never pass are
interpolated in time by the program, and skipped here. Axis letters beyond the usual: `F` frames, `P` people.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch

from core.data.pose2sim import Pose2SimConfig, Pose2SimRecording, read_pose2sim
from core.geometry.projection import project_points
from core.geometry.rig import projections
from core.geometry.triangulation import triangulate_dlt
from core.interfaces import Trial
from core.typing import Float, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose2SimMethod:
    """What the result may depend on.

    Attributes:
        frame: Where the homogeneous point has length one: in the world in metres (as in Pose2Sim), in the world in
            millimetres, or in a frame centred in the scene, where the world's unit and origin do not matter.
        weighting: Rows weighted by the detector's likelihood, or all alike.
        min_likelihood: A view takes part from this likelihood on.
        max_error_px: Views are left out while the mean reprojection error exceeds this.
    """

    frame: Literal["metres", "millimetres", "scene"] = "metres"
    weighting: Literal["likelihood", "uniform"] = "likelihood"
    min_likelihood: float = 0.3
    max_error_px: float = 15.0

    def __post_init__(self) -> None:
        if not (self.min_likelihood >= 0 and self.max_error_px > 0):
            raise ValueError(
                f"Pose2SimMethod needs min_likelihood >= 0 and max_error_px > 0, got {self.min_likelihood}, "
                f"{self.max_error_px}"
            )


def run(*, method: Pose2SimMethod, data: Pose2SimConfig, trial: Trial) -> dict[str, float]:
    """Triangulate a recording and compare it with the stored reference.

    Returns:
        `difference/max`, `difference/median`, mm, over the joints that were triangulated; `num_joints`, how many those
        are; `num_skipped`, the others. The joints go to the artifact `joints.pt` (F, P, J, 3).
    """
    recording = read_pose2sim(data)
    joints_mm = triangulate(recording, method)
    torch.save(joints_mm, trial.artifact("joints.pt"))
    differences_mm = (joints_mm - recording.reference_mm).norm(dim=-1)
    compared_mm = differences_mm[differences_mm.isfinite()]
    return {
        "difference/max": float(compared_mm.max()),
        "difference/median": float(compared_mm.median()),
        "num_joints": float(compared_mm.numel()),
        "num_skipped": float(differences_mm.numel() - compared_mm.numel()),
    }


def triangulate(recording: Pose2SimRecording, method: Pose2SimMethod) -> Float[Tensor, "F P J 3"]:
    """Triangulate every joint by Pose2Sim's rule; NaN where no choice of views passes."""
    shape = recording.reference_mm.shape
    points_px = recording.points_px.movedim(1, 0).flatten(1, 3)
    likelihoods = recording.likelihoods.movedim(1, 0).flatten(1, 3)
    takes_part = likelihoods >= method.min_likelihood
    weights = torch.where(takes_part, likelihoods if method.weighting == "likelihood" else 1.0, 0.0)
    found_mm = torch.full((points_px.shape[1], 3), torch.nan, dtype=points_px.dtype)
    for num_left_out in range(len(recording.rig) - 1):
        best_mm, error_px = _best_without(num_left_out, recording, points_px, weights, method)
        is_new = found_mm.isnan().any(dim=-1) & (error_px <= method.max_error_px)
        found_mm = torch.where(is_new[:, None], best_mm, found_mm)
    return found_mm.view(shape)


def _best_without(
    num_left_out: int,
    recording: Pose2SimRecording,
    points_px: Float[Tensor, "V N 2"],
    weights: Float[Tensor, "V N"],
    method: Pose2SimMethod,
) -> tuple[Float[Tensor, "N 3"], Float[Tensor, "N"]]:
    """Points for the best choice of so many views to leave out, and their error; infinite where there is none."""
    projections_mm = projections(recording.rig)
    best_mm = torch.full((points_px.shape[1], 3), torch.nan, dtype=points_px.dtype)
    least_px = torch.full_like(best_mm[:, 0], torch.inf)
    for left_out in combinations(range(len(weights)), num_left_out):
        rest = weights.clone()
        rest[list(left_out)] = 0.0
        is_choice = (weights[list(left_out)] > 0).all(dim=0) & ((rest > 0).sum(dim=0) >= 2)
        points_mm = _solve(projections_mm, points_px, rest, method)
        errors_px = (project_points(projections_mm, points_mm) - points_px).norm(dim=-1)
        error_px = torch.where(rest > 0, errors_px, 0.0).sum(dim=0) / (rest > 0).sum(dim=0)
        is_better = is_choice & (error_px < least_px)
        best_mm = torch.where(is_better[:, None], points_mm, best_mm)
        least_px = torch.where(is_better, error_px, least_px)
    return best_mm, least_px


def _solve(
    projections_mm: Float[Tensor, "V 3 4"],
    points_px: Float[Tensor, "V N 2"],
    weights: Float[Tensor, "V N"],
    method: Pose2SimMethod,
) -> Float[Tensor, "N 3"]:
    """Weighted direct linear transform in the frame that was asked for; the result is in millimetres."""
    if method.frame == "scene":
        return triangulate_dlt(projections_mm, points_px, weights)
    unit_mm = 1_000.0 if method.frame == "metres" else 1.0
    matrices = torch.cat([projections_mm[..., :3], projections_mm[..., 3:] / unit_mm], dim=-1)
    return triangulate_dlt(matrices, points_px, weights, metric="raw") * unit_mm
