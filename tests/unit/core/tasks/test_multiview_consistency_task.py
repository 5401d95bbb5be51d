"""The whole task on a small simulated recording."""

from dataclasses import replace

import pytest
import torch

from core.data.keypoints import KeypointsConfig
from core.interfaces import Standalone
from core.methods.multiview_consistency import ConsistencyConfig
from core.nn.residual_lifter import ResidualLifterConfig
from core.simulator.detections import DetectorNoise
from core.simulator.keypoints import SimulatedKeypoints
from core.tasks.multiview_consistency import MultiViewConsistency, TrainingConfig, run, run_stacked

DATA = KeypointsConfig(
    simulated=SimulatedKeypoints(
        rig="panoptic", skeleton="body", num_views=4, num_train=40, num_validation=10, num_test=12,
        num_train_subjects=2, num_test_subjects=1, detections=DetectorNoise(kind="gaussian", sigma_px=2.0),
    )
)  # fmt: skip
METHOD = MultiViewConsistency(
    network=ResidualLifterConfig(num_hidden=16),
    training=TrainingConfig(num_frames=4, num_views=3, num_epochs=2, steps_per_epoch=4),
)
TABLE_3 = (
    "nose r_shoulder r_elbow r_wrist l_shoulder l_elbow l_wrist r_hip r_knee r_ankle l_hip l_knee l_ankle "
    "r_eye l_eye r_ear l_ear"
).split()


def arm(**consistency):
    return replace(METHOD, consistency=ConsistencyConfig(**consistency))


@pytest.mark.parametrize("supervision", ["weak", "strong", "truth"])
def test_every_arm_gives_the_papers_columns(supervision, tmp_path):
    trial = Standalone(tmp_path)
    found = run(method=arm(supervision=supervision), data=DATA, seed=0, trial=trial)
    joints = [found[f"joint/{name}"] for name in TABLE_3]
    assert found["mpjpe"] == pytest.approx(sum(joints) / 17, rel=1e-4)
    assert set(found) == {"mpjpe", "lateral", "depth", "mpjpe_2d", "spread", "relative_spread"} | {
        f"joint/{name}" for name in TABLE_3
    }
    assert [step for step, _ in trial.reports] == [1, 2]
    assert "training/validation" in trial.reports[0][1]


def test_a_seed_repeats_itself_and_another_differs(tmp_path):
    first, again, other = (run(method=METHOD, data=DATA, seed=seed, trial=Standalone(tmp_path)) for seed in (3, 3, 4))
    assert first == again
    assert first["mpjpe"] != other["mpjpe"]


def test_seeds_trained_at_once_come_out_as_alone(tmp_path):
    alone = [run(method=METHOD, data=DATA, seed=seed, trial=Standalone(tmp_path)) for seed in (0, 1)]
    trials = (Standalone(tmp_path / "0"), Standalone(tmp_path / "1"))
    stacked = run_stacked(method=METHOD, data=DATA, seeds=(0, 1), trials=trials)
    for one, other in zip(alone, stacked, strict=True):
        assert other == pytest.approx(one, rel=1e-3)


def test_settings_are_chosen_on_other_people_than_claims_are_made_on(tmp_path):
    trials = [Standalone(tmp_path / name) for name in ("a", "b")]
    test, validation = (
        run(method=replace(METHOD, evaluate_on=split), data=DATA, seed=0, trial=trial)
        for split, trial in zip(("test", "validation"), trials, strict=True)
    )
    assert trials[0].reports == trials[1].reports
    assert test["mpjpe"] != validation["mpjpe"]


def test_no_true_pose_enters_the_weak_arm(tmp_path, monkeypatch):
    """With every true position of the training and validation frames gone, the training is the same."""
    import core.tasks.multiview_consistency as task

    whole = Standalone(tmp_path / "whole")
    run(method=METHOD, data=DATA, seed=0, trial=whole)
    load = task.load_keypoints

    def without_truth(data, seed):
        splits = load(data, seed)
        blind = {
            name: replace(
                getattr(splits, name),
                joints_mm=torch.full_like(getattr(splits, name).joints_mm, torch.nan),
                truth_px=torch.full_like(getattr(splits, name).truth_px, torch.nan),
            )
            for name in ("train", "validation")
        }
        return replace(splits, **blind)

    monkeypatch.setattr(task, "load_keypoints", without_truth)
    blind = Standalone(tmp_path / "blind")
    run(method=METHOD, data=DATA, seed=0, trial=blind)
    assert blind.reports == whole.reports


def test_the_rate_ends_where_it_should():
    training = TrainingConfig(num_epochs=100)
    assert training.decay == pytest.approx(0.96, abs=1e-4)
    assert TrainingConfig(num_epochs=1).decay > 0


def test_an_epoch_covers_the_frames_where_no_number_is_given(tmp_path):
    method = replace(METHOD, training=replace(METHOD.training, steps_per_epoch=None, num_epochs=1, keep="last"))
    trial = Standalone(tmp_path)
    run(method=method, data=DATA, seed=0, trial=trial)
    assert len(trial.reports) == 1
