"""Medians that triangulation needs: the geometric median of points, and the median of a masked axis."""

from dataclasses import dataclass
from typing import Literal

import torch

from core.typing import Bool, Float, Tensor

EvenMedian = Literal["mean", "lower"]
"""Median of an even number of values: the mean of the two middle ones (numpy) or the lower of them (torch)."""

TOLERANCE_MM = 1e-5
"""A geometric median that moves no farther in a step has come to rest; well below the smoothing."""

SMOOTHING_MM = 1e-3
"""Distance below which the cone around a point is rounded off."""

MAX_STEPS = 100
"""Steps towards a geometric median at most."""

NEWTON_LENGTHS = (1.0, 0.5, 0.25, 0.0625)
"""Newton's step overshoots where the minimum is almost on one of the points, so that shorter ones are tried."""

COST_SLACK = 1e-12
"""Relative difference of two sums of distances that is rounding: near the minimum Newton's step is the better one."""


def masked_median(
    values: Float[Tensor, "*batch N"], valid: Bool[Tensor, "*batch N"], even: EvenMedian = "mean"
) -> Float[Tensor, "*batch"]:
    """Median over the last axis of the valid values; 0 where none is valid.

    Differentiable with respect to the one or two values in the middle.
    """
    ordered = torch.where(valid, values, torch.inf).sort(dim=-1).values
    num_valid = valid.sum(dim=-1, keepdim=True)
    lower = ordered.gather(-1, ((num_valid - 1) // 2).clamp(min=0))
    median = lower
    if even == "mean":
        median = (lower + ordered.gather(-1, (num_valid // 2).clamp(max=values.shape[-1] - 1))) / 2
    return torch.where(num_valid > 0, median, 0.0).squeeze(-1)


def geometric_median(
    points: Float[Tensor, "*batch N 3"],
    valid: Bool[Tensor, "*batch N"],
    *,
    tolerance: float = TOLERANCE_MM,
    smoothing: float = SMOOTHING_MM,
    max_steps: int = MAX_STEPS,
) -> Float[Tensor, "*batch 3"]:
    """Point with the smallest sum of distances to the valid points; 0 where none is valid.

    Each step takes the better of Weiszfeld's step, which never climbs, and Newton's, which converges quadratically
    where Weiszfeld crawls (4 cameras; a median on, or almost on, one of the points). Distances are
    `sqrt(d^2 + smoothing^2)`, so that the median and its gradient exist on the points themselves. The gradient is that
    of the exact minimiser (implicit differentiation), however many steps were taken.

    Args:
        points: Candidates; an invalid one may hold anything, NaN too. The defaults below are for millimetres.
        valid: Which candidates count.
        tolerance: Stop when no median moves farther than this, which is to be well below `smoothing`.
        smoothing: Distance below which the cone around a point is rounded off.
        max_steps: Stop in any case.
    """
    num_medians, num_points = points.shape[:-2].numel(), points.shape[-2]
    weights = valid.to(points.dtype).reshape(num_medians, num_points)
    candidates = torch.where(valid[..., None], points, 0.0).reshape(num_medians, num_points, 3)
    with torch.no_grad():
        median = _minimise(candidates, weights, tolerance, smoothing, max_steps)
        hessian = _expand(median, candidates, weights, smoothing).hessian
    if candidates.requires_grad:
        pull = _expand(median, candidates, weights, smoothing).pull
        median = median + torch.linalg.solve(hessian, pull - pull.detach())
    return median.view(*points.shape[:-2], 3)


def _minimise(
    points: Float[Tensor, "B N 3"], weights: Float[Tensor, "B N"], tolerance: float, smoothing: float, max_steps: int
) -> Float[Tensor, "B 3"]:
    """Descend from the median of each coordinate; problems that have converged rest."""
    median = torch.stack([masked_median(axis, weights > 0) for axis in points.unbind(-1)], dim=-1)
    active = torch.arange(len(points), device=points.device)
    for _ in range(max_steps):
        if len(active) == 0:
            break
        moved = _descend(median[active], points[active], weights[active], smoothing)
        is_moving = (moved - median[active]).norm(dim=-1) > tolerance
        median[active] = moved
        active = active[is_moving]
    return median


def _descend(
    median: Float[Tensor, "B 3"], points: Float[Tensor, "B N 3"], weights: Float[Tensor, "B N"], smoothing: float
) -> Float[Tensor, "B 3"]:
    """Take the best of Newton's step, its shorter versions and Weiszfeld's step."""
    here = _expand(median, points, weights, smoothing)
    newton = torch.linalg.solve(here.hessian, here.pull)
    steps = torch.stack([*(newton * length for length in NEWTON_LENGTHS), here.pull / here.stiffness[:, None]], dim=1)
    distances = _distances(median[:, None] + steps, points[:, None], smoothing)
    costs = (weights[:, None] * distances).sum(dim=-1)
    costs[:, 0] *= 1 - COST_SLACK
    return median + steps[torch.arange(len(steps), device=steps.device), costs.argmin(dim=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expansion:
    """The sum of distances around a place.

    Attributes:
        pull: Its negative gradient: one unit vector towards each point.
        stiffness: Sum of inverse distances, Weiszfeld's bound of the second derivative; 1 where no point is valid.
        hessian: Its second derivative, not quite singular for points on a line.
    """

    pull: Float[Tensor, "B 3"]
    stiffness: Float[Tensor, "B"]
    hessian: Float[Tensor, "B 3 3"]


def _expand(
    median: Float[Tensor, "B 3"], points: Float[Tensor, "B N 3"], weights: Float[Tensor, "B N"], smoothing: float
) -> _Expansion:
    distances = _distances(median, points, smoothing)
    directions = (points - median[:, None]) / distances[..., None]
    pulls = weights / distances
    total = pulls.sum(dim=-1)
    stiffness = torch.where(total > 0, total, 1.0)
    eye = torch.eye(3, dtype=points.dtype, device=points.device)
    return _Expansion(
        pull=(weights[..., None] * directions).sum(dim=-2),
        stiffness=stiffness,
        hessian=stiffness[:, None, None] * (eye * (1 + 1e-9)) - directions.mT @ (pulls[..., None] * directions),
    )


def _distances(
    median: Float[Tensor, "*#batch 3"], points: Float[Tensor, "*#batch N 3"], smoothing: float
) -> Float[Tensor, "..."]:
    return ((points - median[..., None, :]).square().sum(dim=-1) + smoothing**2).sqrt()
