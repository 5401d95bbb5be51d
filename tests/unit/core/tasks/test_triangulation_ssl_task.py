from dataclasses import replace

import pytest
import torch

from core.interfaces import Standalone
from core.methods.triangulation_ssl import (
    AdaptationConfig,
    FinetuningConfig,
    LiftingConfig,
    PretrainingConfig,
    SelfSupervisionConfig,
)
from core.nn.detector import DetectorConfig
from core.nn.lifter import LifterConfig
from core.simulator.court import CourtConfig
from core.simulator.pretraining import PretrainingConfig as PretrainingPictures
from core.simulator.pretraining import PretrainingDomain
from core.tasks.court import render, render_pretraining
from core.tasks.triangulation_ssl import (
    AdaptedPart,
    ArmPart,
    PretrainedPart,
    adapt_detector,
    pretrain_detector,
    run,
)

DETECTOR = DetectorConfig(num_channels=8)
ARM = ArmPart(
    detector=DETECTOR,
    finetuning=FinetuningConfig(num_steps=4),
    lifter=LifterConfig(num_hidden=16),
    lifting=LiftingConfig(num_steps=6, batch_size=12),
)


class StoppedError(Exception):
    pass


class Stopping(Standalone):
    """Stops at one report, keeping the state made there."""

    def __init__(self, folder, inputs, stop_at=None, state=None):
        super().__init__(folder, inputs)
        self.stop_at, self.state = stop_at, state

    def restore(self):
        return self.state

    def report(self, step, metrics, *, state=None):
        super().report(step, metrics)
        if step == self.stop_at:
            torch.save(state(), self.folder / "state.pt")
            self.state = torch.load(self.folder / "state.pt", weights_only=True)
            raise StoppedError


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """The four stages of the study, as small as they go."""
    torch.set_num_threads(1)
    folders = {name: tmp_path_factory.mktemp(name) for name in ("pictures", "detector", "court", "adapted")}
    pictures = PretrainingDomain(pretraining=PretrainingPictures(num_crops=32, num_scenes=2))
    render_pretraining(data=pictures, trial=Standalone(folders["pictures"]))
    court = CourtConfig(num_labelled=2, num_unlabelled=6, num_validation=3, num_test=4, num_frames=40)
    render(data=court, seed=0, trial=Standalone(folders["court"]))
    inputs = {"pictures": folders["pictures"]}
    steps = PretrainingConfig(num_steps=3, batch_size=4)
    method = PretrainedPart(detector=DETECTOR, pretraining=steps)
    pretrain_detector(method=method, trial=Standalone(folders["detector"], inputs))
    inputs = {"detector": folders["detector"], "court": folders["court"]}
    adapted = AdaptedPart(detector=DETECTOR, adaptation=AdaptationConfig(num_steps=2, batch_size=4))
    adapt_detector(method=adapted, seed=0, trial=Standalone(folders["adapted"], inputs))
    return {"adapted": folders["adapted"], "court": folders["court"]}


def measured(method, stages, folder, **options):
    torch.manual_seed(0)
    return run(method=method, seed=0, trial=Standalone(folder, stages), **options)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"weighting": "uniform", "wss_selection": False},
        {"weighting": "learned", "wss_selection": False},
        {"triangulation_loss_weight": 0.0},
    ],
)
def test_every_arm_ends_in_finite_errors(stages, tmp_path, change):
    method = replace(ARM, self_supervision=SelfSupervisionConfig(wss_threshold_mm=5000.0, **change))
    metrics = measured(method, stages, tmp_path)
    assert set(metrics) == {
        *(
            f"{kind}/{error}"
            for kind in ("multiview", "multiview_fixed", "singleview")
            for error in ("mpjpe", "nmpjpe", "pmpjpe")
        ),
        *("multiview/absolute", "detection/visible", "detection/hidden", "kept/measured", "kept/unlabelled"),
    }
    assert all(torch.isfinite(torch.tensor(value)) for value in metrics.values())


def test_the_weighting_changes_the_result_and_nothing_else_does(stages, tmp_path):
    base = measured(ARM, stages, tmp_path)
    assert measured(ARM, stages, tmp_path) == base
    uniform = replace(ARM, self_supervision=SelfSupervisionConfig(weighting="uniform", wss_selection=False))
    assert measured(uniform, stages, tmp_path)["multiview/mpjpe"] != base["multiview/mpjpe"]


def test_validation_and_test_subjects_are_measured_apart(stages, tmp_path):
    test = measured(ARM, stages, tmp_path)
    validation = measured(replace(ARM, evaluate_on="validation"), stages, tmp_path)
    assert validation["multiview/mpjpe"] != test["multiview/mpjpe"]


@pytest.mark.parametrize("stop_at", [4, 10])
def test_an_arm_stopped_in_either_phase_ends_in_the_same_numbers(stages, tmp_path, stop_at):
    expected = measured(ARM, stages, tmp_path)
    stopped = Stopping(tmp_path, stages, stop_at=stop_at)
    torch.manual_seed(0)
    with pytest.raises(StoppedError):
        run(method=ARM, seed=0, trial=stopped)
    torch.manual_seed(1)
    assert run(method=ARM, seed=0, trial=Stopping(tmp_path, stages, state=stopped.state)) == expected
