from dataclasses import replace
from types import MappingProxyType

import pytest
import torch

from core.geometry.rig import ring_rig
from core.simulator.detections import DetectorNoise
from core.simulator.detector_fit import hand_like, improve, parameters
from core.simulator.detector_fitted import FITTED
from core.simulator.detector_model import GROUPS
from core.simulator.detector_statistics import MEASURED, PERCENTILES, measure
from core.tasks.shelf_detections import simulated_people

RIG = ring_rig(4, radius_mm=5_500.0, size_px=(1_400, 1_400))


def changed(**values):
    """The fitted model with another wrist."""
    groups = dict(FITTED.groups) | {"wrist": replace(FITTED.groups["wrist"], **values)}
    return replace(FITTED, groups=MappingProxyType(groups))


def measured(model=FITTED, seed=0, noise=None, num_frames=400):
    return measure(simulated_people(RIG, num_frames, seed, noise or DetectorNoise(), model))


@pytest.fixture(scope="module")
def fitted():
    return measured()


@pytest.fixture(scope="module")
def wide():
    return measured(changed(spread=2.5, missing=0.3, confidence=0.6), seed=1)


def test_quantiles_rise_and_hidden_joints_are_farther_off(fitted):
    for group in MEASURED:
        quantiles = fitted.visible[group].residual_percent
        assert len(quantiles) == len(PERCENTILES)
        assert (quantiles.diff() >= 0).all()
    middle = PERCENTILES.index(50)
    for group in ("shoulder", "elbow", "wrist"):
        hidden, visible = fitted.hidden[group], fitted.visible[group]
        assert hidden.residual_percent[middle] > 1.2 * visible.residual_percent[middle]
        assert hidden.confidence < visible.confidence


def test_shares_and_confidences_are_those_of_the_model(fitted):
    wrist = FITTED.groups["wrist"]
    assert fitted.visible["wrist"].missing == pytest.approx(wrist.missing, abs=0.03)
    assert fitted.hidden["wrist"].missing == pytest.approx(wrist.hidden_missing, abs=0.06)
    assert fitted.visible["wrist"].confidence == pytest.approx(wrist.confidence, abs=0.03)
    assert fitted.missed == pytest.approx(FITTED.missed, abs=0.015)
    assert fitted.visible["wrist"].rank_correlation < -0.15


def test_swaps_are_counted():
    swapped = measured(replace(FITTED, swaps=0.04), num_frames=400)
    assert swapped.swaps == pytest.approx(0.04, abs=0.02)
    assert measured(replace(FITTED, swaps=0.0), num_frames=200).swaps < 0.01


def test_bias_is_measured_in_the_bodys_frame_and_the_scatter_around_it(fitted):
    for group in ("wrist", "hip"):
        for found, true in zip(fitted.bias_percent[group], FITTED.groups[group].bias, strict=True):
            assert found == pytest.approx(true, abs=0.4)
    still = measured(noise=DetectorNoise(common=0.0))
    assert fitted.scatter_percent["wrist"] > still.scatter_percent["wrist"] + 0.1


def test_without_noise_nothing_is_off():
    exact = measured(noise=DetectorNoise(kind="none"), num_frames=60)
    assert max(float(values.residual_percent[-1]) for values in exact.visible.values()) < 1e-2
    assert exact.swaps == exact.missed == 0


def test_a_round_moves_what_differs_towards_what_was_measured(fitted, wide):
    improved = improve(FITTED, wide, fitted).groups["wrist"]
    assert improved.spread == pytest.approx(2.5, rel=0.25)
    assert improved.missing == pytest.approx(0.3, abs=0.04)
    assert improved.confidence == pytest.approx(0.6, abs=0.04)


def test_a_round_leaves_what_agrees(fitted):
    after = parameters(improve(FITTED, fitted, fitted))
    before = {name: value for name, value in parameters(FITTED).items() if not name.startswith("hand/")}
    unchanged = {name for name, value in before.items() if after[name] == pytest.approx(value, abs=1e-9)}
    moved = {name.split("/")[-1] for name in set(before) - unchanged}
    assert moved <= {"common"}, "a part of the scatter is laid to the annotation"


def test_parameters_name_every_number_of_every_group():
    flat = parameters(FITTED)
    assert {name.split("/")[0] for name in flat if "/" in name} == set(GROUPS)
    assert flat["hip/bias2"] == FITTED.groups["hip"].bias[2]
    assert all(isinstance(value, float) for value in flat.values())


def test_hands_follow_from_the_wrist():
    assert FITTED.groups["hand"].spread == pytest.approx(hand_like(FITTED.groups["wrist"]).spread, abs=1e-3)


def test_statistics_do_not_depend_on_the_order_of_frames():
    people = simulated_people(RIG, 80, 0, DetectorNoise())
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    scene = replace(people.scene, joints_mm=people.scene.joints_mm[order], body_mm=people.scene.body_mm[order])
    found = replace(people.found, points_px=people.found.points_px[order], confidences=people.found.confidences[order])
    mixed = measure(replace(people, scene=scene, found=found, is_clear=people.is_clear[order]))
    plain = measure(people)
    torch.testing.assert_close(mixed.visible["knee"].residual_percent, plain.visible["knee"].residual_percent)
    assert mixed.view_correlation == pytest.approx(plain.view_correlation)
