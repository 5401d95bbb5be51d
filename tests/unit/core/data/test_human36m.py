"""Human3.6M from archives in VideoPose3D's layout: joints, units, lenses, splits, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.human36m import ACTION_COLUMNS, ACTIONS, CAMERAS, KEPT_JOINTS, Human36mConfig, load_human36m
from core.data.places import data_folder
from core.geometry.rig import read_rig
from core.geometry.triangulation import triangulate_dlt
from core.skeleton import HUMAN36M

RECORDED = (
    "Hip RHip RKnee RAnkle RToeBase RSite LHip LKnee LAnkle LToeBase LSite HipCopy Spine Thorax Neck Head ThoraxCopy "
    "LShoulder LElbow LWrist LWristCopy LThumb LSite2 LSite3 ThoraxCopy2 RShoulder RElbow RWrist RWristCopy RThumb "
    "RSite2 RSite3"
).split()
"""The 32 joints, by this project's names where it has them."""


@pytest.fixture
def config(human36m):
    return Human36mConfig(root=str(human36m.root), train=("S1", "S5"))


def test_the_kept_joints_are_those_of_the_skeleton():
    assert tuple(RECORDED[joint] for joint in KEPT_JOINTS) == HUMAN36M.names


def test_actions_have_the_columns_of_the_papers_table():
    text = (Path(__file__).parents[4] / "studies" / "papers" / "hua2022crossview.yaml").read_text()
    printed = text.split("- id: table1")[1].split("reference:")[0]
    columns = [line.split("name: ")[1].split(",")[0] for line in printed.splitlines() if "settings: {action:" in line]
    assert [*ACTION_COLUMNS.values(), "avg"] == columns
    assert ACTIONS == tuple(ACTION_COLUMNS)


def test_joints_are_millimetres_and_lie_under_their_detections(config, human36m):
    train = load_human36m(config, 0).train
    assert len(train) == 2 * 36
    first = human36m.poses["S1"]["Directions"][:, KEPT_JOINTS]
    torch.testing.assert_close(train.joints_mm[:12], torch.from_numpy(1_000 * first))
    residuals_px = train.points_px - train.truth_px
    assert residuals_px.abs().mean() < 1.0
    assert residuals_px.std() == pytest.approx(1.0, abs=0.1)
    assert (train.confidences == 1).all()


def test_detections_are_undistorted(config, human36m):
    test = load_human36m(config, 0).test
    raw = torch.from_numpy(np.stack(human36m.points["S9"]["Directions"], axis=1))
    assert (test.points_px[:12] - raw).norm(dim=-1).max() > 5.0
    found_mm = triangulate_dlt(test.projections[test.rig], test.points_px)
    assert (found_mm - test.joints_mm).norm(dim=-1).mean() < 8.0


def test_every_frame_knows_its_subject_action_and_rig(config):
    test = load_human36m(config, 0).test
    assert test.subject.tolist() == [9] * 36 + [11] * 24
    assert test.rig.tolist() == [0] * 36 + [1] * 24
    assert [test.actions[index] for index in test.action.unique()] == ["Directions", "WalkDog"]
    assert (test.action[:24] == 0).all()
    assert test.size_px.tolist() == [[[1000.0, 1000.0]] * 4] * 2


def test_the_damaged_recording_is_left_out_and_others_are_on_request(config):
    assert len(load_human36m(config, 0).test) == 36 + 24
    without = replace(config, leave_out=("S9/Directions", "S11/WalkDog", "S1/Directions 1"))
    assert len(load_human36m(without, 0).test) == 12 + 12
    assert len(load_human36m(without, 0).train) == 24 + 36


def test_frames_beyond_the_motion_capture_are_cut_off(config, human36m):
    before = load_human36m(config, 0).train
    human36m.points["S1"]["Directions"][2] = np.concatenate(
        [human36m.points["S1"]["Directions"][2], np.zeros((3, 17, 2))]
    )
    human36m.write()
    torch.testing.assert_close(load_human36m(config, 0).train.points_px, before.points_px)


def test_a_few_missing_detections_cut_the_poses(config, human36m):
    human36m.points["S1"]["Directions"][2] = human36m.points["S1"]["Directions"][2][:-2]
    human36m.write()
    train = load_human36m(config, 0).train
    assert len(train) == 70
    torch.testing.assert_close(
        train.joints_mm[10:12], torch.from_numpy(1_000 * human36m.poses["S1"]["Directions 1"][:2, KEPT_JOINTS])
    )


def test_the_seed_draws_the_frames_where_they_are_limited(config):
    limited = replace(config, num_train=20, num_test=7, stride=2)
    first, again, other = (load_human36m(limited, seed) for seed in (0, 0, 1))
    assert (len(first.train), len(first.validation), len(first.test)) == (20, 18, 7)
    torch.testing.assert_close(first.train.points_px, again.train.points_px)
    assert not torch.equal(first.train.joints_mm, other.train.joints_mm)
    everything = load_human36m(replace(config, stride=2), 0).train
    known = {tuple(pose.flatten().tolist()) for pose in everything.joints_mm}
    assert len(everything) == 36
    assert all(tuple(pose.flatten().tolist()) in known for pose in first.train.joints_mm)


def test_a_limit_above_the_number_of_frames_takes_all(config):
    assert len(load_human36m(replace(config, num_train=10_000), 0).train) == 72


def test_cameras_are_taken_by_name(config):
    two = load_human36m(replace(config, cameras=(CAMERAS[2], CAMERAS[0])), 0).train
    four = load_human36m(config, 0).train
    torch.testing.assert_close(two.points_px, four.points_px[:, [2, 0]])
    torch.testing.assert_close(two.projections, four.projections[:, [2, 0]])


def test_the_fingerprint_follows_the_content(config, human36m):
    before = config.files_fingerprint()
    human36m.write()
    assert config.files_fingerprint() == before
    human36m.points["S1"]["WalkDog"][0][3, 3, 0] += 1.0
    human36m.write()
    assert config.files_fingerprint() != before


@pytest.mark.real_data
def test_the_lens_of_the_ground_truth_archive_is_off_by_as_much_as_the_module_says():
    """VideoPose3D projects with the tangential coefficients exchanged, and with the terms of the original code."""
    path = data_folder(None, "root") / "cameras" / "h36m.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    for camera in read_rig(path, "S9"):
        steps = torch.linspace(-0.3, 0.3, 13, dtype=torch.float64)  # where people are: 350 px about the middle
        x = torch.cartesian_prod(steps, steps)
        k1, k2, p1, p2, k3 = camera.distortion.tolist()
        r2 = (x**2).sum(dim=-1, keepdim=True)
        p = torch.tensor([p1, p2], dtype=torch.float64)
        bent = x * (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + (p * x).sum(dim=-1, keepdim=True)) + p * r2
        focal, centre = camera.intrinsics.diagonal()[:2], camera.intrinsics[:2, 2]
        error_px = (camera.undistort(bent * focal + centre) - (x * focal + centre)).norm(dim=-1)
        assert error_px.max() < 1.8
        assert 0.1 < error_px.mean() < 0.5


def spoilt(subject: str, action: str, array: np.ndarray):
    return lambda archives: archives.poses[subject].update({action: array})


FAULTS = [
    (lambda a: a.poses.pop("S8"), r"data_3d_h36m\.npz: positions_3d: has no 'S8'; found S1, S5, S6, S7, S9, S11"),
    (lambda a: a.points.pop("S1"), r"data_2d_h36m_cpn_ft_h36m_dbb\.npz: positions_2d: has no 'S1'; found S5"),
    (lambda a: a.points["S1"].pop("WalkDog"), r"positions_2d/S1: has no 'WalkDog'; found Directions, Directions 1"),
    (lambda a: a.rigs.pop("S5"), r"h36m\.json: no 'S5' under subjects; choose one of S1, S6"),
    (
        lambda a: a.points["S1"]["WalkDog"].pop(),
        r"positions_2d/S1/WalkDog: expected a list with one array for each of 4 cameras, found 3 entries",
    ),
    (
        spoilt("S1", "WalkDog", np.zeros((5, 17, 3))),
        r"positions_3d/S1/WalkDog: expected the shape \(frames, 32, 3\), found \(5, 17, 3\)",
    ),
    (
        spoilt("S1", "WalkDog", np.zeros((5, 32, 3), dtype=int)),
        r"positions_3d/S1/WalkDog: expected an array of floats, found a int64 array",
    ),
    (
        spoilt("S1", "Jumping", np.zeros((5, 32, 3))),
        r"positions_3d/S1: unknown action 'Jumping'; expected one of Directions, Discussion",
    ),
    (
        lambda a: a.metadata.update(layout_name="coco"),
        r"metadata: expected the layout 'h36m' of 17 joints, found 'coco' of 17",
    ),
    (
        lambda a: a.points["S1"]["WalkDog"].__setitem__(1, np.zeros((6, 17, 2))),
        r"positions_2d/S1/WalkDog/1: expected as many frames as poses \(12, less at most 5\), found 6",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), FAULTS)
def test_archives_of_another_form_are_refused(config, human36m, spoil, message):
    spoil(human36m)
    human36m.write()
    with pytest.raises(ValueError, match=message):
        load_human36m(config, 0)


def test_millimetres_are_noticed(config, human36m):
    for actions in human36m.poses.values():
        for name in actions:
            actions[name] = actions[name] * 1_000
    human36m.write()
    with pytest.raises(
        ValueError, match=r"positions_3d \(train\): expected joints in metres; .* is the file in another"
    ):
        load_human36m(config, 0)


def test_normalised_detections_are_noticed(config, human36m):
    for actions in human36m.points.values():
        for name in actions:
            actions[name] = [points / 500 - 1 for points in actions[name]]
    human36m.write()
    with pytest.raises(ValueError, match=r"positions_2d \(train\): expected detections in pixels, found values from -"):
        load_human36m(config, 0)


def test_cameras_in_another_order_are_noticed(config, human36m):
    for actions in human36m.points.values():
        for points in actions.values():
            points.reverse()
    human36m.write()
    with pytest.raises(ValueError, match=r"expected detections near the projected joints, found a median distance of"):
        load_human36m(config, 0)


def test_poses_that_are_no_numbers_are_noticed(config, human36m):
    human36m.poses["S1"]["WalkDog"][3, 3] = np.nan
    human36m.write()
    with pytest.raises(ValueError, match=r"positions_3d \(train\): expected finite joints"):
        load_human36m(config, 0)


def test_missing_files_are_told_with_what_to_do(config, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere/human36m/data_3d_h36m\.npz: no such file; set data\.human36m"
    ):
        Human36mConfig(root=str(tmp_path / "nowhere")).files_fingerprint()
    with pytest.raises(FileNotFoundError, match=r"_gt\.npz: no such file; .* there are \['cpn_ft_h36m_dbb'\]"):
        replace(config, detections="gt").files_fingerprint()
    (Path(config.root) / "cameras" / "h36m.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"h36m\.json: no such file; set data\.human36m\.root"):
        load_human36m(config, 0)
    with pytest.raises(ValueError, match=r"data\.human36m\.root must be an absolute path, got 'here'"):
        Human36mConfig(root="here").files()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 0}, r"human36m\.stride must be >= 1, got 0"),
        ({"num_test": 0}, r"human36m\.num_test must be >= 1, got 0"),
        ({"cameras": ("1",)}, r"human36m\.cameras must be distinct ones of 54138969"),
        ({"validation": ("S1",)}, "and none twice"),
        ({"train": ()}, "at least one subject each"),
        ({"test": ("nine",)}, r"subjects are called S1, S5, \.\.\., got nine"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Human36mConfig(**settings)


def test_leaving_everything_out_is_refused(config):
    with pytest.raises(ValueError, match="nothing is left of S8: see leave_out"):
        load_human36m(replace(config, leave_out=("S8/Directions", "S8/WalkDog")), 0)


@pytest.mark.real_data
def test_the_published_cameras_have_the_order_of_the_detections():
    path = data_folder(None, "root") / "cameras" / "h36m.json"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    subjects = json.loads(path.read_text())["subjects"]
    assert all(tuple(cameras) == CAMERAS for cameras in subjects.values())
    assert set(Human36mConfig().train) < set(subjects)
