"""The rendering stages: artifacts that open, progress that counts, facts that come back."""

import pytest

from core.interfaces import Standalone
from core.simulator.court import CourtConfig
from core.simulator.dataset import SPLITS, open_court
from core.simulator.pretraining import PretrainingConfig, PretrainingDomain, open_pretraining
from core.tasks import court


@pytest.fixture
def trial(tmp_path):
    return Standalone(tmp_path)


def test_render_leaves_a_court_and_reports_each_split(trial):
    config = CourtConfig(num_labelled=1, num_unlabelled=2, num_validation=1, num_test=1, num_frames=4, cameras=(0, 6))
    facts = court.render(data=config, seed=3, trial=trial)
    assert open_court(trial.folder / court.COURT).facts == facts
    assert facts["num_crops"] == 10
    assert [step for step, _ in trial.reports] == list(range(1, len(SPLITS) + 1))


def test_render_pretraining_leaves_crops_and_reports_each_hall(trial):
    config = PretrainingConfig(num_crops=6, num_scenes=2, num_players=2, num_views=2)
    facts = court.render_pretraining(data=PretrainingDomain(pretraining=config), trial=trial)
    assert open_pretraining(trial.folder / court.PRETRAINING).images.shape[0] == facts["num_crops"] == 6
    assert [step for step, _ in trial.reports] == [1, 2]
