"""Rigs from the calibration arrays that data archives carry: `x_cam = R X + t`, millimetres, OpenCV cameras."""

from typing import Any

import numpy.typing as npt
import torch

from core.geometry.camera import Camera
from core.geometry.rig import Rig
from core.typing import Float, Tensor


def rig_from_arrays(
    intrinsics: npt.NDArray[Any],
    rotations: npt.NDArray[Any],
    offsets_mm: npt.NDArray[Any],
    sizes_px: npt.NDArray[Any],
    distortion: npt.NDArray[Any] | None = None,
) -> Rig:
    """Make a rig of cameras named `view_0`, `view_1`, ...

    Args:
        intrinsics: `K`, (V, 3, 3).
        rotations: `R`, (V, 3, 3), world to camera.
        offsets_mm: `t`, (V, 3).
        sizes_px: Width and height, one for all views (2,) or (V, 2).
        distortion: OpenCV's k1, k2, p1, p2 and perhaps k3, (V, 4) or (V, 5); `None`: none.
    """
    num_views = len(intrinsics)
    sizes = sizes_px.reshape(-1, 2).repeat(num_views if sizes_px.ndim == 1 else 1, axis=0)
    cameras = []
    for view in range(num_views):
        width, height = sizes[view].tolist()
        cameras.append(
            Camera(
                intrinsics=_float64(intrinsics[view]),
                world_to_camera=torch.cat([_float64(rotations[view]), _float64(offsets_mm[view])[:, None]], dim=1),
                size_px=(int(width), int(height)),
                distortion=_coefficients(None if distortion is None else distortion[view]),
            )
        )
    return Rig(names=tuple(f"view_{view}" for view in range(num_views)), cameras=tuple(cameras))


def _float64(values: npt.NDArray[Any]) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def _coefficients(values: npt.NDArray[Any] | None) -> Float[Tensor, "5"]:
    coefficients = torch.zeros(5, dtype=torch.float64)
    if values is not None:
        coefficients[: len(values)] = _float64(values)
    return coefficients
