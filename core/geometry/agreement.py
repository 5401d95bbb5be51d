"""The robust triangulation step by step, for any way of solving the views' systems (Roy et al. 2022, Eq. 4 to 6)."""

from typing import Protocol, runtime_checkable

import torch

from core.geometry.dlt import view_pairs
from core.geometry.median import geometric_median, masked_median
from core.geometry.robust import RobustConfig, RobustTriangulation
from core.typing import Bool, Float, Tensor


@runtime_checkable
class Views(Protocol):
    """What each view says about each joint, and points by any of them."""

    def detach(self) -> "Views":
        """The same, constant to autograd."""

    def solve(self, weights: Float[Tensor, "*batch J V"]) -> Float[Tensor, "*batch J 3"]:
        """Points in mm from all views, rows times weights; NaN where the views with weight do not determine one."""

    def solve_pairs(self, is_live: Bool[Tensor, "*batch J V"]) -> Float[Tensor, "*batch J P 3"]:
        """Points in mm from each pair of views (Eq. 4), in `view_pairs` order; NaN where a view is not live."""


def triangulate_by_agreement(
    views: Views, visible: Bool[Tensor, "*batch V J"], config: RobustConfig, dtype: torch.dtype
) -> RobustTriangulation:
    """Weigh the views by how well their pairs agree, triangulate, and write the results as `dtype`."""
    is_live = visible.movedim(-2, -1)
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
    return RobustTriangulation(
        points_mm=points_mm.to(dtype),
        weights=torch.where(is_found[..., None], weights, 0.0).movedim(-1, -2).to(dtype),
        wss_mm=torch.where(is_found, wss_mm, torch.nan).to(dtype),
        kept=kept & is_found,
    )


def _agreement(
    views: Views, is_live: Bool[Tensor, "*batch J V"], config: RobustConfig
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
