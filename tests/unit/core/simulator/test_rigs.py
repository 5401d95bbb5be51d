import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.geometry.rig import projections
from core.simulator.rigs import PLANS, CalibrationError, make_rig, miscalibrate
from core.simulator.streams import stream

SIZES = {"human36m": (4, (1000, 1000)), "humaneva": (3, (640, 480)), "panoptic": (31, (1920, 1080))}


@pytest.mark.parametrize("name", SIZES)
def test_a_rig_has_the_originals_number_of_cameras_and_image_size(name):
    rig = make_rig(name, stream(0, "rig"))
    assert (len(rig), rig[0].size_px) == SIZES[name]


@pytest.mark.parametrize("name", SIZES)
def test_every_camera_sees_the_middle_of_a_person_on_the_middle_of_the_floor(name):
    body_mm = torch.tensor([[0.0, 0.0, 400.0], [0.0, 0.0, 1000.0], [0.0, 0.0, 1700.0]], dtype=torch.float64)
    for seed in range(5):
        for camera in make_rig(name, stream(seed, "rig")):
            assert camera.inside(camera.project(body_mm)).all()


def test_a_seed_moves_the_cameras_a_little():
    first, second, again = (projections(make_rig("human36m", stream(seed, "rig"))) for seed in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    centres = [make_rig("human36m", stream(seed, "rig"))[0].centre_mm for seed in (0, 1)]
    assert 10 < (centres[0] - centres[1]).norm() < 2 * 100 * 3**0.5


def test_the_dome_has_31_places_2_75_m_from_its_middle():
    eyes = torch.tensor(PLANS["panoptic"].eyes_mm, dtype=torch.float64)
    torch.testing.assert_close((eyes - eyes.new_tensor([0, 0, 1313])).norm(dim=-1), torch.full((31,), 2750.0).double())
    assert torch.cdist(eyes, eyes).fill_diagonal_(1e9).min() > 400


@pytest.mark.parametrize("num_views", [2, 4, 8])
def test_the_first_views_of_the_dome_are_spread(num_views):
    eyes = torch.tensor(PLANS["panoptic"].eyes_mm)[:num_views]
    expected = 2 * 2750.0 / math.sqrt(num_views) * 0.8
    assert torch.cdist(eyes, eyes).fill_diagonal_(1e9).min() > expected


@given(seed=st.integers(0, 1000), rotation_rad=st.floats(0, 0.1), translation_mm=st.floats(0, 100))
def test_a_wrong_calibration_is_still_one_of_cameras(seed, rotation_rad, translation_mm):
    true = torch.stack([camera.world_to_camera for camera in make_rig("humaneva", stream(seed, "rig"))])
    error = CalibrationError(rotation_rad=rotation_rad, translation_mm=translation_mm)
    wrong = miscalibrate(true, error, stream(seed, "calibration"))
    rotation = wrong[..., :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double().expand(3, 3, 3))


def test_errors_of_the_calibration_are_as_large_as_asked_for():
    true = torch.stack([camera.world_to_camera for camera in make_rig("panoptic", stream(0, "rig"))]).repeat(40, 1, 1)
    wrong = miscalibrate(true, CalibrationError(rotation_rad=0.002, translation_mm=3.0), stream(0, "calibration"))
    turned = wrong[..., :3] @ true[..., :3].mT
    angle_rad = ((turned.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(max=1).acos()
    assert float(angle_rad.square().mean().sqrt()) == pytest.approx(0.002 * 3**0.5, rel=0.1)
    centres = [-(pose[..., :3].mT @ pose[..., 3:])[..., 0] for pose in (true, wrong)]
    assert float((centres[0] - centres[1]).square().mean().sqrt()) == pytest.approx(3.0, rel=0.1)


def test_no_error_leaves_the_calibration_alone():
    true = torch.stack([camera.world_to_camera for camera in make_rig("human36m", stream(0, "rig"))])
    torch.testing.assert_close(miscalibrate(true, CalibrationError(), stream(0, "calibration")), true)


def test_a_negative_error_is_refused():
    with pytest.raises(ValueError, match="rotation_rad must be >= 0, got -1"):
        CalibrationError(rotation_rad=-1.0)
