"""Triangulation of real detections: Shelf, OpenPose in five views, people matched by the ground truth, PCP3D.

The matching rule: a person detected in a view lies at the mean distance, over the twelve limb joints that OpenPose
found, from an actor's joints projected into that view. In each view and frame people and actors are assigned one to
one with the smallest sum of distances (Hungarian method), each capped at `data.match_px`; pairs at the cap or beyond
are dissolved. Matching by truth leaves the triangulation alone to be judged. Axis letters beyond the usual: `F`
frames, `A` actors.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment

from core.data.shelf import LIMB_JOINTS, ShelfConfig, ShelfSequence, read_shelf, shelf_joints
from core.geometry.projection import project_points
from core.geometry.rig import projections
from core.geometry.triangulation import RobustConfig, triangulate_dlt, triangulate_robust
from core.interfaces import Trial
from core.metrics.pcp import pcp3d_percent
from core.typing import Float, Tensor

NUM_EVALUATED_ACTORS = 3
"""The benchmark leaves the fourth actor out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfMethod:
    """How the views of a joint are weighted in the direct linear transform.

    Attributes:
        weighting: All views alike, by the detector's confidence, or by the agreement of view pairs (Roy et al.).
        robust: Settings of the geometric weights.
    """

    weighting: Literal["uniform", "confidence", "geometric"] = "uniform"
    robust: RobustConfig = field(default_factory=RobustConfig)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedDetections:
    """What was detected of each actor; a score of 0 where nothing was."""

    points_px: Float[Tensor, "F A V 25 2"]
    scores: Float[Tensor, "F A V 25"]


def run(*, method: ShelfMethod, data: ShelfConfig, trial: Trial) -> dict[str, float]:
    """Triangulate the whole sequence and count correct parts.

    Returns:
        `pcp3d/actor1` to `actor3` and their mean, percent; `error/median`, mm, over the limb joints of these actors
        that were triangulated; `missing`, percent of these joints that fewer than two views show. The joints go to
        the artifact `joints.pt` (F, A, 15, 3).
    """
    sequence = read_shelf(data)
    matched = match_by_truth(sequence, data.match_px)
    joints_mm = shelf_joints(triangulate(sequence, matched, method))
    torch.save(joints_mm, trial.artifact("joints.pt"))
    pcp = pcp3d_percent(joints_mm, sequence.truth_mm)[:NUM_EVALUATED_ACTORS].tolist()
    limbs = [target for target, _ in LIMB_JOINTS]
    errors_mm = (joints_mm - sequence.truth_mm).norm(dim=-1)[:, :NUM_EVALUATED_ACTORS, limbs]
    is_there = sequence.truth_mm.isfinite().all(dim=-1)[:, :NUM_EVALUATED_ACTORS, limbs]
    return {
        **{f"pcp3d/actor{number}": value for number, value in enumerate(pcp, start=1)},
        "pcp3d/mean": sum(pcp) / len(pcp),
        "error/median": float(errors_mm[is_there & errors_mm.isfinite()].median()),
        "missing": 100.0 * float((is_there & errors_mm.isnan()).sum() / is_there.sum()),
    }


def triangulate(sequence: ShelfSequence, matched: MatchedDetections, method: ShelfMethod) -> Float[Tensor, "F A 25 3"]:
    """Triangulate every actor's BODY_25 joints; NaN where fewer than two views show one."""
    matrices = projections(sequence.rig).expand(*matched.scores.shape[:2], -1, -1, -1)
    is_visible = matched.scores > 0
    if method.weighting == "geometric":
        return triangulate_robust(matrices, matched.points_px, method.robust, visible=is_visible).points_mm
    weights = matched.scores if method.weighting == "confidence" else is_visible.double()
    return triangulate_dlt(matrices, matched.points_px, weights)


def match_by_truth(sequence: ShelfSequence, match_px: float) -> MatchedDetections:
    """Give each actor the detected people whose joints lie nearest to his own, by the rule of this module."""
    distances_px = _mean_distances(sequence).clamp(max=match_px)
    num_frames, num_views, num_actors, _ = distances_px.shape
    points_px = sequence.points_px.new_zeros(num_frames, num_actors, num_views, *sequence.points_px.shape[3:])
    scores = points_px.new_zeros(points_px.shape[:-1])
    for frame in range(num_frames):
        for view in range(num_views):
            for actor, person in zip(*linear_sum_assignment(distances_px[frame, view].numpy()), strict=True):
                if distances_px[frame, view, actor, person] < match_px:
                    points_px[frame, actor, view] = sequence.points_px[frame, view, person]
                    scores[frame, actor, view] = sequence.scores[frame, view, person]
    return MatchedDetections(points_px=points_px, scores=scores)


def _mean_distances(sequence: ShelfSequence) -> Float[Tensor, "F V A P"]:
    """Mean distance of each person's limb joints from each actor's, pixels; infinite where there is none to compare."""
    targets, sources = zip(*LIMB_JOINTS, strict=True)
    matrices = projections(sequence.rig)[:, None].expand(len(sequence.truth_mm), -1, sequence.truth_mm.shape[1], 3, 4)
    truth_px = project_points(matrices.transpose(1, 2), sequence.truth_mm)[..., list(targets), :]
    people_px = sequence.points_px[..., list(sources), :]
    is_found = (sequence.scores[..., list(sources)] > 0)[:, :, None]
    offsets_px = people_px[:, :, None] - truth_px.transpose(1, 2)[:, :, :, None]
    distances_px = torch.where(is_found, offsets_px.norm(dim=-1), 0.0).sum(dim=-1) / is_found.sum(dim=-1)
    return torch.where(distances_px.isfinite(), distances_px, torch.inf)
