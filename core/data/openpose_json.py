"""OpenPose's JSON output: one file for each image, with the people found in it.

{"people": [{"pose_keypoints_2d": [x, y, confidence, ...], "hand_left_keypoints_2d": [...], ...}]}: 18 joints (its COCO
model) or 25 (BODY_25) of the body, 21 of each hand; a joint that was not found is (0, 0, 0).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.data.shelf import BODY_25
from core.openpose import BODY_18, NUM_BODY_JOINTS, NUM_HAND_JOINTS

FROM_BODY_25 = tuple(BODY_25.index(name) for name in BODY_18.names)
"""Where BODY_25 has the joints of the COCO model; its feet and the middle of the hips are left out."""
HANDS = ("hand_left_keypoints_2d", "hand_right_keypoints_2d")
_BODY = "pose_keypoints_2d"


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error


def entries(content: Any, key: str, where: str) -> list[Any]:
    """Give the list under a key of an object.

    Raises:
        ValueError: There is none.
    """
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        keys = ", ".join(content) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(f"{where}: expected a list under {key}, found {keys or 'an empty object'}")
    return found


def numbers(values: list[Any], width: int, where: str) -> npt.NDArray[np.float64]:
    """Turn a flat list into rows of `width` numbers.

    Raises:
        ValueError: These are no numbers, or do not fill the rows.
    """
    try:
        return np.array(values, dtype=np.float64).reshape(-1, width)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected numbers in rows of {width}, found {len(values)} values") from error


def read_person(path: Path, *, with_hands: bool) -> npt.NDArray[np.float32]:
    """Read the joints of the person that was found with the largest sum of confidences of the body.

    Args:
        path: One image's file. Where it is not there the camera did not record.
        with_hands: Whether the hands follow the body.

    Returns:
        x, y (pixels of the image) and confidence of 18 or 60 joints in the order of `core.openpose`; zeros where
        nothing was found. OpenPose's confidences can exceed 1 by a little and are cut there.

    Raises:
        ValueError: The file is not of this form.
    """
    found = np.zeros((NUM_BODY_JOINTS + 2 * NUM_HAND_JOINTS * with_hands, 3), dtype=np.float32)
    try:
        people = entries(read_json(path), "people", str(path))
    except FileNotFoundError:
        return found
    bodies = [_body(person, f"{path}: people/{index}") for index, person in enumerate(people)]
    if not bodies:
        return found
    best = max(range(len(bodies)), key=lambda index: float(bodies[index][:, 2].sum()))
    found[:NUM_BODY_JOINTS] = bodies[best]
    for side, key in enumerate(HANDS if with_hands else ()):
        where = f"{path}: people/{best}"
        hand = numbers(entries(people[best], key, where), 3, f"{where}/{key}")
        if len(hand) not in (0, NUM_HAND_JOINTS):
            raise ValueError(f"{where}/{key}: expected {NUM_HAND_JOINTS} joints, found {len(hand)}")
        start = NUM_BODY_JOINTS + side * NUM_HAND_JOINTS
        found[start : start + len(hand)] = hand
    found[:, 2] = found[:, 2].clip(0.0, 1.0)
    return found


def _body(person: Any, where: str) -> npt.NDArray[np.float64]:
    rows = numbers(entries(person, _BODY, where), 3, f"{where}/{_BODY}")
    if len(rows) == len(BODY_25):
        return rows[list(FROM_BODY_25)]
    if len(rows) != NUM_BODY_JOINTS:
        raise ValueError(f"{where}/{_BODY}: expected {NUM_BODY_JOINTS} or {len(BODY_25)} joints, found {len(rows)}")
    return rows
