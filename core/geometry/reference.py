"""Triangulation as the papers write it, in float64 whatever the input: slow, and what every back-end is tested against.

Each view gives one small symmetric matrix; a pair's system is the sum of two of them. Autograd runs through every step,
so that projections have gradients, too.
"""

import torch

from core.geometry.agreement import triangulate_by_agreement
from core.geometry.dlt import Metric, ViewSystems
from core.geometry.robust import RobustConfig, RobustTriangulation
from core.typing import Bool, Float, Tensor


def dlt(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    weights: Float[Tensor, "*batch V J"] | None,
    metric: Metric,
) -> Float[Tensor, "*batch J 3"]:
    """`core.geometry.triangulation.triangulate_dlt`."""
    if weights is None:
        weights = torch.ones_like(points_px[..., 0])
    views = ViewSystems.build(projections, points_px, metric)
    return views.solve(weights.double().movedim(-2, -1)).to(points_px.dtype)


def robust(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    config: RobustConfig,
    visible: Bool[Tensor, "*batch V J"] | None,
) -> RobustTriangulation:
    """`core.geometry.triangulation.triangulate_robust`."""
    if visible is None:
        visible = torch.ones_like(points_px[..., 0], dtype=torch.bool)
    views = ViewSystems.build(projections, points_px, "scene")
    return triangulate_by_agreement(views, visible, config, points_px.dtype)
