"""The compiled kernel: loaded once per process, its C functions by name, and what they are told."""

import ctypes
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch

from core.geometry.dlt import MIN_HOMOGENEOUS, MIN_RELATIVE_GAP
from core.geometry.median import MAX_STEPS, SMOOTHING_MM, TOLERANCE_MM
from core.geometry.native.build import BuildError, built_library
from core.geometry.projection import MIN_SCALE_MM
from core.geometry.robust import RobustConfig
from core.typing import Float, Tensor

_DOUBLE, _INT32, _INT64, _POINTER = ctypes.c_double, ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
_ABOVE = ("keep", "equal_weights", "discard")

_log = logging.getLogger(__name__)


class _Constants(ctypes.Structure):
    """`Constants` of `rig.h`."""

    _fields_ = (
        ("min_scale_mm", _DOUBLE),
        ("min_relative_gap", _DOUBLE),
        ("min_homogeneous", _DOUBLE),
        ("median_tolerance_mm", _DOUBLE),
        ("median_smoothing_mm", _DOUBLE),
        ("median_max_steps", _DOUBLE),
    )


class _Settings(ctypes.Structure):
    """`RobustSettings` of `agreement.h`."""

    _fields_ = (
        ("sigma_mm", _DOUBLE),
        ("weight_floor", _DOUBLE),
        ("wss_threshold_mm", _DOUBLE),
        ("above", _INT32),
        ("is_mean", _INT32),
    )


class _Input(ctypes.Structure):
    """`Input` of `triangulation.cpp`."""

    _fields_ = (
        ("is_double", _INT32),
        ("is_double_rig", _INT32),
        ("num_frames", _INT64),
        ("num_views", _INT64),
        ("num_joints", _INT64),
        ("projection_stride", _INT64),
        ("projections", _POINTER),
        ("points", _POINTER),
        ("frame_stride", _INT64),
        ("view_stride", _INT64),
        ("joint_stride", _INT64),
        ("axis_stride", _INT64),
    )


_SIGNATURES = {
    "ablate_dlt_forward": (_POINTER, _POINTER, _INT32, _INT32, *[_POINTER] * 3),
    "ablate_dlt_backward": (_POINTER, _POINTER, _INT32, _INT32, *[_POINTER] * 5),
    "ablate_robust_forward": (_POINTER, _POINTER, _POINTER, _INT32, *[_POINTER] * 6),
    "ablate_robust_backward": (_POINTER, _POINTER, _POINTER, _INT32, *[_POINTER] * 5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """The kernel's functions, see `triangulation.cpp`; each releases the interpreter while it runs."""

    dlt_forward: Callable[..., None]
    dlt_backward: Callable[..., None]
    robust_forward: Callable[..., None]
    robust_backward: Callable[..., None]


@cache
def library() -> Library | str:
    """The compiled kernel, or why there is none here, which is logged once."""
    try:
        shared = ctypes.CDLL(str(built_library()))
    except (BuildError, OSError) as error:
        _log.warning("triangulation runs on plain torch, many times slower than compiled: %s", error)
        return str(error)
    for name, arguments in _SIGNATURES.items():
        function = getattr(shared, name)
        function.argtypes, function.restype = arguments, None
    return Library(**{name.removeprefix("ablate_"): getattr(shared, name) for name in _SIGNATURES})


CONSTANTS = ctypes.pointer(
    _Constants(MIN_SCALE_MM, MIN_RELATIVE_GAP, MIN_HOMOGENEOUS, TOLERANCE_MM, SMOOTHING_MM, MAX_STEPS)
)
"""The reference form's numbers."""


@cache
def settings(config: RobustConfig) -> Any:
    """The settings as the kernel reads them."""
    wss = config.wss
    threshold_mm, above = (math.inf, "keep") if wss is None else (wss.threshold_rms_mm, wss.above)
    is_mean = config.even_median == "mean"
    return ctypes.pointer(_Settings(config.sigma_mm, config.weight_floor, threshold_mm, _ABOVE.index(above), is_mean))


class Batch(NamedTuple):
    """Projections and points as the kernel reads them; it holds the tensors that the pointers look into.

    Attributes:
        projections: Float32 or float64; the frames may be expanded from one.
        points: Of the type to compute in; the frames may lie anywhere.
        input: The C structure.
    """

    projections: Float[Tensor, "F V 3 4"]
    points: Float[Tensor, "*batch V J 2"]
    input: Any

    @classmethod
    def of(cls, projections: Float[Tensor, "*batch V 3 4"], points: Float[Tensor, "*batch V J 2"]) -> "Batch":
        """Point at the tensors, which are copied where the kernel cannot read them as they lie."""
        num_views, num_joints = points.shape[-3:-1]
        frames = projections
        if frames.ndim != 4:
            frames = frames.reshape(math.prod(frames.shape[:-3]), num_views, 3, 4)
        if frames.dtype not in (torch.float32, torch.float64):
            frames = frames.double()
        if frames.stride()[1:] != (12, 4, 1):
            frames = frames.contiguous()
        if points.ndim > 4:
            points = points.contiguous()
        size = frames.element_size()
        given = _Input(
            points.dtype == torch.float64,
            size == 8,
            frames.shape[0],
            num_views,
            num_joints,
            frames.stride(0) * size,
            frames.data_ptr(),
            points.data_ptr(),
            *_strides(points),
        )
        return cls(frames, points, ctypes.byref(given))


def _strides(points: Tensor) -> tuple[int, ...]:
    """From one frame, view, joint and coordinate to the next."""
    strides = points.stride()
    return strides if len(strides) == 4 else (points.stride(-3) * points.shape[-3], *strides[-3:])


def address(tensor: Tensor | None) -> int | None:
    """Where a contiguous tensor's numbers lie; nowhere for none."""
    return None if tensor is None else tensor.data_ptr()
