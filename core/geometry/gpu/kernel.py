"""Triangulation by the Triton kernels, with their own backward pass.

What a kernel is not certain of in float32 is solved again in float64, and what it is not certain of there by the
reference form. To learn whether there is any such point, each call waits for the GPU.
"""

from typing import Any

import torch
import triton
from torch.autograd.function import once_differentiable

from core.geometry import reference, shifted
from core.geometry.dlt import Metric
from core.geometry.gpu.agreement_kernel import weigh_views
from core.geometry.gpu.dlt_kernels import dlt_backward, dlt_forward
from core.geometry.gpu.tables import RigTables, padded_pairs, settings
from core.geometry.robust import RobustConfig, RobustTriangulation
from core.geometry.shifted import MIN_DETERMINANT
from core.typing import Bool, Float, Shaped, Tensor

PAIR_MIN_DETERMINANT = {torch.float32: 1e-4, torch.float64: 1e-9}
"""`MIN_DETERMINANT` of pairs. They only vote, so that micrometres are no matter, and pairs of cameras that face each
other are common: in a ring of eight, 7 % of the points have a pair below the first number, and 0.1 % one below 1e-6."""

POINTS_PER_PROGRAM = 128

PAIRS_PER_PROGRAM = 256
"""Two for each thread: float64 then fits into the registers."""

_STATE_SIZE = 9
"""Numbers per point that the forward pass keeps for the backward pass."""


def dlt(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    weights: Float[Tensor, "*batch V J"] | None,
    metric: Metric,
) -> Float[Tensor, "*batch J 3"]:
    """`core.geometry.triangulation.triangulate_dlt`; the raw metric by the reference form, as it is for comparisons."""
    if metric == "raw":
        return reference.dlt(projections, points_px, weights, metric)
    points = _by_frame(points_px, 3, _compute_dtype(points_px)).contiguous()
    if weights is not None:
        weights = _by_frame(weights, 2, points.dtype).contiguous()
    points_mm = _solve(_by_frame(projections, 3), points, weights)
    return points_mm.view(*points_px.shape[:-3], points_px.shape[-2], 3).to(points_px.dtype)


def robust(
    projections: Float[Tensor, "*batch V 3 4"],
    points_px: Float[Tensor, "*batch V J 2"],
    config: RobustConfig,
    visible: Bool[Tensor, "*batch V J"] | None,
) -> RobustTriangulation:
    """`core.geometry.triangulation.triangulate_robust`; the full gradient, also through weights, by plain torch."""
    if not config.detach_weights and points_px.requires_grad and torch.is_grad_enabled():
        return shifted.robust(projections, points_px, config, visible)
    cameras, points = _by_frame(projections, 3), _by_frame(points_px, 3, _compute_dtype(points_px)).contiguous()
    if visible is not None:
        visible = _by_frame(visible, 2).contiguous()
    with torch.no_grad():
        weights, wss_mm = _weigh(cameras, points, config, visible)
    points_mm = _solve(cameras, points, weights)
    kept = is_found = points_mm.detach().isfinite().all(dim=-1)
    if config.wss is not None and config.wss.above == "discard":
        kept = is_found & ~(wss_mm > config.wss.threshold_rms_mm)
    weights = torch.where(is_found[:, None], weights, 0.0)
    shape, dtype = (*points_px.shape[:-3], points_px.shape[-2]), points_px.dtype
    return RobustTriangulation(
        points_mm=points_mm.view(*shape, 3).to(dtype),
        weights=weights.view(points_px.shape[:-1]).to(dtype),
        wss_mm=torch.where(is_found, wss_mm, torch.nan).view(shape).to(dtype),
        kept=kept.view(shape),
    )


def _compute_dtype(points_px: Tensor) -> torch.dtype:
    return torch.float64 if points_px.dtype == torch.float64 else torch.float32


def _by_frame(tensor: Shaped[Tensor, "..."], num_axes: int, dtype: torch.dtype | None = None) -> Shaped[Tensor, "..."]:
    """All axes before the last ones as one."""
    batch, rest = tensor.shape[:-num_axes], tensor.shape[-num_axes:]
    return tensor.reshape(batch.numel(), *rest).to(dtype or tensor.dtype)


def _pick(tensor: Shaped[Tensor, "F V J *rest"], index: tuple[Tensor, ...]) -> Shaped[Tensor, "N V 1 *rest"]:
    """Single joints, by frame and joint, as frames of one joint."""
    frames, joints = index
    return tensor[frames, :, joints].unsqueeze(2)


def _solve(
    projections: Float[Tensor, "F V 3 4"], points: Float[Tensor, "F V J 2"], weights: Float[Tensor, "F V J"] | None
) -> Float[Tensor, "F J 3"]:
    """Points in mm; NaN where there is none."""
    tables = RigTables.of(projections, points.dtype)
    points_mm, is_open = _Dlt.apply(points, weights, tables)  # type: ignore[no-untyped-call]
    index = is_open.nonzero(as_tuple=True)
    if len(index[0]) == 0:
        return points_mm
    some = projections[index[0]], _pick(points, index).double()
    some_weights = None if weights is None else _pick(weights, index).double()
    if points.dtype == torch.float32:
        exact = _solve(*some, some_weights)
    else:
        exact = reference.dlt(*some, some_weights, "scene")
    return points_mm.index_put(index, exact[:, 0].to(points_mm.dtype))


def _weigh(
    projections: Float[Tensor, "F V 3 4"],
    points: Float[Tensor, "F V J 2"],
    config: RobustConfig,
    visible: Bool[Tensor, "F V J"] | None,
) -> tuple[Float[Tensor, "F V J"], Float[Tensor, "F J"]]:
    """Weights of the views, and the pairs' root mean square distance from their centre in mm."""
    weights, wss_mm, is_open = _weigh_certain(RigTables.of(projections, points.dtype), points, config, visible)
    index = is_open.nonzero(as_tuple=True)
    if len(index[0]) == 0:
        return weights, wss_mm
    some = projections[index[0]], _pick(points, index).double(), config
    some_visible = None if visible is None else _pick(visible, index)
    if points.dtype == torch.float32:
        exact_weights, exact_mm = _weigh(*some, some_visible)
    else:
        exact = reference.robust(*some, some_visible)
        exact_weights, exact_mm = exact.weights, exact.wss_mm
    weights[index[0], :, index[1]] = exact_weights[..., 0].to(weights.dtype)
    wss_mm[index] = exact_mm[:, 0].to(wss_mm.dtype)
    return weights, wss_mm


def _weigh_certain(
    tables: RigTables, points: Float[Tensor, "F V J 2"], config: RobustConfig, visible: Bool[Tensor, "F V J"] | None
) -> tuple[Float[Tensor, "F V J"], Float[Tensor, "F J"], Bool[Tensor, "F J"]]:
    """The same by one kernel, and which points have pairs that it is not certain of."""
    num_frames, num_views, num_joints = points.shape[:3]
    weights = points.new_empty(points.shape[:3])
    wss_mm = points.new_empty(num_frames, num_joints)
    is_open = torch.empty_like(wss_mm, dtype=torch.bool)
    pairs = padded_pairs(num_views, points.device)
    _launch(
        weigh_views,
        max(PAIRS_PER_PROGRAM // pairs.shape[1], 1),
        *(points, visible, tables.views, tables.frames, settings(config, points.dtype, points.device), pairs),
        *(weights, wss_mm, is_open, num_frames * num_joints, num_joints, tables.step),
        NUM_VIEWS=num_views,
        NUM_PAIRS=pairs.shape[1],
        MIN_DETERMINANT=PAIR_MIN_DETERMINANT[points.dtype],
        IS_MEAN=config.even_median == "mean",
        IS_EQUAL_ABOVE=config.wss is not None and config.wss.above == "equal_weights",
    )
    return weights, wss_mm, is_open


def _launch(kernel: Any, block: int, points: Tensor, *arguments: object, **constants: object) -> None:
    """Run a kernel on all points, on the device where they lie."""
    num_frames, _, num_joints = points.shape[:3]
    with torch.cuda.device_of(points):
        kernel[(triton.cdiv(num_frames * num_joints, block),)](points, *arguments, BLOCK=block, **constants)


class _Dlt(torch.autograd.Function):
    """The weighted DLT of points and weights; also gives the points that it is not certain of, which are NaN."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, weights: Tensor | None, tables: RigTables) -> tuple[Tensor, Tensor]:
        num_frames, num_views, num_joints = points.shape[:3]
        points_mm = points.new_empty(num_frames, num_joints, 3)
        is_open = points.new_empty(num_frames, num_joints, dtype=torch.bool)
        state = points.new_empty(_STATE_SIZE, num_frames, num_joints) if any(ctx.needs_input_grad) else None
        _launch(
            dlt_forward,
            POINTS_PER_PROGRAM,
            *(points, weights, tables.views, tables.frames, points_mm, state, is_open),
            *(num_frames * num_joints, num_joints, tables.step),
            NUM_VIEWS=num_views,
            MIN_DETERMINANT=MIN_DETERMINANT[points.dtype],
        )
        ctx.save_for_backward(points, weights, tables.views, tables.frames, state)
        ctx.rig_step = tables.step
        ctx.mark_non_differentiable(is_open)
        return points_mm, is_open

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        points, weights, views, frames, state = ctx.saved_tensors
        num_frames, num_views, num_joints = points.shape[:3]
        to_points = torch.empty_like(points)
        to_weights = torch.empty_like(weights) if ctx.needs_input_grad[1] else None
        _launch(
            dlt_backward,
            POINTS_PER_PROGRAM,
            *(points, weights, views, frames, state, gradient.contiguous(), to_points, to_weights),
            *(num_frames * num_joints, num_joints, ctx.rig_step),
            NUM_VIEWS=num_views,
        )
        return to_points, to_weights, None
