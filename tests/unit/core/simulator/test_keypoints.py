import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data.cmu import CLIPS_FILE, MOTION_FILE, UNKNOWN_SUBJECT, read_cmu
from core.data.keypoints import KeypointsConfig, load_keypoints
from core.data.root import data_file
from core.geometry.projection import project_points
from core.geometry.triangulation import triangulate_dlt
from core.simulator.detections import DetectorNoise
from core.simulator.keypoints import SimulatedKeypoints, simulate_keypoints
from core.simulator.rigs import CalibrationError
from core.skeleton import HUMAN36M

SMALL = SimulatedKeypoints(num_train=60, num_validation=20, num_test=40)
EXACT = replace(SMALL, detections=DetectorNoise(kind="none", image_only=False))


@pytest.fixture(scope="module")
def splits():
    return simulate_keypoints(SMALL, 0)


@pytest.fixture
def cmu_root(tmp_path):
    """Clips of five people and of unknown ones, 12 frames each, whose heights tell the clip."""
    (tmp_path / "cmu_mocap").mkdir()
    subjects = [1, 1, 2, 3, 5, 6, None, None]
    actions = ["walk", "climb - up", "walk", "walk", "dance - high", "walk", "soccer", "walking_extra"]
    clips = [
        {"id": str(k), "subject": subject, "action": action, "start": 12 * k, "length": 12}
        for k, (subject, action) in enumerate(zip(subjects, actions, strict=True))
    ]
    described = {"joint_names": HUMAN36M.names, "units": "mm", "clips": clips}
    (tmp_path / CLIPS_FILE).write_text(json.dumps(described))
    joints = np.random.default_rng(0).uniform(0, 300, (96, 17, 3)).astype(np.float32)
    joints[:, :, 2] += 1000.0
    joints[:, 0, 2] = np.repeat(900.0 + np.arange(8), 12)
    np.savez(tmp_path / MOTION_FILE, joints=joints)
    return str(tmp_path)


@pytest.mark.parametrize(("rig", "num_views"), [("human36m", 4), ("humaneva", 3), ("panoptic", 31)])
@pytest.mark.parametrize(("skeleton", "num_joints"), [("human36m", 17), ("body", 18), ("body_and_hands", 60)])
def test_every_rig_and_skeleton_gives_float32_on_the_cpu(rig, num_views, skeleton, num_joints):
    config = replace(SMALL, num_train=10, num_validation=2, num_test=4, rig=rig, skeleton=skeleton)
    train = simulate_keypoints(config, 0).train
    assert train.points_px.shape == (10, num_views, num_joints, 2)
    assert train.skeleton.num_joints == num_joints
    dtypes = {getattr(train, name).dtype for name in ("intrinsics", "world_to_camera", "points_px", "joints_mm")}
    assert dtypes == {torch.float32}


def test_the_truth_in_the_images_is_the_projection_of_the_truth(splits):
    for split in (splits.train, splits.test):
        expected_px = project_points(split.projections[split.rig].double(), split.joints_mm.double())
        torch.testing.assert_close(split.truth_px.double(), expected_px, rtol=0, atol=0.02)


def test_exact_detections_triangulate_to_the_truth():
    test = simulate_keypoints(EXACT, 3).test
    found_mm = triangulate_dlt(test.projections[test.rig].double(), test.points_px.double())
    assert (found_mm - test.joints_mm).norm(dim=-1).max() < 0.05


def test_a_calibration_error_leaves_a_few_millimetres():
    config = replace(EXACT, calibration_error=CalibrationError(rotation_rad=0.001, translation_mm=2.0))
    test = simulate_keypoints(config, 3).test
    found_mm = triangulate_dlt(test.projections[test.rig].double(), test.points_px.double())
    assert 1.0 < (found_mm - test.joints_mm).norm(dim=-1).mean() < 20.0
    assert torch.equal(test.truth_px, simulate_keypoints(EXACT, 3).test.truth_px)


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_in_two_splits_and_each_has_its_people_and_frames(seed):
    splits = simulate_keypoints(SMALL, seed)
    people = [sorted(set(split.subject.tolist())) for split in (splits.train, splits.validation, splits.test)]
    assert people == [[0, 1, 2, 3, 4], [5], [6, 7]]
    assert [len(split) for split in (splits.train, splits.validation, splits.test)] == [60, 20, 40]
    assert splits.train.subject.bincount().tolist() == [12] * 5


def test_a_seed_decides_everything(splits):
    again, other = simulate_keypoints(SMALL, 0), simulate_keypoints(SMALL, 1)
    for name in ("points_px", "confidences", "joints_mm", "world_to_camera"):
        assert torch.equal(getattr(splits.train, name), getattr(again.train, name))
        assert not torch.equal(getattr(splits.train, name), getattr(other.train, name))


@pytest.mark.parametrize(
    "detections",
    [DetectorNoise(kind="none"), DetectorNoise(kind="gaussian", sigma_px=20.0), DetectorNoise(scale=0.1, swaps=9.0)],
)
def test_arms_that_differ_in_the_detector_alone_see_the_same_frames(splits, detections):
    other = simulate_keypoints(replace(SMALL, detections=detections), 0)
    for name in ("joints_mm", "truth_px", "world_to_camera", "intrinsics", "subject"):
        assert torch.equal(getattr(splits.train, name), getattr(other.train, name))
    assert not torch.equal(splits.train.points_px, other.train.points_px)


def test_fewer_views_are_the_first_ones_of_the_same_recording(splits):
    two = simulate_keypoints(replace(SMALL, num_views=2), 0)
    first = splits.test.select_views((0, 1))
    assert two.test.num_views == 2
    for name in ("points_px", "confidences", "truth_px", "world_to_camera"):
        assert torch.equal(getattr(two.test, name), getattr(first, name))


def test_other_numbers_of_test_frames_leave_the_training_frames_alone(splits):
    other = simulate_keypoints(replace(SMALL, num_test=10), 0)
    assert torch.equal(splits.train.points_px, other.train.points_px)


def test_people_stay_in_the_images():
    for rig, share in (("human36m", 0.99), ("humaneva", 0.96), ("panoptic", 0.92)):
        train = simulate_keypoints(replace(SMALL, rig=rig, num_train=400), 0).train
        limit_px = train.size_px[train.rig][:, :, None] - 1
        inside = ((train.truth_px >= 0) & (train.truth_px <= limit_px)).all(dim=-1)
        assert inside.float().mean() > share


def test_recorded_people_keep_their_height_and_stand_on_the_floor(cmu_root):
    config = replace(SMALL, motion="cmu", root=cmu_root, num_train_subjects=3, num_train=30, num_test=12)
    train = simulate_keypoints(config, 0).train
    heights = set(train.joints_mm[:, 0, 2].tolist())
    assert heights <= {900.0 + clip for clip in range(7)}
    assert train.joints_mm[:, 0, :2].abs().max() <= 1200
    assert set(train.actions) == {"walk", "climb", "dance", "soccer"}
    clip_of = {
        900.0: "walk",
        901.0: "climb",
        902.0: "walk",
        903.0: "walk",
        904.0: "dance",
        905.0: "walk",
        906.0: "soccer",
    }
    for height, action in zip(train.joints_mm[:, 0, 2].tolist(), train.action.tolist(), strict=True):
        assert train.actions[action] == clip_of[height]


@pytest.mark.parametrize("seed", range(4))
def test_unknown_people_are_trained_on_only(cmu_root, seed):
    config = replace(SMALL, motion="cmu", root=cmu_root, num_train_subjects=3, num_train=30)
    splits = simulate_keypoints(config, seed)
    held_out = set(splits.validation.subject.tolist()) | set(splits.test.subject.tolist())
    assert UNKNOWN_SUBJECT not in held_out
    assert len(held_out) == 3


def test_unknown_walkers_are_left_out(cmu_root):
    clips = read_cmu(cmu_root)
    assert [clip.action for clip in clips if clip.subject == UNKNOWN_SUBJECT] == ["soccer"]


def test_the_seed_decides_who_is_tested(cmu_root):
    config = replace(SMALL, motion="cmu", root=cmu_root, num_train_subjects=3)
    tested = {tuple(sorted(set(simulate_keypoints(config, seed).test.subject.tolist()))) for seed in range(6)}
    assert len(tested) > 1


def test_more_people_than_were_recorded_are_refused(cmu_root):
    config = replace(SMALL, motion="cmu", root=cmu_root, num_train_subjects=4)
    with pytest.raises(
        ValueError, match="the clips show 5 known people and one more to train on; they cannot give 4, 1"
    ):
        simulate_keypoints(config, 0)


def test_the_fingerprint_names_recorded_motion_only(cmu_root):
    assert KeypointsConfig().fingerprint() == "simulated"
    recorded = KeypointsConfig(simulated=replace(SMALL, motion="cmu", root=cmu_root))
    before = recorded.fingerprint()
    with open(f"{cmu_root}/{CLIPS_FILE}", "a") as file:
        file.write(" ")
    assert recorded.fingerprint() != before


def test_simulated_keypoints_are_what_the_loader_gives_by_default():
    loaded = load_keypoints(KeypointsConfig(simulated=SMALL), 4)
    assert torch.equal(loaded.test.points_px, simulate_keypoints(SMALL, 4).test.points_px)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_views": 5}, "num_views must be from 1 to 4 on the rig human36m, got 5"),
        ({"num_views": 0}, "num_views must be from 1 to 4"),
        ({"num_test": 1}, "num_test_subjects must be from 1 to num_test, got 2 people in 1 frames"),
    ],
)
def test_impossible_numbers_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SimulatedKeypoints(**settings)


@pytest.mark.real_data
def test_the_recorded_motion_gives_every_split():
    try:
        data_file(None, MOTION_FILE)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    splits = simulate_keypoints(replace(SMALL, motion="cmu", num_train_subjects=4), 0)
    assert len(splits.train) == 60
    ankles_mm = splits.train.joints_mm[:, [3, 6], 2]
    assert 0 < ankles_mm.amin(dim=1).median() < 300
