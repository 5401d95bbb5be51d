"""Joints from several views: the direct linear transform, and its robust form by agreement of view pairs.

The reference form: every step is written as the paper states it, in float64, whatever the dtype of the input. Each view
gives one small symmetric matrix; a pair's system is the sum of two of them. Equations are those of Roy et al. 2022.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from core.geometry.dlt import Metric, ViewSystems, view_pairs
from core.geometry.median import EvenMedian, geometric_median, masked_median
from core.typing import Bool, Float, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class WssRule:
    """What happens to a joint whose pairs scatter (Eq. 6).

    The paper says "20 mm" of a mean squared distance, which can be read in three ways, and it both drops the joint
    (training) and falls back to equal weights (its Fig. 3). Results depend on the reading, so all of it is a setting.

    Attributes:
        statistic: Mean squared distance of the pairs' points from their centre in mm^2 or m^2, or its root in mm.
        threshold: In the statistic's unit; a joint above it is scattered.
        above: `keep` it as it is, triangulate it again with `equal_weights`, or `discard` it (`kept` is false).
    """

    statistic: Literal["mean_square_mm2", "rms_mm", "mean_square_m2"] = "rms_mm"
    threshold: float = 20.0
    above: Literal["keep", "equal_weights", "discard"] = "discard"

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise ValueError(f"WssRule.threshold must be >= 0, got {self.threshold}")

    @property
    def threshold_rms_mm(self) -> float:
        """The threshold as a root mean square distance in millimetres."""
        roots = {"rms_mm": self.threshold, "mean_square_mm2": self.threshold**0.5}
        return roots.get(self.statistic, 1_000.0 * self.threshold**0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustConfig:
    """Settings of the robust triangulation.

    Attributes:
        sigma_mm: Distance from the centre at which a pair's weight is 1/e (Eq. 5, no factor 2).
        wss: What to do with joints whose pairs scatter; `None`: nothing.
        even_median: Median of an even number of partners (Eq. 5; 3 or 5 views).
        weight_floor: Smallest weight of a visible view: where all weights vanish they are equal again. At 1e-4 such a
            view's rows count 1e-8 of a good one's.
        detach_weights: Whether weights are constants to autograd; else gradients also run through the pairs, the
            geometric median and the weights, where they are several times larger and favour w -> 0 in Eq. 3.
    """

    sigma_mm: float = 10.0
    wss: WssRule | None = None
    even_median: EvenMedian = "mean"
    weight_floor: float = 1e-4
    detach_weights: bool = True

    def __post_init__(self) -> None:
        if not self.sigma_mm > 0:
            raise ValueError(f"RobustConfig.sigma_mm must be > 0, got {self.sigma_mm}")
        if not 0 < self.weight_floor <= 1:
            raise ValueError(f"RobustConfig.weight_floor must be in (0, 1], got {self.weight_floor}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustTriangulation:
    """Joints and how much each view had to say.

    Attributes:
        points_mm: Triangulated joints; NaN (and zero gradient) where fewer than two visible views determine one.
        weights: Weight of each view (Eq. 5), in [weight_floor, 1]; 0 in views that are not visible and for lost joints.
        wss_mm: Root mean square distance of the pairs' points from their centre (the root of Eq. 6); a constant.
        kept: False for discarded and for lost joints.
    """

    points_mm: Float[Tensor, "*batch J 3"]
    weights: Float[Tensor, "*batch V J"]
    wss_mm: Float[Tensor, "*batch J"]
    kept: Bool[Tensor, "*batch J"]


def triangulate_dlt(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    weights: Float[Tensor, "*batch V J"] | None = None,
    *,
    metric: Metric = "scene",
) -> Float[Tensor, "*batch J 3"]:
    """Triangulate joints by the weighted direct linear transform.

    Minimises the algebraic error (Hartley & Zisserman, sec. 12.2): the rows `w (x P3 - P1)` and `w (y P3 - P2)` of all
    views, times the homogeneous point of length one, as short as possible. That length depends on the world's origin
    and unit, and with it the result under noise; the `scene` metric measures it in a frame centred where the cameras
    look (`core.geometry.projection.scene_frame`), with each matrix scaled to be `K [R | t]`.

    Differentiable once, with respect to points, weights and projections (the scene's frame is a constant), also where
    eigenvalues coincide. A joint is lost (NaN, zero gradient, the others untouched) where a view that carries weight
    is not finite, or where the views that carry weight do not determine it: fewer than two, or identical cameras.

    Args:
        projections: `K [R | t]` per view; maps world millimetres to pixels.
        points_px: Detected joints in the same pixels, undistorted and after any crop; ignored where the weight is 0.
        weights: Confidence per detection, >= 0, of any scale; `None` means all ones.
        metric: `scene`, or `raw` for the plain form of the libraries on projections as they are given. Any unit is fine
            there; metres near the origin are best.

    Raises:
        ValueError: Fewer than two views, or shapes that do not fit.
    """
    _check_shapes(projections, points_px, weights)
    views = ViewSystems.build(projections, points_px, metric)
    if weights is None:
        weights = torch.ones_like(points_px[..., 0])
    return views.solve(weights.double().movedim(-2, -1)).to(points_px.dtype)


def triangulate_robust(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    config: RobustConfig,
    *,
    visible: Bool[Tensor, "*batch V J"] | None = None,
) -> RobustTriangulation:
    """Triangulate joints by the views that agree (Eq. 4 to 6).

    All pairs of views are triangulated (Eq. 4), their geometric median is the centre, a pair weighs
    `exp(-d^2 / sigma^2)` by its distance from the centre and a view the median over its partners (Eq. 5); the weighted
    DLT of all views gives the joint. Results jump at the WSS threshold and where a median changes its partner.

    Args:
        projections: `K [R | t]` per view; maps world millimetres to pixels.
        points_px: Detected joints; those of views that are not visible may hold anything.
        config: Settings.
        visible: Which detections exist; `None`: all. Pairs with a missing view are left out.

    Raises:
        ValueError: Fewer than two views, or shapes that do not fit.
    """
    _check_shapes(projections, points_px, visible)
    if visible is None:
        visible = torch.ones_like(points_px[..., 0], dtype=torch.bool)
    is_live = visible.movedim(-2, -1)
    views = ViewSystems.build(projections, points_px, "scene")
    with torch.set_grad_enabled(torch.is_grad_enabled() and not config.detach_weights):
        weights, wss_mm = _agreement(views.detach() if config.detach_weights else views, is_live, config)
    kept = torch.ones_like(wss_mm, dtype=torch.bool)
    if config.wss is not None:
        is_scattered = wss_mm > config.wss.threshold_rms_mm
        if config.wss.above == "equal_weights":
            weights = torch.where(is_scattered[..., None], is_live.to(weights.dtype), weights)
        elif config.wss.above == "discard":
            kept = ~is_scattered
    points_mm = views.solve(weights)
    is_found = points_mm.isfinite().all(dim=-1)
    dtype = points_px.dtype
    return RobustTriangulation(
        points_mm=points_mm.to(dtype),
        weights=torch.where(is_found[..., None], weights, 0.0).movedim(-1, -2).to(dtype),
        wss_mm=torch.where(is_found, wss_mm, torch.nan).to(dtype),
        kept=kept & is_found,
    )


def _agreement(
    views: ViewSystems, is_live: Bool[Tensor, "*batch J V"], config: RobustConfig
) -> tuple[Float[Tensor, "*batch J V"], Float[Tensor, "*batch J"]]:
    """Weights of the views (Eq. 5) and the pairs' root mean square distance from their centre (Eq. 6)."""
    pairs_mm = views.solve_pairs(is_live)
    is_valid = pairs_mm.isfinite().all(dim=-1)
    centre_mm = geometric_median(pairs_mm, is_valid)
    offsets_mm = torch.where(is_valid[..., None], pairs_mm - centre_mm[..., None, :], 0.0)
    squares_mm2 = offsets_mm.square().sum(dim=-1)
    pair_weights = torch.exp(-squares_mm2 / config.sigma_mm**2)
    partners = _partner_pairs(is_live.shape[-1], is_live.device)
    weights = masked_median(pair_weights[..., partners], is_valid[..., partners], config.even_median)
    weights = torch.where(is_live, weights.clamp(min=config.weight_floor), 0.0)
    num_pairs = is_valid.sum(dim=-1)
    wss_mm = (squares_mm2.detach().sum(dim=-1) / num_pairs.clamp(min=1)).sqrt()
    return weights, torch.where(num_pairs > 0, wss_mm, torch.nan)


def _partner_pairs(num_views: int, device: torch.device) -> Tensor:
    """For each view (rows), the indices of the pairs it is in."""
    first, second = view_pairs(num_views, device)
    views = torch.arange(num_views, device=device)[:, None]
    return ((first == views) | (second == views)).nonzero()[:, 1].view(num_views, num_views - 1)


def _check_shapes(projections: Tensor, points_px: Tensor, per_view: Tensor | None) -> None:
    """Refuse shapes that do not fit, before torch would broadcast them into something else."""
    if projections.shape[-2:] != (3, 4) or projections.ndim < 3:
        raise ValueError(f"projections must have shape (*batch, V, 3, 4), got {tuple(projections.shape)}")
    if projections.shape[-3] < 2:
        raise ValueError(f"triangulation needs at least 2 views, got {projections.shape[-3]}")
    batch_and_views = projections.shape[:-2]
    if points_px.ndim < 3 or points_px.shape[-1] != 2 or points_px.shape[:-2] != batch_and_views:
        raise ValueError(
            f"points_px must have shape (*batch, V, J, 2) with the batch and views {tuple(batch_and_views)} of the "
            f"projections, got {tuple(points_px.shape)}"
        )
    if per_view is not None and per_view.shape != points_px.shape[:-1]:
        raise ValueError(
            f"weights (or visible) must have the shape (*batch, V, J) = {tuple(points_px.shape[:-1])} of the points, "
            f"got {tuple(per_view.shape)}"
        )
