"""Several cameras that see one scene: reading them from JSON, and the layouts that simulations use."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.geometry.camera import Camera
from core.typing import Float, Tensor

GROUP_KEYS = ("subjects", "sequences")
"""Top-level keys of a calibration file that hold one rig for each subject or sequence."""

_COURT_SIDE_MM = (
    (-10_500.0, -6_500.0, 2_800.0),
    (1_500.0, -9_800.0, 3_200.0),
    (11_000.0, -5_000.0, 3_000.0),
    (10_000.0, 7_000.0, 2_600.0),
    (-2_000.0, 9_600.0, 3_600.0),
    (-11_000.0, 4_500.0, 3_400.0),
)
_ROOF_MM = ((-500.0, -6_000.0, 8_500.0), (500.0, 6_000.0, 8_500.0))
_COURT_TARGET_MM = (0.0, 0.0, 900.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rig:
    """Named cameras in a fixed order.

    Attributes:
        names: One distinct name for each camera.
        cameras: The cameras, in the order of `names`.
    """

    names: tuple[str, ...]
    cameras: tuple[Camera, ...]

    def __post_init__(self) -> None:
        if not self.cameras or len(self.names) != len(self.cameras) or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"a rig needs one distinct name for each camera: {len(self.cameras)} cameras, names {self.names}"
            )

    def __len__(self) -> int:
        return len(self.cameras)

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __getitem__(self, view: int) -> Camera:
        return self.cameras[view]

    def subset(self, names: Sequence[str]) -> "Rig":
        """The named cameras, in the order asked for.

        Raises:
            ValueError: A name is not in the rig.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise ValueError(f"no camera named {', '.join(unknown)} in the rig; there are {', '.join(self.names)}")
        return Rig(names=tuple(names), cameras=tuple(self.cameras[self.names.index(name)] for name in names))


def projections(rig: Rig) -> Float[Tensor, "V 3 4"]:
    """`K [R | t]` of every camera, float64: world millimetres to pixels of the undistorted images."""
    return torch.stack([camera.projection for camera in rig])


def read_rig(path: Path | str, key: str | None = None) -> Rig:
    """Read the cameras of a calibration file.

    Args:
        path: JSON with `units` ("mm") and either `cameras`, or `subjects` or `sequences` with one rig under each key.
            A camera has `K`, `R`, `t` (x_cam = R X + t), `size` (width, height) and, if distorted, `dist`.
        key: The subject or sequence; `None` for a file with a single rig.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not of this form, or has no such key; the text says what it has.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such calibration file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    if not isinstance(content, dict) or content.get("units") != "mm":
        raise ValueError(f'{path}: expected an object with "units": "mm" at the top of a calibration file')
    entries = _rig_entries(path, content, key)
    names = tuple(entries)
    return Rig(names=names, cameras=tuple(_read_camera(f"{path}: camera {name}", entries[name]) for name in names))


def _rig_entries(path: Path, content: Mapping[str, Any], key: str | None) -> Mapping[str, Any]:
    group = next((name for name in GROUP_KEYS if isinstance(content.get(name), dict)), None)
    if group is not None:
        if key not in content[group]:
            raise ValueError(f"{path}: no {key!r} under {group}; choose one of {', '.join(content[group])}")
        entries = content[group][key]
    else:
        if key is not None:
            raise ValueError(f"{path}: holds a single rig, so leave out the key {key!r}")
        entries = content.get("cameras")
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"{path}: no cameras found; expected cameras, subjects or sequences")
    return entries


def _read_camera(where: str, entry: Any) -> Camera:
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: expected an object with K, R, t, size, got {entry!r}")
    missing = [name for name in ("K", "R", "t", "size") if name not in entry]
    if missing:
        raise ValueError(f"{where}: lacks {', '.join(missing)}; a camera has K, R, t, size and perhaps dist")
    try:
        rotation = torch.tensor(entry["R"], dtype=torch.float64)
        offset = torch.tensor(entry["t"], dtype=torch.float64)
        width, height = (int(length) for length in entry["size"])
        return Camera(
            intrinsics=torch.tensor(entry["K"], dtype=torch.float64),
            world_to_camera=torch.cat([rotation, offset.reshape(-1, 1)], dim=1),
            distortion=torch.tensor(entry.get("dist", [0.0] * 5), dtype=torch.float64),
            size_px=(width, height),
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where}: {error}") from error


def ring_rig(
    num_views: int,
    *,
    radius_mm: float = 5_000.0,
    height_mm: float = 1_800.0,
    target_mm: tuple[float, float, float] = (0.0, 0.0, 1_000.0),
    focal_px: float = 1_150.0,
    size_px: tuple[int, int] = (1_000, 1_000),
) -> Rig:
    """Cameras evenly on a circle around the target's vertical axis, all looking at the target.

    Raises:
        ValueError: `num_views` is below 1.
    """
    if num_views < 1:
        raise ValueError(f"a ring needs at least 1 view, got {num_views}")
    angles_rad = [2 * math.pi * view / num_views for view in range(num_views)]
    return Rig(
        names=tuple(f"ring_{view}" for view in range(num_views)),
        cameras=tuple(
            Camera.look_at(
                (
                    target_mm[0] + radius_mm * math.cos(angle_rad),
                    target_mm[1] + radius_mm * math.sin(angle_rad),
                    height_mm,
                ),
                target_mm,
                focal_px=focal_px,
                size_px=size_px,
            )
            for angle_rad in angles_rad
        ),
    )


def court_rig(generator: torch.Generator | None = None) -> Rig:
    """Eight fixed cameras around a court: six at its sides (2.6 to 3.6 m high), two on the roof (8.5 m).

    Views of 1920 x 1080, focal lengths 1250 px (sides) and 1000 px (roof). The world's origin is the middle of a floor
    of 9 m x 6.4 m, which every camera sees to a height of 2 m.

    Args:
        generator: Moves each camera by up to 0.5 m along each axis of the floor (never beyond |x| = 11 m, |y| = 9.8 m),
            and its target likewise, so that every seed has its own calibration; `None`: the default layout.
    """
    names, cameras = [], []
    for view, eye_mm in enumerate((*_COURT_SIDE_MM, *_ROOF_MM)):
        is_side = view < len(_COURT_SIDE_MM)
        shift_mm = torch.zeros(4, dtype=torch.float64)
        if generator is not None:
            shift_mm = 1_000.0 * torch.rand(4, generator=generator, dtype=torch.float64) - 500.0
        dx, dy, target_dx, target_dy = shift_mm.tolist()
        names.append(f"side_{view}" if is_side else f"roof_{view - len(_COURT_SIDE_MM)}")
        cameras.append(
            Camera.look_at(
                (
                    min(max(eye_mm[0] + dx, -11_000.0), 11_000.0),
                    min(max(eye_mm[1] + dy, -9_800.0), 9_800.0),
                    eye_mm[2],
                ),
                (_COURT_TARGET_MM[0] + target_dx, _COURT_TARGET_MM[1] + target_dy, _COURT_TARGET_MM[2]),
                focal_px=1_250.0 if is_side else 1_000.0,
                size_px=(1_920, 1_080),
            )
        )
    return Rig(names=tuple(names), cameras=tuple(cameras))
