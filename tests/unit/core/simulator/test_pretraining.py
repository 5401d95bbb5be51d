"""The pre-training domain: other halls, rigs and outfits through the same renderer."""

from dataclasses import replace

import pytest
import torch

from core.geometry.rig import projections
from core.simulator.pretraining import (
    PretrainingConfig,
    PretrainingDomain,
    open_pretraining,
    random_rig,
    render_pretraining,
)

SMALL = PretrainingDomain(pretraining=PretrainingConfig(num_crops=50, num_scenes=3, num_players=2, num_views=4))


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretraining") / "crops"
    render_pretraining(SMALL, folder)
    return open_pretraining(folder)


def test_there_are_as_many_crops_as_asked_for(crops):
    assert crops.images.shape == (50, 3, 64, 48) and crops.joints_px.shape == (50, 17, 2)
    assert (crops.images.flatten(1).float().std(dim=1) > 5).all()


def test_most_joints_lie_in_the_crop_and_are_visible(crops):
    inside = (crops.joints_px > -0.5) & (crops.joints_px < torch.tensor([47.5, 63.5]))
    assert inside.all(dim=-1).float().mean() > 0.9
    assert 0.5 < crops.visible.float().mean() < 0.95


def test_the_same_domain_gives_the_same_crops_and_another_seed_others(crops, tmp_path):
    render_pretraining(SMALL, tmp_path / "again")
    other = replace(SMALL, pretraining=replace(SMALL.pretraining, seed=1))
    render_pretraining(other, tmp_path / "other")
    assert torch.equal(open_pretraining(tmp_path / "again").images, crops.images)
    assert not torch.equal(open_pretraining(tmp_path / "other").images, crops.images)


def test_crops_take_the_size_asked_for(tmp_path):
    large = replace(
        SMALL, crop_height_px=80, crop_width_px=64, pretraining=PretrainingConfig(num_crops=4, num_scenes=1)
    )
    render_pretraining(large, tmp_path / "large")
    assert open_pretraining(tmp_path / "large").images.shape == (4, 3, 80, 64)


def test_random_cameras_see_the_middle_of_the_floor():
    matrices = projections(random_rig(6, torch.Generator().manual_seed(0)))
    middle = matrices @ torch.tensor([0.0, 0.0, 900.0, 1.0], dtype=torch.float64)
    expected_px = torch.tensor([959.5, 539.5], dtype=torch.float64).expand(6, 2)
    assert (middle[:, 2] > 5000).all()
    torch.testing.assert_close(middle[:, :2] / middle[:, 2:], expected_px)


def test_more_scenes_than_crops_are_refused():
    with pytest.raises(ValueError, match="num_scenes must be 1 to num_crops=5, got 6"):
        PretrainingConfig(num_crops=5, num_scenes=6)
