"""What a data set holds, split by split: how many frames, views and people (Rochette et al. 2019, table 1)."""

from collections.abc import Mapping

from core.data.multiview_keypoints import KeypointSplits, MultiViewKeypoints

ROWS: Mapping[str, str] = {"train": "Training", "validation": "Validation", "test": "Test"}
"""Splits, and the rows under which they are shown."""


def split_statistics(split: MultiViewKeypoints) -> dict[str, float]:
    """Count the frames, the fewest and the most views that recorded one, and the individuals.

    A view recorded a frame where any joint was detected in it.
    """
    num_views = (split.confidences > 0).any(dim=-1).sum(dim=-1)
    return {
        "frames": float(len(split)),
        "views_min": float(num_views.min()),
        "views_max": float(num_views.max()),
        "individuals": float(len(split.subject.unique())),
    }


def keypoint_statistics(splits: KeypointSplits) -> dict[str, dict[str, float]]:
    """Describe every split, and all of them together: rows of columns."""
    rows = {row: split_statistics(getattr(splits, name)) for name, row in ROWS.items()}
    each = list(rows.values())
    rows["Total"] = {
        "frames": sum(row["frames"] for row in each),
        "views_min": min(row["views_min"] for row in each),
        "views_max": max(row["views_max"] for row in each),
        "individuals": sum(row["individuals"] for row in each),
    }
    return rows
