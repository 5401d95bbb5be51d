from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.root import data_file
from core.data.shelf import BODY_25, FILE, ShelfConfig, read_shelf, shelf_joints
from core.skeleton import SHELF

NUM_FRAMES, NUM_VIEWS, NUM_ACTORS, NUM_PEOPLE = 2, 3, 4, 6


@pytest.fixture
def root(tmp_path: Path) -> str:
    """An archive of the published form, with numbers that count."""
    rng = np.random.default_rng(0)
    (tmp_path / "shelf_openpose").mkdir()
    detections = rng.uniform(0.1, 1.0, (NUM_FRAMES, NUM_VIEWS, NUM_PEOPLE, 25, 3)).astype(np.float32)
    np.savez(
        tmp_path / FILE,
        K=np.tile(np.diag([900.0, 900.0, 1.0]), (NUM_VIEWS, 1, 1)),
        R=np.tile(np.eye(3), (NUM_VIEWS, 1, 1)),
        t=np.zeros((NUM_VIEWS, 3)),
        size=np.array([1032, 776]),
        gt=rng.uniform(-1.0, 1.0, (NUM_FRAMES, NUM_ACTORS, 15, 3)).astype(np.float32),
        det=detections,
        ndet=np.full((NUM_FRAMES, NUM_VIEWS), 2, dtype=np.int16),
    )
    return str(tmp_path)


def standing() -> torch.Tensor:
    """A pose that faces +x, so that its left side is at +y."""
    pose = torch.zeros(25, 3, dtype=torch.float64)
    places = {
        "RShoulder": (0, -200, 1500),
        "LShoulder": (0, 200, 1500),
        "REar": (20, -80, 1700),
        "LEar": (20, 80, 1700),
        "RHip": (0, -100, 900),
        "LHip": (0, 140, 920),
        "LWrist": (50, 250, 800),
        "Nose": (110, 0, 1680),
        "REye": (90, -30, 1720),
        "LEye": (90, 30, 1720),
    }
    for name, place_mm in places.items():
        pose[BODY_25.index(name)] = torch.tensor(place_mm, dtype=torch.float64)
    return pose


def joint(pose: torch.Tensor, name: str) -> list[float]:
    return pose[SHELF.index(name)].tolist()


def test_the_archive_is_read_in_full_precision(root):
    sequence = read_shelf(ShelfConfig(root=root))
    assert sequence.points_px.shape == (NUM_FRAMES, NUM_VIEWS, NUM_PEOPLE, 25, 2)
    assert {sequence.truth_mm.dtype, sequence.points_px.dtype, sequence.scores.dtype} == {torch.float64}
    assert sequence.rig[0].size_px == (1032, 776)


def test_places_without_a_person_have_no_score(root):
    scores = read_shelf(ShelfConfig(root=root)).scores
    assert (scores[:, :, :2] > 0).all()
    assert (scores[:, :, 2:] == 0).all()


def test_the_fingerprint_is_that_of_the_archive(root):
    before = ShelfConfig(root=root).fingerprint()
    with (Path(root) / FILE).open("ab") as archive:
        archive.write(b"x")
    assert ShelfConfig(root=root).fingerprint() != before


def test_a_missing_archive_is_told_by_the_fingerprint():
    with pytest.raises(FileNotFoundError, match=r"^/nowhere/shelf_openpose/shelf.npz: no such data file"):
        ShelfConfig(root="/nowhere").fingerprint()


def test_a_matching_distance_of_zero_is_refused():
    with pytest.raises(ValueError, match="match_px must be > 0, got 0"):
        ShelfConfig(match_px=0.0)


def test_limbs_are_taken_by_name():
    assert joint(shelf_joints(standing()), "LWrist") == [50, 250, 800]
    assert joint(shelf_joints(standing()), "RShoulder") == [0, -200, 1500]


def test_the_pelvis_is_the_middle_of_the_hips():
    assert joint(shelf_joints(standing()), "Pelvis") == [0, 20, 910]


def test_the_head_follows_shoulders_and_ears_and_tips_forward():
    joints = shelf_joints(standing())
    assert joint(joints, "BottomHead") == [10, 0, 1600]
    assert joint(joints, "TopHead") == pytest.approx([10 + 125, 0, 1600 + 145])


def test_without_an_ear_nose_and_eyes_stand_in():
    pose = standing()
    pose[BODY_25.index("LEar")] = torch.nan
    pose[BODY_25.index("Nose")] = torch.nan
    assert joint(shelf_joints(pose), "BottomHead") == [45, 0, 1610]


def test_without_any_face_the_head_is_lost_and_the_rest_stays():
    pose = standing()
    pose[[BODY_25.index(name) for name in ("REar", "LEar", "Nose", "REye", "LEye")]] = torch.nan
    joints = shelf_joints(pose)
    assert joints[[SHELF.index("BottomHead"), SHELF.index("TopHead")]].isnan().all()
    assert joints[: SHELF.index("BottomHead")].isfinite().all()


@pytest.mark.real_data
def test_the_published_sequence_has_the_benchmarks_frames():
    try:
        data_file(None, FILE)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    sequence = read_shelf(ShelfConfig())
    is_there = sequence.truth_mm.isfinite().flatten(2).all(dim=-1)
    assert is_there.sum(dim=0).tolist() == [279, 37, 161, 33]
    pelvis = (sequence.truth_mm[..., 2, :] + sequence.truth_mm[..., 3, :]) / 2
    torch.testing.assert_close(sequence.truth_mm[is_there][:, 14], pelvis[is_there], rtol=0, atol=1e-2)
