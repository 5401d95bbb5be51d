"""Panoptic Studio in the toolbox's layout, with OpenPose's files: units, axes, joints, gaps, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.data.openpose_json import FROM_BODY_25
from core.data.panoptic import PanopticConfig, load_panoptic, select_frames
from core.data.panoptic_files import COCO19, FROM_COCO19, Z_UP, read_calibration
from core.data.places import data_folder
from core.data.shelf import BODY_25
from core.geometry.camera import Camera
from core.geometry.rig import read_rig
from core.geometry.triangulation import triangulate_dlt
from core.openpose import BODY_18

SEQUENCES = {"train": ("one",), "validation": ("two",), "test": ("three",)}


@pytest.fixture
def config(panoptic):
    return PanopticConfig(root=str(panoptic.root.parent), **SEQUENCES)


@pytest.fixture
def with_hands(config):
    return replace(config, skeleton="body_and_hands")


def body_path(panoptic, frame, sequence="one"):
    return panoptic.path(sequence, "hdPose3d_stage1_coco19", f"body3DScene_{frame:08d}.json")


def openpose_path(panoptic, camera, frame, sequence="one"):
    return panoptic.path(sequence, "openpose", camera, f"{camera}_{frame:08d}_keypoints.json")


def test_both_orders_of_joints_lead_to_openposes():
    assert [COCO19[joint] for joint in FROM_COCO19] == list(BODY_18.names)
    assert [BODY_25[joint] for joint in FROM_BODY_25] == list(BODY_18.names)


def test_the_axes_are_turned_not_mirrored():
    turn = torch.tensor(Z_UP)
    assert torch.linalg.det(turn) == 1
    assert (turn @ torch.tensor([0.0, -1.0, 0.0])).tolist() == [0, 0, 1]


def test_centimetres_with_y_down_become_millimetres_with_z_up(config, panoptic):
    train = load_panoptic(config, 0).train
    torch.testing.assert_close(train.joints_mm, panoptic.joints_mm["one"][:, :18].float(), rtol=0, atol=1e-2)
    assert train.joints_mm[:, BODY_18.index("Nose"), 2].min() > 1_300
    heights_mm = [-(pose[:, :3].T @ pose[:, 3])[2] for pose in train.world_to_camera[0]]
    assert heights_mm == pytest.approx([1_800.0] * 3, abs=0.5)


def test_detections_are_undistorted_and_lie_on_the_truth(config):
    for split in (load_panoptic(config, 0).train, load_panoptic(config, 0).test):
        assert (split.points_px - split.truth_px).abs().mean() < 1.0
        found_mm = triangulate_dlt(split.projections[split.rig], split.points_px)
        assert (found_mm - split.joints_mm).norm(dim=-1).mean() < 10.0
        torch.testing.assert_close(split.confidences, torch.full_like(split.confidences, 0.8))


def test_hands_follow_the_body(with_hands, panoptic):
    train = load_panoptic(with_hands, 0).train
    assert train.skeleton.num_joints == 60
    torch.testing.assert_close(train.joints_mm, panoptic.joints_mm["one"].float(), rtol=0, atol=1e-2)
    assert (train.points_px - train.truth_px).abs().amax(dim=(0, 1, 3)).max() < 6.0


def test_body_25_is_read_by_name(config, panoptic):
    before = load_panoptic(config, 0).train

    def widen(content):
        person = content["people"][0]
        rows = np.array(person["pose_keypoints_2d"]).reshape(18, 3)
        wide = np.full((25, 3), 77.0)
        for joint, row in zip(BODY_18.names, rows, strict=True):
            wide[BODY_25.index(joint)] = row
        person["pose_keypoints_2d"] = wide.flatten().tolist()

    for frame in range(6):
        panoptic.edit(openpose_path(panoptic, "00_01", frame), widen)
    torch.testing.assert_close(load_panoptic(config, 0).train.points_px, before.points_px)


def test_views_that_did_not_record_or_saw_nobody_have_no_confidence(config, panoptic):
    openpose_path(panoptic, "00_01", 2).unlink()
    panoptic.edit(openpose_path(panoptic, "00_00", 3), lambda content: content["people"].clear())
    panoptic.edit(
        openpose_path(panoptic, "00_02", 4),
        lambda content: content["people"][0]["pose_keypoints_2d"].__setitem__(slice(3, 6), [0, 0, 0]),
    )
    train = load_panoptic(config, 0).train
    is_there = train.confidences > 0
    assert is_there.any(dim=-1).sum(dim=-1).tolist() == [3, 3, 2, 2, 3, 3]
    assert not is_there[2, 1].any()
    assert not is_there[3, 0].any()
    assert not is_there[4, 2, 1]
    assert is_there[4, 2].sum() == 17
    assert (train.points_px[~is_there] == 0).all()


def test_the_most_confident_of_several_people_is_taken(config, panoptic):
    before = load_panoptic(config, 0).train

    def add_ghosts(content):
        ghost = {"pose_keypoints_2d": [5.0, 5.0, 0.1] * 18}
        content["people"] = [ghost, *content["people"], ghost]

    panoptic.edit(openpose_path(panoptic, "00_00", 0), add_ghosts)
    torch.testing.assert_close(load_panoptic(config, 0).train.points_px, before.points_px)


def test_frames_of_other_people_or_with_missing_joints_are_left_out_and_counted(with_hands, panoptic):
    panoptic.edit(body_path(panoptic, 0), lambda content: content["bodies"].clear())
    panoptic.edit(body_path(panoptic, 1), lambda content: content["bodies"].append(content["bodies"][0]))
    panoptic.edit(body_path(panoptic, 2), lambda content: content["bodies"][0]["joints19"].__setitem__(3, -1.0))
    panoptic.path("one", "hdHand3d", "handRecon3D_hd00000003.json").unlink()
    panoptic.edit(
        panoptic.path("one", "hdHand3d", "handRecon3D_hd00000004.json"),
        lambda content: content["people"][0].update(left_hand={"landmarks": [0.0] * 63}),
    )
    selection = select_frames(with_hands, "train", 0)
    assert [one.frame for one in selection.frames] == [5]
    assert (selection.num_other_people, selection.num_incomplete) == (2, 3)
    body_only = select_frames(replace(with_hands, skeleton="body"), "train", 0)
    assert [one.frame for one in body_only.frames] == [3, 4, 5]


def test_true_joints_of_little_confidence_can_be_refused(config):
    assert len(select_frames(replace(config, min_truth_confidence=0.6), "train", 0).frames) == 6
    with pytest.raises(ValueError, match=r"one: expected frames of one complete person, found 0 with .* and 6 with"):
        select_frames(replace(config, min_truth_confidence=0.7), "train", 0)


def test_a_limit_counts_the_frames_that_count(config, panoptic):
    panoptic.edit(body_path(panoptic, 0), lambda content: content["bodies"].clear())
    limited = replace(config, num_train=4)
    drawn = [tuple(one.frame for one in select_frames(limited, "train", seed).frames) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    assert all(len(frames) == 4 and 0 not in frames and list(frames) == sorted(frames) for frames in drawn)
    assert [one.frame for one in select_frames(replace(config, stride=2), "train", 0).frames] == [2, 4]


def test_individuals_are_unique_over_splits_and_sequences_are_the_actions(config, panoptic):
    panoptic.edit(body_path(panoptic, 5), lambda content: content["bodies"][0].update(id=7))
    splits = load_panoptic(config, 0)
    assert splits.train.subject.tolist() == [2] * 5 + [7]
    assert splits.test.subject.unique().tolist() == [2_002]
    assert splits.validation.actions == ("one", "two", "three")
    assert splits.validation.action.unique().tolist() == [1]


def test_cameras_are_those_of_all_sequences_or_those_asked_for(config, panoptic):
    path = panoptic.path("two", "calibration_two.json")
    panoptic.edit(path, lambda content: content["cameras"].pop())
    assert config.chosen_cameras() == ("00_00", "00_01")
    assert load_panoptic(config, 0).train.num_views == 2
    with pytest.raises(ValueError, match="no camera named 00_02 in the rig; there are 00_00, 00_01"):
        load_panoptic(replace(config, cameras=("00_02",)), 0)


def test_the_fingerprint_follows_what_is_there(config, panoptic):
    prints = [config.files_fingerprint(), config.files_fingerprint()]
    panoptic.edit(openpose_path(panoptic, "00_00", 0), lambda content: content["people"].clear())
    prints.append(config.files_fingerprint())
    body_path(panoptic, 5).unlink()
    prints.append(config.files_fingerprint())
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def in_millimetres(content):
    body = content["bodies"][0]
    body["joints19"] = [value * (10 if index % 4 < 3 else 1) for index, value in enumerate(body["joints19"])]


def first_person(**changes):
    return lambda content: content["people"][0].update(changes)


def first_body(**changes):
    return lambda content: content["bodies"][0].update(changes)


BODY, OPENPOSE, CALIBRATION = (
    ("hdPose3d_stage1_coco19", "body3DScene_00000001.json"),
    ("openpose", "00_00", "00_00_00000001_keypoints.json"),
    ("calibration_one.json",),
)
FAULTS = [
    (BODY, lambda content: content.pop("bodies"), r"00000001\.json: expected a list under bodies, found version, univ"),
    (BODY, lambda content: content["bodies"][0].pop("joints19"), r"bodies: expected a list under joints19, found id"),
    (BODY, first_body(joints19=[1.0] * 75), r"joints19: expected numbers in rows of 4, found 75 values"),
    (BODY, first_body(joints19=[1.0] * 56), r"bodies: expected .* 19 joints, found id 2 and 14"),
    (BODY, first_body(id=5_000), r"one: expected body ids from 0 to 999, found 5000"),
    (OPENPOSE, lambda content: content.pop("people"), r"keypoints\.json: expected a list under people, found version"),
    (OPENPOSE, first_person(pose_keypoints_2d=None), r"people/0: expected a list under pose_keypoints_2d"),
    (OPENPOSE, first_person(pose_keypoints_2d=[1.0] * 51), r"expected 18 or 25 joints, found 17"),
    (OPENPOSE, first_person(pose_keypoints_2d=["x"] * 54), r"expected numbers in rows of 3, found 54"),
    (
        CALIBRATION,
        lambda content: content["cameras"][1].pop("distCoef"),
        r"_one\.json: cameras/1: lacks distCoef; found",
    ),
    (
        CALIBRATION,
        lambda content: content["cameras"][1].update(K=[[1.0]]),
        r"cameras/1: camera intrinsics must have shape",
    ),
    (CALIBRATION, lambda content: content.update(cameras=[]), r"expected cameras of the type 'hd', found none"),
]


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(("place", "spoil", "message"), FAULTS)
def test_files_of_another_form_are_refused(config, panoptic, place, spoil, message):
    panoptic.edit(panoptic.path("one", *place), spoil)
    with pytest.raises(ValueError, match=message):
        load_panoptic(config, 0)


def test_hands_of_another_form_are_refused(with_hands, panoptic):
    path = panoptic.path("one", "hdHand3d", "handRecon3D_hd00000001.json")
    panoptic.edit(path, lambda content: content["people"][0]["left_hand"].update(landmarks=[1.0] * 60))
    with pytest.raises(ValueError, match=r"people/left_hand/landmarks: expected 21 joints, found 20"):
        load_panoptic(with_hands, 0)
    panoptic.edit(path, lambda content: content["people"][0]["left_hand"].update(landmarks=[1.0] * 63))
    panoptic.edit(
        openpose_path(panoptic, "00_00", 1),
        lambda content: content["people"][0].update(hand_left_keypoints_2d=[1.0] * 6),
    )
    with pytest.raises(ValueError, match=r"people/0/hand_left_keypoints_2d: expected 21 joints, found 2"):
        load_panoptic(with_hands, 0)


def test_what_is_no_json_is_refused(config, panoptic):
    body_path(panoptic, 0).write_text("{")
    with pytest.raises(ValueError, match=r"body3DScene_00000000\.json: not JSON"):
        load_panoptic(config, 0)


def test_millimetres_are_noticed(config, panoptic):
    for frame in range(6):
        panoptic.edit(body_path(panoptic, frame), in_millimetres)
    with pytest.raises(
        ValueError, match=r"panoptic: one: expected joints in centimetres; .* is the file in another unit"
    ):
        load_panoptic(config, 0)


def test_missing_files_are_told_with_what_to_do(config, panoptic):
    with pytest.raises(FileNotFoundError, match=r"panoptic/four: no such folder; set data\.panoptic\.root"):
        replace(config, test=("four",)).files_fingerprint()
    for camera in ("00_00", "00_01", "00_02"):
        for frame in range(4):
            openpose_path(panoptic, camera, frame, "two").unlink()
    with pytest.raises(ValueError, match=r"two: openpose: expected detections, found none in any frame and view"):
        load_panoptic(config, 0)
    panoptic.path("three", "calibration_three.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"calibration_three\.json: no such file; set data\.panoptic\.root"):
        config.files_fingerprint()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 0}, r"panoptic\.stride must be >= 1, got 0"),
        ({"num_train": 0}, r"panoptic\.num_train must be >= 1, got 0"),
        ({"train": ("a", "a")}, "and none twice"),
        ({"test": ()}, "at least one sequence each"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PanopticConfig(**settings)


@pytest.mark.real_data
def test_real_bodies_stand_upright_and_project_into_real_images(panoptic):
    folder = data_folder(None, "root") / "cameras"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    studio = read_rig(folder / "panoptic_hd.json")
    with np.load(folder / "panoptic_gt_samples.npz") as samples:
        joints_mm = torch.from_numpy(samples["joints"][..., :3]).double() @ torch.tensor(Z_UP, dtype=torch.float64).T
    nose, ankle = joints_mm[:, COCO19.index("Nose")], joints_mm[:, COCO19.index("RAnkle")]
    assert (nose[:, 2] - ankle[:, 2] > 500).all()

    def as_toolbox(content):
        template = content["cameras"][1]
        content["cameras"] = [
            {
                **template,
                "name": name,
                "K": camera.intrinsics.tolist(),
                "R": camera.world_to_camera[:, :3].tolist(),
                "t": (camera.world_to_camera[:, 3:] / 10).tolist(),
                "distCoef": camera.distortion.tolist(),
                "resolution": list(camera.size_px),
            }
            for name, camera in zip(studio.names, studio.cameras, strict=True)
        ]

    path = panoptic.path("one", "calibration_one.json")
    panoptic.edit(path, as_toolbox)
    rig = read_calibration(path)
    assert len(rig) == 31
    assert all(camera.centre_mm[2] > -200 for camera in rig)

    def inside(camera: Camera) -> torch.Tensor:
        return camera.inside(camera.project(joints_mm))

    usual = rig.subset(["00_03", "00_06", "00_12", "00_13", "00_23"])
    assert torch.stack([inside(camera) for camera in usual]).double().mean() > 0.9
