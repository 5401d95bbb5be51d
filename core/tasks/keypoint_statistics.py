"""Counting what a data set of keypoints holds: Rochette et al. 2019, table 1."""

from dataclasses import dataclass
from typing import Literal

from core.data.keypoints import KeypointsConfig, load_keypoints
from core.data.statistics import keypoint_statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Which frames are counted.

    Attributes:
        row: A split by its row in the table, or all.
    """

    row: Literal["Training", "Validation", "Test", "Total"] = "Total"


def run(*, counted: Counted, data: KeypointsConfig, seed: int) -> dict[str, float]:
    """Count.

    Returns:
        `frames`, `views_min`, `views_max` and `individuals`.
    """
    return keypoint_statistics(load_keypoints(data, seed))[counted.row]
