"""Medians that triangulation needs: the geometric median of points, and the median of a masked axis."""

from typing import Literal

import torch

from core.typing import Bool, Float, Tensor

EvenMedian = Literal["mean", "lower"]
"""Median of an even number of values: the mean of the two middle ones (numpy) or the lower of them (torch)."""


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
    tolerance: float = 1e-3,
    smoothing: float = 1e-3,
    max_steps: int = 100,
) -> Float[Tensor, "*batch 3"]:
    """Point with the smallest sum of distances to the valid points; 0 where none is valid.

    Each step takes the better of Weiszfeld's step, which never climbs, and Newton's, which converges quadratically
    where Weiszfeld crawls (4 cameras; a median on one of the points). Distances are `sqrt(d^2 + smoothing^2)`, so that
    the median and its gradient exist on the points themselves. The gradient is that of the exact minimiser (implicit
    differentiation), however many steps were taken.

    Args:
        points: Candidates; an invalid one may hold anything, NaN too. The defaults below suit millimetres.
        valid: Which candidates count.
        tolerance: Stop when no median moves farther than this.
        smoothing: Distance below which the cone around a point is rounded off.
        max_steps: Stop in any case.
    """
    points = torch.where(valid[..., None], points, 0.0)
    weights = valid.to(points.dtype)
    with torch.no_grad():
        median = torch.stack([masked_median(axis, valid) for axis in points.unbind(-1)], dim=-1)
        for _ in range(max_steps):
            moved = _descend(median, points, weights, smoothing)
            step = (moved - median).norm(dim=-1)
            median = moved
            if step.numel() == 0 or float(step.max()) <= tolerance:
                break
        hessian = _hessian(median, points, weights, smoothing)
    if not points.requires_grad:
        return median
    pull = _pull(median, points, weights, smoothing)
    return median + torch.linalg.solve(hessian, pull - pull.detach())


def _distances(
    median: Float[Tensor, "*batch 3"], points: Float[Tensor, "*batch N 3"], smoothing: float
) -> Float[Tensor, "*batch N"]:
    return ((points - median[..., None, :]).square().sum(dim=-1) + smoothing**2).sqrt()


def _pull(
    median: Float[Tensor, "*batch 3"],
    points: Float[Tensor, "*batch N 3"],
    weights: Float[Tensor, "*batch N"],
    smoothing: float,
) -> Float[Tensor, "*batch 3"]:
    """Negative gradient of the sum of distances: one unit vector towards each point."""
    pulls = weights / _distances(median, points, smoothing)
    return (pulls[..., None] * (points - median[..., None, :])).sum(dim=-2)


def _hessian(
    median: Float[Tensor, "*batch 3"],
    points: Float[Tensor, "*batch N 3"],
    weights: Float[Tensor, "*batch N"],
    smoothing: float,
) -> Float[Tensor, "*batch 3 3"]:
    """Second derivative of the sum of distances; the identity where no point is valid."""
    distances = _distances(median, points, smoothing)
    directions = (points - median[..., None, :]) / distances[..., None]
    pulls = weights / distances
    total = pulls.sum(dim=-1)
    eye = torch.eye(3, dtype=points.dtype, device=points.device)
    scale = torch.where(total > 0, total, 1.0)[..., None, None]
    outer = torch.einsum("...n,...ni,...nj->...ij", pulls, directions, directions)
    return scale * (eye * (1 + 1e-9)) - outer


def _descend(
    median: Float[Tensor, "*batch 3"],
    points: Float[Tensor, "*batch N 3"],
    weights: Float[Tensor, "*batch N"],
    smoothing: float,
) -> Float[Tensor, "*batch 3"]:
    """Take the better of Weiszfeld's and Newton's step."""
    pull = _pull(median, points, weights, smoothing)
    total = (weights / _distances(median, points, smoothing)).sum(dim=-1, keepdim=True)
    weiszfeld = median + pull / torch.where(total > 0, total, 1.0)
    newton = median + torch.linalg.solve(_hessian(median, points, weights, smoothing), pull)
    cost_weiszfeld = (weights * _distances(weiszfeld, points, smoothing)).sum(dim=-1, keepdim=True)
    cost_newton = (weights * _distances(newton, points, smoothing)).sum(dim=-1, keepdim=True)
    return torch.where(cost_newton <= cost_weiszfeld, newton, weiszfeld)
