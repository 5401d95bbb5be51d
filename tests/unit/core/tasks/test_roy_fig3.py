import pytest
import torch

from core.geometry.triangulation import RobustConfig, WssRule
from core.interfaces import Standalone
from core.tasks.roy_fig3 import Fig3Config, make_scene, run

RADII_PX = (0, 4, 8)


def robust(**rule) -> RobustConfig:
    return RobustConfig(wss=WssRule(above="equal_weights", **rule))


def outcome(tmp_path, seed: int = 0, **settings):
    trial = Standalone(tmp_path)
    config = Fig3Config(num_points=40, **{"radii_px": RADII_PX, **settings})
    return run(method=config, seed=seed, trial=trial), trial.reports


@pytest.fixture(params=["court", "ring"])
def rig(request) -> str:
    return request.param


def test_few_noisy_views_are_outvoted(rig, tmp_path):
    metrics, _ = outcome(tmp_path, rig=rig)
    assert metrics["minority/ratio_to_plain/max"] < 0.6
    assert metrics["claim/gain_in_minority"] == 1


def test_without_wss_weights_do_harm_when_most_views_are_noisy(rig, tmp_path):
    metrics, _ = outcome(tmp_path, rig=rig)
    assert metrics["majority/ratio_to_plain/mean"] > 1.1
    assert metrics["claim/harm_in_majority"] == 1
    assert metrics["claim/no_harm_from_half"] == 0


def test_the_threshold_in_square_millimetres_is_plain_dlt(tmp_path):
    metrics, _ = outcome(tmp_path, robust=robust(statistic="mean_square_mm2", threshold=20.0))
    assert metrics["minority/ratio_to_plain/min"] > 0.95
    assert metrics["claim/no_harm_from_half"] == 1
    assert metrics["minority/scattered"] > 90


def test_the_threshold_in_square_metres_keeps_the_gain(rig, tmp_path):
    metrics, _ = outcome(tmp_path, rig=rig, robust=robust(statistic="mean_square_m2", threshold=0.02))
    assert metrics["claim/gain_in_minority"] == 1
    assert metrics["majority/ratio_to_plain/mean"] > 1.1


def test_the_threshold_as_a_root_loses_the_gain_with_the_radius(tmp_path):
    _, reports = outcome(tmp_path, radii_px=(2, 8), robust=robust(statistic="rms_mm", threshold=20.0))
    ratios = [metrics["noisy_2/ratio_to_plain"] for _, metrics in reports]
    assert ratios[0] < 0.6
    assert ratios[1] > 0.95


def test_plain_dlt_is_its_own_measure(tmp_path):
    metrics, _ = outcome(tmp_path, weighting="uniform")
    assert metrics["majority/ratio_to_plain/max"] == metrics["minority/ratio_to_plain/min"] == 1
    assert metrics["noisy_1/radius_4/mpjpe"] < metrics["noisy_2/radius_4/mpjpe"] < metrics["noisy_2/radius_8/mpjpe"]


def test_the_curve_has_one_point_for_each_radius_and_starts_without_error(tmp_path):
    _, reports = outcome(tmp_path)
    assert [step for step, _ in reports] == list(RADII_PX)
    assert all(reports[0][1][f"noisy_{num_noisy}/mpjpe"] < 1e-3 for num_noisy in range(1, 7))


def test_a_seed_gives_the_same_noise_to_every_arm(tmp_path):
    first, second = (
        make_scene(Fig3Config(num_points=5, weighting=name), torch.Generator().manual_seed(3))
        for name in ("uniform", "geometric")
    )
    assert first.observed_px(2, 5.0).equal(second.observed_px(2, 5.0))
    again, other = (outcome(tmp_path, seed=seed, weighting="uniform")[0] for seed in (0, 1))
    assert again == outcome(tmp_path, weighting="uniform")[0] != other


def test_noise_lies_on_the_circle_or_in_the_disc():
    circle, disc = (
        make_scene(Fig3Config(num_points=500, noise=noise), torch.Generator().manual_seed(0))
        for noise in ("circle", "disc")
    )
    for scene, mean in ((circle, 1.0), (disc, 2 / 3)):
        lengths = (scene.observed_px(6, 1.0) - scene.points_px).norm(dim=-1)
        assert lengths.max() <= 1 + 1e-9
        assert lengths.mean() == pytest.approx(mean, abs=0.02)


def test_as_many_views_are_noisy_as_asked_for_and_not_always_the_same():
    scene = make_scene(Fig3Config(num_points=50), torch.Generator().manual_seed(0))
    is_noisy = (scene.observed_px(2, 5.0) != scene.points_px).any(dim=-1)
    assert (is_noisy.sum(dim=0) == 2).all()
    assert is_noisy.any(dim=1).all()


@pytest.mark.parametrize("radii_px", [(), (5, 2), (2, 2), (-1, 3), (0, 1, 20)])
def test_radii_that_say_nothing_are_refused(radii_px):
    with pytest.raises(ValueError, match="radii_px"):
        Fig3Config(radii_px=radii_px)
