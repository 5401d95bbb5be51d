"""Triangulation by the compiled kernel, with its own backward passes.

Results are those of the reference form (`core.geometry.reference`), for projections that need no gradient.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from core.geometry.dlt import Metric
from core.geometry.native.library import CONSTANTS, Batch, Library, address, library, settings
from core.geometry.robust import RobustConfig, RobustTriangulation
from core.typing import Bool, Float, Tensor

_STATE_SIZE = 9
"""Numbers per point that the forward pass keeps for the backward pass."""


def dlt(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    weights: Float[Tensor, "*batch V J"] | None,
    metric: Metric,
) -> Float[Tensor, "*batch J 3"]:
    """`core.geometry.triangulation.triangulate_dlt`."""
    dtype, is_raw = points_px.dtype, metric == "raw"
    compute = _compute_dtype(dtype, is_raw)
    points = points_px if dtype == compute else points_px.to(compute)
    if weights is not None and weights.dtype != compute:
        weights = weights.to(compute)
    if torch.is_grad_enabled() and (points.requires_grad or (weights is not None and weights.requires_grad)):
        result = _Dlt.apply(points, weights, projections, is_raw)  # type: ignore[no-untyped-call]
    else:
        result, _ = _dlt_forward(Batch.of(projections, points), _contiguous(weights), is_raw, with_state=False)
    return result if dtype == compute else result.to(dtype)


def robust(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    config: RobustConfig,
    visible: Bool[Tensor, "*batch V J"] | None,
) -> RobustTriangulation:
    """`core.geometry.triangulation.triangulate_robust`."""
    dtype = points_px.dtype
    compute = _compute_dtype(dtype, is_raw=False)
    points = points_px if dtype == compute else points_px.to(compute)
    if torch.is_grad_enabled() and points.requires_grad:
        points_mm, weights, wss_mm, kept = _Robust.apply(points, projections, config, visible)  # type: ignore[no-untyped-call]
    else:
        batch = Batch.of(projections, points)
        points_mm, weights, wss_mm, kept, _ = _robust_forward(batch, config, _contiguous(visible), with_state=False)
    if dtype != compute:
        points_mm, weights, wss_mm = points_mm.to(dtype), weights.to(dtype), wss_mm.to(dtype)
    return RobustTriangulation(points_mm=points_mm, weights=weights, wss_mm=wss_mm, kept=kept)


def _compute_dtype(dtype: torch.dtype, is_raw: bool) -> torch.dtype:
    """Float64 for itself and for the raw metric, whose constraint may be far out of proportion; else float32."""
    return torch.float64 if is_raw or dtype == torch.float64 else torch.float32


def _functions() -> Library:
    functions = library()
    assert isinstance(functions, Library), functions
    return functions


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _dlt_forward(
    batch: Batch, weights: Tensor | None, is_raw: bool, *, with_state: bool
) -> tuple[Float[Tensor, "*batch J 3"], Float[Tensor, "S *batch J"] | None]:
    points = batch.points
    result = points.new_empty(*points.shape[:-3], points.shape[-2], 3)
    state = points.new_empty(_STATE_SIZE, *result.shape[:-1]) if with_state else None
    _functions().dlt_forward(
        CONSTANTS, batch.input, is_raw, torch.get_num_threads(), address(weights), address(result), address(state)
    )
    return result, state


def _dlt_backward(
    batch: Batch, weights: Tensor | None, state: Tensor, gradient: Tensor, *, is_raw: bool, wants_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of points, and of weights if they are wanted."""
    to_points = batch.points.new_empty(batch.points.shape)
    to_weights = weights.new_empty(weights.shape) if wants_weights and weights is not None else None
    tensors = (weights, state, gradient.contiguous(), to_points, to_weights)
    _functions().dlt_backward(CONSTANTS, batch.input, is_raw, torch.get_num_threads(), *map(address, tensors))
    return to_points, to_weights


class _Dlt(torch.autograd.Function):
    """The weighted DLT of points and weights."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, weights: Tensor | None, projections: Tensor, is_raw: bool) -> Tensor:
        weights = _contiguous(weights)
        batch = Batch.of(projections, points)
        result, state = _dlt_forward(batch, weights, is_raw, with_state=True)
        ctx.save_for_backward(batch.points, projections, weights, state)
        ctx.is_raw = is_raw
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        points, projections, weights, state = ctx.saved_tensors
        batch = Batch.of(projections, points)
        wants_weights = ctx.needs_input_grad[1]
        to_points, to_weights = _dlt_backward(
            batch, weights, state, gradient, is_raw=ctx.is_raw, wants_weights=wants_weights
        )
        return to_points, to_weights, None, None


def _robust_forward(
    batch: Batch, config: RobustConfig, visible: Tensor | None, *, with_state: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    points = batch.points
    weights = points.new_empty(points.shape[:-1])
    points_mm = points.new_empty(*points.shape[:-3], points.shape[-2], 3)
    wss_mm = points.new_empty(points_mm.shape[:-1])
    kept = points.new_empty(points_mm.shape[:-1], dtype=torch.bool)
    state = points.new_empty(_STATE_SIZE, *kept.shape) if with_state else None
    _functions().robust_forward(
        CONSTANTS,
        batch.input,
        settings(config),
        torch.get_num_threads(),
        address(visible),
        *map(address, (points_mm, weights, wss_mm, kept, state)),
    )
    return points_mm, weights, wss_mm, kept, state


class _Robust(torch.autograd.Function):
    """The robust triangulation; its weights are constants where the settings say so, and the spread always is."""

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, projections: Tensor, config: RobustConfig, visible: Tensor | None
    ) -> tuple[Tensor, ...]:
        visible = _contiguous(visible)
        batch = Batch.of(projections, points)
        points_mm, weights, wss_mm, kept, state = _robust_forward(batch, config, visible, with_state=True)
        ctx.save_for_backward(batch.points, projections, visible, weights, state)
        ctx.config = config
        constants = [wss_mm, kept, *([weights] if config.detach_weights else [])]
        ctx.mark_non_differentiable(*constants)
        ctx.set_materialize_grads(False)
        return points_mm, weights, wss_mm, kept

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_points: Tensor | None, of_weights: Tensor | None, *_: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        points, projections, visible, weights, state = ctx.saved_tensors
        batch = Batch.of(projections, points)
        if of_points is None:
            of_points = torch.zeros_like(state[:3].movedim(0, -1))
        if ctx.config.detach_weights:
            gradients = _dlt_backward(batch, weights, state, of_points, is_raw=False, wants_weights=False)
            return gradients[0], None, None, None
        to_points = batch.points.new_empty(batch.points.shape)
        tensors = (visible, state, of_points.contiguous(), _contiguous(of_weights), to_points)
        _functions().robust_backward(
            CONSTANTS, batch.input, settings(ctx.config), torch.get_num_threads(), *map(address, tensors)
        )
        return to_points, None, None, None
