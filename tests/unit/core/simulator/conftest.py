"""A small scene and a small court, made once for all tests of the simulator."""

import pytest
import torch

from core.simulator.court import CourtConfig, make_court
from core.simulator.dataset import open_court, render_court


@pytest.fixture(scope="session")
def small_config():
    return CourtConfig(
        num_train_players=3,
        num_validation_players=1,
        num_test_players=2,
        num_labelled=4,
        num_unlabelled=12,
        num_validation=3,
        num_test=5,
        num_frames=24,
    )


@pytest.fixture(scope="session")
def scene(small_config):
    return make_court(small_config, torch.Generator().manual_seed(7))


@pytest.fixture(scope="session")
def court_folder(small_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("render") / "court"
    render_court(small_config, 7, folder)
    return folder


@pytest.fixture(scope="session")
def court(court_folder):
    return open_court(court_folder)
