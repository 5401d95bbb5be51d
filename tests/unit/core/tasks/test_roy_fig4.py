import pytest
import torch

from core.geometry.projection import project_points
from core.interfaces import Standalone
from core.tasks.roy_fig4 import Coordinates, Fig4Config, observe, run


def outcome(tmp_path, **settings):
    trial = Standalone(tmp_path)
    config = Fig4Config(**{"num_points": 30, "num_steps": 160, "report_every": 40, **settings})
    return run(method=config, seed=0, trial=trial), trial.reports


def test_alpha_0_dips_and_then_rises_above_its_start(tmp_path):
    metrics, _ = outcome(tmp_path, alpha=0.0)
    assert metrics["mpjpe/dip"] > 5
    assert metrics["mpjpe/change"] > 10
    assert metrics["loss_tri/final"] < metrics["loss_tri/start"]


def test_alpha_1_stays(tmp_path):
    metrics, _ = outcome(tmp_path, alpha=1.0)
    assert abs(metrics["mpjpe/change"]) < 0.5
    assert metrics["loss_tri/final"] < 1e-3


def test_alpha_one_half_settles_below_its_start(tmp_path):
    metrics, reports = outcome(tmp_path, alpha=0.5)
    assert metrics["mpjpe/change"] < -2
    assert reports[-2][1]["mpjpe"] == pytest.approx(reports[-1][1]["mpjpe"], abs=0.1)


def test_with_the_bad_view_in_the_middle_one_half_ends_above_its_start(tmp_path):
    metrics, _ = outcome(tmp_path, alpha=0.5, bad_view=1)
    assert metrics["mpjpe/change"] > 2


def test_with_adam_one_half_ends_above_its_start_like_1(tmp_path):
    half, one = (outcome(tmp_path, alpha=alpha, optimiser="adam", step_size=0.1)[0] for alpha in (0.5, 1.0))
    assert min(half["mpjpe/change"], one["mpjpe/change"]) > 2
    assert half["mpjpe/final"] == pytest.approx(one["mpjpe/final"], rel=0.05)


def test_in_the_box_alpha_1_stays_and_alpha_0_rises(tmp_path):
    zero, one = (outcome(tmp_path, alpha=alpha, space="box")[0]["mpjpe/change"] for alpha in (0.0, 1.0))
    assert abs(one) < 0.5
    assert zero > 10


def test_curves_reach_from_the_start_to_the_last_step(tmp_path):
    metrics, reports = outcome(tmp_path, num_steps=50)
    assert [step for step, _ in reports] == [0, 40, 50]
    assert reports[0][1]["mpjpe"] == metrics["mpjpe/start"]
    assert reports[-1][1]["mpjpe"] == metrics["mpjpe/final"]


def test_every_alpha_starts_from_the_same_points(tmp_path):
    starts = {outcome(tmp_path, alpha=alpha, num_steps=1)[0]["mpjpe/start"] for alpha in (0.0, 0.5, 1.0)}
    assert len(starts) == 1


def test_the_bad_view_has_its_own_noise():
    observed = observe(Fig4Config(num_points=2_000, bad_view=2), torch.Generator().manual_seed(0))
    noise_px = (observed.points_px - project_points(observed.matrices, observed.points_mm)).std(dim=(1, 2))
    assert noise_px.tolist() == pytest.approx([1.0, 1.0, 10.0], rel=0.05)


def test_the_box_is_square_and_holds_the_points():
    points_px = torch.rand(3, 20, 2, dtype=torch.float64) * torch.tensor([900.0, 300.0])
    box = Coordinates.choose("box", points_px)
    assert box.of(points_px).abs().amax(dim=(1, 2)).tolist() == pytest.approx([1.0] * 3)
    assert (box.of(points_px)[..., 1].abs() < 0.5).all()
    torch.testing.assert_close(box.to_px(box.of(points_px)), points_px)


def test_pixels_are_left_as_they_are():
    points_px = torch.rand(3, 20, 2, dtype=torch.float64)
    assert Coordinates.choose("pixel", points_px).of(points_px).equal(points_px)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"alpha": 1.5}, r"alpha must be in \[0, 1\], got 1.5"),
        ({"bad_view": 3}, "bad_view must be the index"),
        ({"num_steps": 0}, "num_steps"),
    ],
)
def test_settings_out_of_range_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Fig4Config(**settings)
