"""What betrays files in other units, or files that do not belong together.

Axis letters beyond the usual: `N` frames.
"""

from core.typing import Float, Tensor

SMALLEST_MM, LARGEST_MM = 200.0, 5_000.0
"""A person reaches at least and at most so far from the middle of its joints, by a wide margin."""
LARGEST_MISFIT_PX = 50.0
"""Median distance of detections from the projected truth above which they show something else."""
SMALLEST_SPREAD_PX = 4.0


def check_size(joints_mm: Float[Tensor, "N J 3"], unit: str, where: str) -> None:
    """Refuse joints that are not a person's in the unit that the files are said to be in.

    Args:
        joints_mm: Converted from that unit.
        unit: What they were taken for, for the message.
        where: File and key, for the message.

    Raises:
        ValueError: Joints are not finite, or a pose is far too small or too large.
    """
    if not bool(joints_mm.isfinite().all()):
        raise ValueError(f"{where}: expected finite joints, found NaN or infinity")
    reach_mm = (joints_mm - joints_mm.mean(dim=1, keepdim=True)).norm(dim=-1).amax(dim=1).median()
    if not SMALLEST_MM <= float(reach_mm) <= LARGEST_MM:
        raise ValueError(
            f"{where}: expected joints in {unit}; read so, a person reaches {float(reach_mm):.4g} mm from its middle, "
            f"which should lie between {SMALLEST_MM:.0f} and {LARGEST_MM:.0f} mm: is the file in another unit?"
        )


def check_fit(
    points_px: Float[Tensor, "N V J 2"],
    confidences: Float[Tensor, "N V J"],
    truth_px: Float[Tensor, "N V J 2"],
    where: str,
) -> None:
    """Refuse detections that do not lie where the cameras see the truth.

    Args:
        points_px: Undistorted detections.
        confidences: 0 where there is none.
        truth_px: Where the cameras see the joints.
        where: The files, for the message.

    Raises:
        ValueError: Nothing was detected, the points are no pixels, or they lie elsewhere.
    """
    is_there = (confidences > 0) & truth_px.isfinite().all(dim=-1)
    if not bool(is_there.any()):
        raise ValueError(f"{where}: expected detections, found none in any frame and view")
    found = points_px[is_there]
    if float(found.std(dim=0, correction=0).max()) < SMALLEST_SPREAD_PX and len(found) > 1:
        raise ValueError(
            f"{where}: expected detections in pixels, found values from {float(found.min()):.4g} to "
            f"{float(found.max()):.4g}: are they normalised?"
        )
    misfit_px = float((found - truth_px[is_there]).norm(dim=-1).median())
    if misfit_px > LARGEST_MISFIT_PX:
        raise ValueError(
            f"{where}: expected detections near the projected joints, found a median distance of {misfit_px:.0f} px: "
            "do detections, cameras and joints belong together, in the same order of cameras?"
        )
