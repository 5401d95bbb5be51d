import json
from dataclasses import replace

import pytest
import torch

from core.data.keypoints import KeypointsConfig
from core.interfaces import Standalone
from core.methods.crossview_ugcn import CrossviewConfig, TrainingConfig
from core.nn.ugcn import UgcnConfig
from core.simulator.detections import DetectorNoise
from core.simulator.keypoints import SimulatedKeypoints
from core.tasks import crossview_latency, crossview_ugcn
from core.tasks.crossview_ugcn import (
    ACTIONS,
    SlopesConfig,
    noise_slopes,
    run,
    run_stacked,
)

NOISE = DetectorNoise(kind="gaussian", sigma_px=6.0)
DATA = KeypointsConfig(simulated=SimulatedKeypoints(num_train=60, num_validation=12, num_test=20, detections=NOISE))
NETWORK = UgcnConfig(view_channels=8, num_view_units=1, level_channels=(8, 8, 8))
TRAINING = TrainingConfig(num_epochs=3, steps_per_epoch=8, batch_size=32, learning_rate=3e-3)
METHOD = CrossviewConfig(network=NETWORK, training=TRAINING)


def measured(folder, method=METHOD, data=DATA, seed=0):
    return run(method=method, data=data, seed=seed, trial=Standalone(folder))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    return measured(tmp_path_factory.mktemp("base"))


def test_a_run_gives_every_number_and_the_same_ones_again(base, tmp_path):
    errors = {f"{kind}/mpjpe" for kind in ("root_relative", "absolute")} | {"mpjpe", "pmpjpe"}
    assert set(base) == errors | {f"triangulated/{name}" for name in errors} | {
        *(f"pair/p{number}" for number in range(1, 5)),
        *("gain", "keypoints/error_px", "model/size_mb", "model/num_parameters"),
    }
    assert all(torch.isfinite(torch.tensor(value)) for value in base.values())
    assert base["mpjpe"] == base["root_relative/mpjpe"]
    assert sum(base[f"pair/p{number}"] for number in range(1, 5)) / 4 == pytest.approx(base["mpjpe"])
    assert measured(tmp_path) == base


def test_without_refinement_the_triangulation_is_measured(base, tmp_path):
    plain = measured(tmp_path, replace(METHOD, refinement=False))
    for name in ("mpjpe", "absolute/mpjpe", "pmpjpe"):
        assert plain[name] == plain[f"triangulated/{name}"] == base[f"triangulated/{name}"]
    assert plain["model/size_mb"] == plain["gain"] == 0
    assert base["mpjpe"] != base["triangulated/mpjpe"]


def test_mpjpe_is_the_error_that_is_asked_for(base, tmp_path):
    absolute = measured(tmp_path, replace(METHOD, mpjpe="absolute"))
    assert absolute["mpjpe"] == absolute["absolute/mpjpe"] == base["absolute/mpjpe"]
    assert sum(absolute[f"pair/p{number}"] for number in range(1, 5)) / 4 == pytest.approx(absolute["mpjpe"])


def test_validation_and_test_people_are_measured_apart(base, tmp_path):
    assert measured(tmp_path, replace(METHOD, evaluate_on="validation"))["mpjpe"] != base["mpjpe"]


def test_training_pairs_change_the_refiner_but_not_what_is_measured(base, tmp_path):
    found = measured(tmp_path, replace(METHOD, train_pairs=("P3",)))
    assert found["triangulated/mpjpe"] == base["triangulated/mpjpe"]
    assert found["pair/p1"] != base["pair/p1"]


def test_seeds_trained_together_are_the_seeds_trained_apart(base, tmp_path):
    trials = tuple(Standalone(tmp_path / str(seed)) for seed in range(2))
    together = run_stacked(method=METHOD, data=DATA, seeds=(0, 1), trials=trials)
    apart = [base, measured(tmp_path, seed=1)]
    for found, expected in zip(together, apart, strict=True):
        assert found == pytest.approx(expected, rel=1e-3)


def test_a_trained_refiner_beats_the_triangulation_of_noisy_points(tmp_path):
    training = TrainingConfig(num_epochs=10, steps_per_epoch=15, batch_size=64, learning_rate=3e-3, decay=0.8)
    simulated = replace(DATA.simulated, num_train=400, num_test=60)
    data = replace(DATA, simulated=simulated)
    network = replace(NETWORK, view_channels=16, level_channels=(16, 24, 32))
    found = measured(tmp_path, replace(METHOD, training=training, network=network), data)
    assert found["mpjpe"] < 0.98 * found["triangulated/mpjpe"]


def test_test_noise_grows_the_error_and_nothing_else(base, tmp_path):
    found = measured(tmp_path, replace(METHOD, test_noise=(0.0, 20.0)))
    assert found["noise_0/pmpjpe"] == pytest.approx(base["pmpjpe"], rel=1e-6)
    assert found["noise_0/triangulated"] == pytest.approx(base["triangulated/pmpjpe"], rel=1e-6)
    assert {name: found[name] for name in base} == base
    assert found["noise_20/triangulated"] > found["noise_0/triangulated"]


def test_the_triangulation_under_test_noise_has_the_error_of_its_size(tmp_path):
    exact = replace(DATA.simulated, detections=DetectorNoise(kind="none"), num_test=200)
    method = replace(METHOD, refinement=False, test_noise=(10.0,))
    found = measured(tmp_path, method, replace(DATA, simulated=exact))
    # A joint moves by 10 sqrt(8 / pi) mm in the mean; the similarity takes 7 of 51 degrees of freedom away.
    assert found["noise_10/triangulated"] == pytest.approx(15.96 * (1 - 7 / 51) ** 0.5, rel=0.02)


def test_actions_are_measured_where_they_are_the_paper_s(monkeypatch, tmp_path):
    load = crossview_ugcn.load_keypoints

    def with_actions(config, seed):
        splits = load(config, seed)
        action = torch.arange(len(splits.test)) % 2
        return replace(splits, test=replace(splits.test, action=action, actions=("Directions", "WalkTogether")))

    monkeypatch.setattr(crossview_ugcn, "load_keypoints", with_actions)
    found = measured(tmp_path, replace(METHOD, refinement=False))
    assert set(ACTIONS) == set("dir disc eat greet phone photo pose purch sit sitd smoke wait walkd walk walkt".split())
    assert {name for name in found if name.startswith("action/")} == {"action/dir", "action/walkt", "action/avg"}
    assert (found["action/dir"] + found["action/walkt"]) / 2 == pytest.approx(found["action/avg"])
    assert found["action/avg"] == pytest.approx(found["mpjpe"])


def test_slopes_are_those_of_the_reported_points(tmp_path):
    trial = Standalone(tmp_path)
    short = TrainingConfig(num_epochs=1, steps_per_epoch=2, batch_size=8)
    method = SlopesConfig(network=NETWORK, training=short, sigmas_px=(3.0, 6.0))
    found = noise_slopes(method=method, data=DATA, seed=0, trial=trial)
    points = {step: values for step, values in trial.reports if step >= 1_000}
    assert set(points) == {3_000, 6_000}
    for name in ("refined", "triangulated"):
        low, high = points[3_000][name], points[6_000][name]
        assert found[f"slope/{name}"] == pytest.approx((high - low) / 3)
        assert found[f"intercept/{name}"] == pytest.approx(low - (high - low))
        assert found[f"sigma_3/{name}"] == low
    assert found["slope/ratio"] == pytest.approx(found["slope/refined"] / found["slope/triangulated"])
    assert points[6_000]["triangulated"] == pytest.approx(2 * points[3_000]["triangulated"], rel=0.05)
    with pytest.raises(ValueError, match="two strengths of noise"):
        noise_slopes(method=replace(method, sigmas_px=(3.0,)), data=DATA, seed=0, trial=trial)


def test_latency_is_a_file_and_no_metric(tmp_path, monkeypatch):
    monkeypatch.setattr(crossview_latency, "NUM_REPEATS", 8)
    found = crossview_latency.run(method=METHOD, trial=Standalone(tmp_path))
    assert found == crossview_latency.run(method=METHOD, trial=Standalone(tmp_path))
    assert set(found) == {"model/size_mb", "model/num_parameters"}
    times_ms = json.loads((tmp_path / "latency.json").read_text())["latency_ms"]
    assert 0 < times_ms["q1"] <= times_ms["median"] <= times_ms["q3"]
