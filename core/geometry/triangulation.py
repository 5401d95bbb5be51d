"""Joints from several views: the direct linear transform, and its robust form by agreement of view pairs.

One formulation and four back-ends with the same results, chosen by what is there (`backend`): a compiled kernel for
the CPU (`core.geometry.native`), Triton kernels for GPUs (`core.geometry.gpu`), plain torch for any device
(`core.geometry.shifted`), and the slow float64 form that says what is right (`core.geometry.reference`) and has
gradients of projections, too. Equations are those of Roy et al. (2022).
"""

from types import ModuleType
from typing import Literal

import torch

from core.geometry import reference, shifted
from core.geometry.dlt import Metric
from core.geometry.gpu import triton_backend
from core.geometry.native import kernel
from core.geometry.native.library import Library, library
from core.geometry.robust import RobustConfig, RobustTriangulation, WssRule
from core.typing import Bool, Float, Tensor

__all__ = ["RobustConfig", "RobustTriangulation", "WssRule", "backend", "triangulate_dlt", "triangulate_robust"]

Backend = Literal["native", "triton", "torch"]


def backend(device: torch.device | str = "cpu") -> Backend:
    """Which back-end triangulates tensors on a device; `native` compiles the kernel if that was not done before.

    Gradients of projections come from the reference form in any case.
    """
    module = _fastest(torch.device(device).type)
    if module is shifted:
        return "torch"
    return "native" if module is kernel else "triton"


def _fastest(device_type: str) -> ModuleType:
    if device_type == "cpu":
        return kernel if isinstance(library(), Library) else shifted
    module = triton_backend() if device_type == "cuda" else None
    return shifted if module is None else module


def _backend_for(projections: Tensor, points_px: Tensor) -> ModuleType:
    if projections.requires_grad and torch.is_grad_enabled():
        return reference
    return shifted if torch.compiler.is_compiling() else _fastest(points_px.device.type)


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
    return _backend_for(projections, points_px).dlt(projections, points_px, weights, metric)


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
    return _backend_for(projections, points_px).robust(projections, points_px, config, visible)


def _check_shapes(projections: Tensor, points_px: Tensor, per_view: Tensor | None) -> None:
    """Refuse shapes that do not fit, before torch would broadcast them into something else."""
    rig, seen = projections.shape, points_px.shape
    if len(rig) < 3 or rig[-2:] != (3, 4):
        raise ValueError(f"projections must have shape (*batch, V, 3, 4), got {tuple(rig)}")
    if rig[-3] < 2:
        raise ValueError(f"triangulation needs at least 2 views, got {rig[-3]}")
    if len(seen) < 3 or seen[-1] != 2 or seen[:-2] != rig[:-2]:
        raise ValueError(
            f"points_px must have shape (*batch, V, J, 2) with the batch and views {tuple(rig[:-2])} of the "
            f"projections, got {tuple(seen)}"
        )
    if per_view is not None and per_view.shape != seen[:-1]:
        raise ValueError(
            f"weights (or visible) must have the shape (*batch, V, J) = {tuple(seen[:-1])} of the points, "
            f"got {tuple(per_view.shape)}"
        )
