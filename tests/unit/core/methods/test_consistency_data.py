"""What training views and single views are made of: who takes part, statistics, batches, errors by hand."""

from dataclasses import replace

import pytest
import torch

from core.data.multiview_keypoints import MultiViewKeypoints
from core.geometry.projection import project_points
from core.geometry.reconstruction import ReconstructionConfig
from core.geometry.rig import ring_rig
from core.methods.consistency_data import SeenViews, TrainingViews, pose_statistics, reconstruct_frames
from core.methods.single_views import SingleViews, mean_distance_mm, predict, single_view_errors
from core.nn.residual_lifter import ResidualLifter, ResidualLifterConfig
from core.skeleton import Skeleton

NUM_FRAMES, NUM_VIEWS = 12, 5
SKELETON = Skeleton(names=("Neck", "Nose", "RKnee", "LKnee"), parents=(-1, 0, 0, 0), left_right=((3, 2),))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def keypoints():
    """Exact detections of poses about (100, 0, 1000) mm; two rigs, the second for the odd frames."""
    rigs = [ring_rig(NUM_VIEWS), ring_rig(NUM_VIEWS, radius_mm=4_000.0)]
    joints_mm = 200 * torch.randn(NUM_FRAMES, 4, 3, generator=generator()) + torch.tensor([100.0, 0.0, 1_000.0])
    intrinsics = torch.stack([torch.stack([camera.intrinsics for camera in rig]) for rig in rigs]).float()
    poses = torch.stack([torch.stack([camera.world_to_camera for camera in rig]) for rig in rigs]).float()
    rig = torch.arange(NUM_FRAMES) % 2
    points_px = project_points((intrinsics.double() @ poses.double())[rig], joints_mm.double()).float()
    return MultiViewKeypoints(
        skeleton=SKELETON,
        intrinsics=intrinsics,
        world_to_camera=poses,
        size_px=torch.full((2, NUM_VIEWS, 2), 1_000.0),
        rig=rig,
        points_px=points_px,
        confidences=torch.full((NUM_FRAMES, NUM_VIEWS, 4), 0.8),
        truth_px=points_px,
        joints_mm=joints_mm,
        subject=torch.zeros(NUM_FRAMES, dtype=torch.int64),
        action=torch.zeros(NUM_FRAMES, dtype=torch.int64),
        actions=("moving",),
    )


def seen(keypoints, min_confidence=0.0, min_joints=2):
    return SeenViews.of(keypoints, min_confidence, min_joints)


def in_cameras(keypoints):
    """Root-relative true poses in every camera's axes, by loops."""
    relative_mm = torch.zeros(NUM_FRAMES, NUM_VIEWS, 4, 3)
    for frame in range(NUM_FRAMES):
        for view in range(NUM_VIEWS):
            rotation = keypoints.world_to_camera[keypoints.rig[frame], view, :, :3]
            for joint in range(4):
                offset_mm = keypoints.joints_mm[frame, joint] - keypoints.joints_mm[frame, 0]
                relative_mm[frame, view, joint] = rotation @ offset_mm
    return relative_mm


def test_low_confidence_is_missing_and_a_view_of_too_few_joints_is_out(keypoints):
    confidences = keypoints.confidences.clone()
    confidences[0, 1, 2] = 0.1
    confidences[0, 2, 1:] = 0.0
    views = seen(replace(keypoints, confidences=confidences), min_confidence=0.2)
    assert not views.present[0, 1, 2]
    assert not views.present[0, 2].any()
    assert views.used[0].tolist() == [True, True, False, True, True]
    assert views.used[1:].all()


def test_frames_are_reconstructed_each_by_its_own_rig(keypoints):
    found_mm = reconstruct_frames(seen(keypoints), ReconstructionConfig())
    torch.testing.assert_close(found_mm, keypoints.joints_mm, rtol=0, atol=1.0)


def test_statistics_are_moments_over_frames_and_views(keypoints):
    found = pose_statistics(seen(keypoints), keypoints.joints_mm, "reconstruction")
    relative_px = keypoints.points_px - keypoints.points_px[..., :1, :]
    relative_mm = in_cameras(keypoints)
    torch.testing.assert_close(found.input_mean_px, relative_px.mean((0, 1)), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.input_deviation_px, relative_px.flatten(0, 1).std(0, correction=0))
    torch.testing.assert_close(found.output_mean_mm, relative_mm.mean((0, 1)), rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(found.output_deviation_mm, relative_mm.flatten(0, 1).std(0, correction=0))
    assert (found.output_deviation_mm[0] == 0).all()


def test_missing_joints_and_unknown_poses_take_no_part_in_statistics(keypoints):
    whole = pose_statistics(seen(keypoints.take(torch.arange(6))), keypoints.joints_mm[:6], "reconstruction")
    confidences, joints_mm = keypoints.confidences.clone(), keypoints.joints_mm.clone()
    confidences[6:] = 0
    joints_mm[6:] = torch.nan
    points_px = torch.where(confidences[..., None] > 0, keypoints.points_px, 1e6)
    gaps = replace(keypoints, confidences=confidences, points_px=points_px)
    found = pose_statistics(seen(gaps), joints_mm, "reconstruction")
    for name in type(found).__dataclass_fields__:
        torch.testing.assert_close(getattr(found, name), getattr(whole, name), rtol=1e-4, atol=1e-2)


def test_statistics_from_images_use_no_pose_but_the_root(keypoints):
    joints_mm = keypoints.joints_mm.clone()
    joints_mm[:, 1:] = torch.nan
    found = pose_statistics(seen(keypoints), joints_mm, "images")
    exact = pose_statistics(seen(keypoints), keypoints.joints_mm, "reconstruction")
    assert (found.output_mean_mm[:, 2] == 0).all()
    assert (found.output_mean_mm - exact.output_mean_mm)[:, :2].abs().max() < 60
    ratio = found.output_deviation_mm[1:] / exact.output_deviation_mm[1:]
    assert 0.6 < ratio.min()
    assert ratio.max() < 1.6


def test_no_root_anywhere_is_refused(keypoints):
    confidences = keypoints.confidences.clone()
    confidences[..., 0] = 0
    with pytest.raises(ValueError, match="no training frame has its root detected"):
        pose_statistics(seen(replace(keypoints, confidences=confidences)), keypoints.joints_mm, "reconstruction")


def test_a_batch_has_frames_once_and_views_once_with_their_own_cameras(keypoints):
    views = seen(keypoints)
    training = TrainingViews.build(views, keypoints.joints_mm, keypoints.joints_mm)
    batch = training.draw(6, 3, generator(4))
    assert batch["points_px"].shape == (6, 3, 4, 2)
    assert batch["used"].all()
    assert len(batch["root_mm"].unique(dim=0)) == 6
    absolute_mm = batch["target_mm"] + batch["root_mm"][:, None]
    again_px = project_points((batch["intrinsics"] @ batch["world_to_camera"]).double(), absolute_mm.double())
    torch.testing.assert_close(again_px.float(), batch["points_px"], rtol=0, atol=0.05)
    for frame in range(6):
        assert len(batch["world_to_camera"][frame].unique(dim=0)) == 3


def test_views_that_are_out_come_last_and_do_not_count(keypoints):
    confidences = keypoints.confidences.clone()
    confidences[:, [0, 3, 4]] = 0
    training = TrainingViews.build(
        seen(replace(keypoints, confidences=confidences)), keypoints.joints_mm, keypoints.joints_mm
    )
    batch = training.draw(4, 3, generator())
    assert batch["used"].tolist() == [[True, True, False]] * 4


def test_frames_without_a_root_or_with_one_view_are_not_drawn(keypoints):
    joints_mm, confidences = keypoints.joints_mm.clone(), keypoints.confidences.clone()
    joints_mm[3, 0] = torch.nan
    joints_mm[5, 2] = torch.nan
    confidences[7, 1:] = 0
    views = seen(replace(keypoints, confidences=confidences))
    training = TrainingViews.build(views, joints_mm, joints_mm)
    assert training.frames.tolist() == [frame for frame in range(NUM_FRAMES) if frame not in (3, 7)]
    assert training.known[5].tolist() == [True, True, False, True]
    assert training.target_mm.isfinite().all()
    with pytest.raises(ValueError, match="nothing to train on"):
        TrainingViews.build(views, torch.full_like(joints_mm, torch.nan), joints_mm)


def test_single_views_want_the_pose_in_the_cameras_axes(keypoints):
    views = seen(keypoints)
    statistics = pose_statistics(views, keypoints.joints_mm, "reconstruction")
    samples = SingleViews.build(views, keypoints.joints_mm, statistics)
    torch.testing.assert_close(samples.wanted_mm, in_cameras(keypoints).flatten(0, 1), rtol=0, atol=0.01)
    few = SingleViews.build(views, keypoints.joints_mm, statistics, max_views=2)
    assert len(few.wanted_mm) == 2 * NUM_FRAMES
    assert len(samples.wanted_mm) == NUM_VIEWS * NUM_FRAMES


def test_errors_by_hand(keypoints):
    views = seen(keypoints)
    samples = SingleViews.build(
        views, keypoints.joints_mm, pose_statistics(views, keypoints.joints_mm, "reconstruction")
    )
    exact = single_view_errors(samples.wanted_mm, samples, SKELETON.names, 0)
    assert exact["mpjpe"] == 0
    assert exact["mpjpe_2d"] < 0.05
    assert exact["relative_spread"] == pytest.approx(1.0)
    off_mm = samples.wanted_mm + torch.tensor([[0.0, 0, 0], [3, 4, 0], [0, 0, 6], [0, 0, -7]])
    off = single_view_errors(off_mm, samples, SKELETON.names, 0)
    assert off["mpjpe"] == pytest.approx((5 + 6 + 7) / 3, rel=1e-4)
    assert off["lateral"] == pytest.approx(5 / 3, rel=1e-4)
    assert off["depth"] == pytest.approx(13 / 3, rel=1e-4)
    assert {name for name in off if name.startswith("joint/")} == {"joint/nose", "joint/r_knee", "joint/l_knee"}
    assert off["joint/r_knee"] == pytest.approx(6, rel=1e-4)
    flat = single_view_errors(torch.zeros_like(off_mm), samples, SKELETON.names, 0)
    assert flat["spread"] == flat["relative_spread"] == 0


def test_the_network_that_gives_the_mean_pose_is_measured_as_such(keypoints):
    views = seen(keypoints)
    statistics = pose_statistics(views, keypoints.joints_mm, "reconstruction")
    samples = SingleViews.build(views, keypoints.joints_mm, statistics)
    network = ResidualLifter(ResidualLifterConfig(num_hidden=4), statistics).eval()
    torch.nn.init.zeros_(network.to_pose.weight)
    torch.nn.init.zeros_(network.to_pose.bias)
    torch.testing.assert_close(predict(network, samples)[7], statistics.output_mean_mm)
    expected = (samples.wanted_mm - statistics.output_mean_mm).norm(dim=-1)[:, 1:].mean()
    assert mean_distance_mm(network, samples, 0) == pytest.approx(float(expected), rel=1e-5)
