import math

import pytest
import torch

from core.data.root import data_file
from core.data.shelf import FILE, ShelfConfig, read_shelf
from core.interfaces import Standalone
from core.simulator.detections import DetectorNoise
from core.simulator.detector_fit import parameters
from core.simulator.detector_fitted import FITTED
from core.simulator.detector_statistics import PERCENTILES
from core.tasks.shelf_detections import MATCH_PX, ShelfDetectionsMethod, fit, real_people, run

TOLERANCE = {"doubt": 0.12, "jitter": 0.12, "outlier_spread": 0.5}
"""These are worst determined; every other number must come back within 0.03 and 4 percent."""


@pytest.fixture(scope="module")
def sequence():
    try:
        data_file(None, FILE)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return read_shelf(ShelfConfig())


@pytest.mark.real_data
def test_the_defaults_are_where_the_fit_to_the_real_detections_rests(sequence):
    refitted = parameters(fit(sequence, num_rounds=1))
    for name, value in parameters(FITTED).items():
        tolerance = TOLERANCE.get(name.split("/")[-1], 0.03 + 0.04 * abs(value))
        assert refitted[name] == pytest.approx(value, abs=tolerance), name


@pytest.mark.real_data
def test_people_hidden_by_others_are_told(sequence):
    people = real_people(sequence, MATCH_PX)
    assert len(people.is_clear) == 279 + 37 + 161 + 33
    assert 0.01 < 1 - people.is_clear.float().mean() < 0.1
    found = people.found.confidences > 0
    assert found[people.is_clear].float().mean() > found[~people.is_clear].float().mean() + 0.2


@pytest.mark.real_data
def test_the_simulated_detector_is_like_the_real_one(sequence, tmp_path):
    trial = Standalone(tmp_path)
    data = ShelfConfig(match_px=MATCH_PX)
    metrics = run(method=ShelfDetectionsMethod(num_frames=600), data=data, seed=0, trial=trial)
    assert metrics["quantiles/worst_factor"] < 1.4
    assert metrics["missing/worst"] < 4
    assert metrics["real/missing/elbow_hidden"] > 5 * metrics["real/missing/elbow"]
    steps, points = zip(*trial.reports, strict=True)
    assert steps == PERCENTILES
    wrists = torch.tensor([[point["real/wrist"], point["simulated/wrist"]] for point in points])
    assert (wrists.diff(dim=0) >= 0).all()
    low, high = PERCENTILES.index(10), PERCENTILES.index(95) + 1
    ratios = (wrists[low:high, 1] / wrists[low:high, 0]).log().abs()
    assert metrics["quantiles/wrist"] == pytest.approx(float(ratios.max()), abs=1e-4)
    assert metrics["quantiles/worst_factor"] >= math.exp(metrics["quantiles/wrist"]) - 1e-6


@pytest.mark.real_data
def test_gaussian_noise_is_not_like_the_real_detector(sequence, tmp_path):
    method = ShelfDetectionsMethod(noise=DetectorNoise(kind="gaussian"), num_frames=300)
    metrics = run(method=method, data=ShelfConfig(match_px=MATCH_PX), seed=0, trial=Standalone(tmp_path))
    assert metrics["quantiles/worst_factor"] > 1.6
    assert metrics["simulated/missing/elbow_hidden"] == 0
