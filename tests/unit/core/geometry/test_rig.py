"""Rigs: reading calibration files, and the simulated layouts."""

import itertools
import json
import os
from pathlib import Path

import pytest
import torch

from core.geometry.rig import Rig, court_rig, projections, read_rig, ring_rig

ENTRY = {
    "K": [[1000.0, 0, 320], [0, 1000, 240], [0, 0, 1]],
    "R": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "t": [0, 0, 5000],
    "size": [640, 480],
}


def write(folder, content):
    path = folder / "rig.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def cameras_folder():
    root = Path(os.environ.get("ABLATE_DATA", Path(__file__).parents[4].parent / "shared" / "data"))
    if not (root / "cameras").is_dir():
        pytest.skip(f"no camera files in {root}; set ABLATE_DATA to the data folder")
    return root / "cameras"


def test_a_single_rig_is_read(tmp_path):
    rig = read_rig(write(tmp_path, {"units": "mm", "cameras": {"a": ENTRY, "b": {**ENTRY, "dist": [0.1, 0, 0, 0, 0]}}}))
    assert rig.names == ("a", "b")
    assert rig[0].size_px == (640, 480)
    assert rig[1].distortion.tolist() == [0.1, 0, 0, 0, 0]
    assert rig[0].centre_mm.tolist() == [0, 0, -5000]
    assert projections(rig).shape == (2, 3, 4)


@pytest.mark.parametrize("group", ["subjects", "sequences"])
def test_a_rig_of_a_group_is_read_by_its_key(tmp_path, group):
    path = write(tmp_path, {"units": "mm", group: {"S1": {"a": ENTRY}, "S2": {"b": ENTRY}}})
    assert read_rig(path, "S2").names == ("b",)
    for key in ("S3", None):
        with pytest.raises(ValueError, match=rf"rig.json: no '?{key}'? under {group}; choose one of S1, S2"):
            read_rig(path, key)


@pytest.mark.parametrize(
    ("content", "key", "text"),
    [
        ("{\n\n!}", None, r"rig.json:3: not JSON"),
        ([1], None, 'expected an object with "units": "mm"'),
        ({"units": "m", "cameras": {"a": ENTRY}}, None, 'expected an object with "units": "mm"'),
        ({"units": "mm"}, None, "no cameras found"),
        ({"units": "mm", "cameras": {"a": ENTRY}}, "S1", "holds a single rig, so leave out the key 'S1'"),
        ({"units": "mm", "cameras": {"a": {"K": 1, "R": 2}}}, None, "camera a: lacks t, size"),
        ({"units": "mm", "cameras": {"a": {**ENTRY, "t": [1, 2]}}}, None, "rig.json: camera a: "),
        ({"units": "mm", "cameras": {"a": {**ENTRY, "K": "big"}}}, None, "rig.json: camera a: "),
        ({"units": "mm", "cameras": {"a": 5}}, None, "camera a: expected an object"),
    ],
)
def test_a_bad_file_is_refused_with_its_path(tmp_path, content, key, text):
    with pytest.raises(ValueError, match=text):
        read_rig(write(tmp_path, content), key)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such calibration file"):
        read_rig(tmp_path / "none.json")


def test_a_subset_keeps_the_order_asked_for():
    rig = ring_rig(4)
    assert rig.subset(["ring_2", "ring_0"])[0] is rig[2]
    with pytest.raises(ValueError, match="no camera named ring_9 in the rig; there are ring_0, ring_1"):
        rig.subset(["ring_9"])


def test_names_are_distinct():
    camera = ring_rig(1)[0]
    with pytest.raises(ValueError, match="one distinct name"):
        Rig(names=("a", "a"), cameras=(camera, camera))
    with pytest.raises(ValueError, match="at least 1 view, got 0"):
        ring_rig(0)


def test_a_ring_stands_around_its_target():
    rig = ring_rig(5, radius_mm=4_000.0, height_mm=2_000.0)
    centres_mm = torch.stack([camera.centre_mm for camera in rig])
    torch.testing.assert_close(centres_mm[:, :2].norm(dim=1), torch.full((5,), 4_000.0, dtype=torch.float64))
    assert centres_mm[:, 2].tolist() == pytest.approx([2_000.0] * 5)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_the_court_has_six_cameras_at_its_sides_and_two_on_the_roof(seed):
    rig = court_rig(None if seed is None else torch.Generator().manual_seed(seed))
    centres_mm = torch.stack([camera.centre_mm for camera in rig])
    assert [camera.size_px for camera in rig] == [(1_920, 1_080)] * 8
    assert (centres_mm[:, 0].abs() <= 11_000.0 + 1e-6).all()
    assert (centres_mm[:, 1].abs() <= 9_800.0 + 1e-6).all()
    assert ((centres_mm[:6, 2] > 2_599) & (centres_mm[:6, 2] < 3_601)).all()
    assert centres_mm[6:, 2].tolist() == pytest.approx([8_500.0] * 2)


def test_every_camera_of_the_court_sees_the_floor_to_the_height_of_a_player():
    corners_mm = torch.tensor(list(itertools.product([-4_500.0, 4_500.0], [-3_200.0, 3_200.0], [0.0, 2_000.0])))
    for camera in court_rig():
        assert camera.inside(camera.project(corners_mm)).all()


def test_a_generator_moves_the_court_cameras_reproducibly():
    first, again, other = (projections(court_rig(torch.Generator().manual_seed(seed))) for seed in (3, 3, 4))
    assert first.equal(again)
    assert not first.equal(other)
    assert not first.equal(projections(court_rig()))


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "key", "num_views", "focus_mm"),
    [
        ("h36m.json", "S1", 4, None),
        ("h36m.json", "S11", 4, None),
        ("mpi_inf_3dhp.json", "S1_Seq1", 8, None),
        ("panoptic_hd.json", None, 31, (7.0, -1313.0, -12.0)),
        ("shelf.json", None, 5, None),
        ("campus.json", None, 3, None),
    ],
)
def test_published_rigs_are_read(name, key, num_views, focus_mm):
    rig = read_rig(cameras_folder() / name, key)
    assert len(rig) == num_views
    if focus_mm is not None:
        from core.geometry.projection import scene_frame

        assert scene_frame(projections(rig)).centre.tolist() == pytest.approx(focus_mm, abs=30)
