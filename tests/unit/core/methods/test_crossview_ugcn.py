from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.multiview_keypoints import MultiViewKeypoints
from core.geometry.rig import ring_rig
from core.methods.crossview_ugcn import (
    CrossviewConfig,
    LossConfig,
    fill_lost,
    pair_samples,
    relative_poses,
    triangulate_pairs,
    weak_loss,
)
from core.skeleton import HUMAN36M
from core.testing import ring_scene

CONFIG = CrossviewConfig(max_reach_mm=5_000.0)


def recording(num_frames=5, seed=0, noise_px=0.0):
    """Frames of 17 joints before four cameras on half a ring, with their exact images."""
    generator = torch.Generator().manual_seed(seed)
    scene = ring_scene(8, 17, generator, batch=num_frames)
    rig = ring_rig(8, radius_mm=5_000.0).cameras[:4]
    truth_px = scene.points_px[:, :4].float()
    noise_px = noise_px * torch.randn(truth_px.shape, generator=generator)
    zeros = torch.zeros(num_frames, dtype=torch.int64)
    return MultiViewKeypoints(
        skeleton=HUMAN36M,
        intrinsics=torch.stack([camera.intrinsics for camera in rig]).float()[None],
        world_to_camera=torch.stack([camera.world_to_camera for camera in rig]).float()[None],
        size_px=torch.tensor([camera.size_px for camera in rig]).float()[None],
        rig=zeros,
        points_px=truth_px + noise_px,
        confidences=torch.ones(num_frames, 4, 17),
        truth_px=truth_px,
        joints_mm=scene.joints_mm.float(),
        subject=zeros,
        action=zeros,
        actions=("moving",),
    )


def samples_of(data, config=CONFIG, pairs=None):
    return pair_samples(data, config, pairs or config.pair_names, torch.Generator().manual_seed(3))


def cross(point):
    x, y = point.tolist()
    return torch.tensor([[0, -1, y], [1, 0, -x], [-y, x, 0]], dtype=torch.float64)


def literal_equation_1(first, second, transform, num_rows):
    """The null vector of `[x_1 cross I; x_2 cross T] X~`, by SVD; metres."""
    eye = torch.eye(3, 4, dtype=torch.float64)
    rows = torch.cat([cross(first)[:num_rows] @ eye, cross(second)[:num_rows] @ transform])
    vector = torch.linalg.svd(rows).Vh[-1]
    return 1000 * vector[:3] / vector[3]


@pytest.mark.parametrize(("num_rows", "within_mm"), [(2, 1e-6), (3, 3.0)])
def test_noisy_joints_are_the_null_vectors_of_equation_1(num_rows, within_mm):
    data = recording(noise_px=5.0)
    K, poses = data.intrinsics[0, :2].double(), data.world_to_camera[0, :2].double()
    to_other = relative_poses(poses)
    homogeneous = torch.nn.functional.pad(data.points_px[:, :2].double(), (0, 1), value=1.0)
    points = (homogeneous @ K.inverse().mT)[..., :2]
    found_mm = triangulate_pairs(points, to_other.expand(5, 2, 3, 4))
    errors_mm = []
    for frame in range(5):
        for view in range(2):
            metres = torch.cat([to_other[view, :, :3], to_other[view, :, 3:] / 1000], dim=1)
            for joint in range(17):
                own, other = points[frame, view, joint], points[frame, 1 - view, joint]
                expected_mm = literal_equation_1(own, other, metres, num_rows)
                errors_mm.append(float((found_mm[frame, view, joint] - expected_mm).norm()))
    # The third row of a cross product follows from the other two; with it, noisy joints move by a little.
    assert max(errors_mm) < within_mm


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_exact_images_give_the_joints_in_either_camera_s_frame(seed):
    data = recording(num_frames=2, seed=seed)
    samples = samples_of(data)
    assert len(samples) == 8
    torch.testing.assert_close(samples.triangulated_mm, samples.joints_mm, rtol=0, atol=0.05)
    for number, views in enumerate(CONFIG.pairs):
        for place, view in enumerate(views):
            pose = data.world_to_camera[0, view]
            expected = data.joints_mm @ pose[:, :3].T + pose[:, 3]
            torch.testing.assert_close(samples.joints_mm[samples.pair == number][:, place], expected, rtol=0, atol=0.01)


def test_transforms_lead_from_one_camera_to_the_other():
    poses = recording().world_to_camera[0, :2].double()
    to_other = relative_poses(poses)
    world = torch.randn(3, dtype=torch.float64)
    first, second = (pose[:, :3] @ world + pose[:, 3] for pose in poses)
    torch.testing.assert_close(to_other[0, :, :3] @ first + to_other[0, :, 3], second, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(to_other[1, :, :3] @ second + to_other[1, :, 3], first, rtol=1e-5, atol=1e-3)


def test_lost_joints_take_their_parent_s_place():
    poses_mm = torch.randn(2, 2, 17, 3) * 300 + 4000
    wrist, elbow, shoulder = (HUMAN36M.index(name) for name in ("LWrist", "LElbow", "LShoulder"))
    broken = poses_mm.clone()
    broken[0, 0, [wrist, elbow]] = torch.nan
    broken[0, 1, 0] = 1e6
    broken[1] = torch.nan
    filled = fill_lost(broken, HUMAN36M, 2_000.0)
    assert torch.equal(filled[0, 0, wrist], poses_mm[0, 0, shoulder])
    assert torch.equal(filled[0, 0, elbow], poses_mm[0, 0, shoulder])
    assert (filled[0, 1, 0] - poses_mm[0, 1].median(0).values).norm() < 300
    assert torch.equal(filled[0, 1, 1:], poses_mm[0, 1, 1:])
    assert filled[1].isnan().all()


def test_frames_that_a_view_did_not_record_are_left_out():
    data = recording()
    confidences = data.confidences.clone()
    confidences[0, 1] = 0.0
    samples = samples_of(replace(data, confidences=confidences))
    assert [int((samples.pair == number).sum()) for number in range(4)] == [4, 5, 4, 5]
    with pytest.raises(ValueError, match="no frame was recorded by both views of any pair of P1, P3"):
        samples_of(replace(data, confidences=torch.zeros_like(confidences)), pairs=("P1", "P3"))


def test_pairs_are_chosen_by_name():
    data = recording(noise_px=3.0)
    everything, some = samples_of(data), samples_of(data, pairs=("P2", "P4"))
    assert some.pair.unique().tolist() == [1, 3]
    torch.testing.assert_close(some.triangulated_mm, everything.triangulated_mm[(everything.pair % 2) == 1])


def test_noise_on_the_truth_has_the_size_asked_for_and_detections_none():
    data = recording(num_frames=40, noise_px=2.0)
    exact = samples_of(data, replace(CONFIG, keypoints="truth"))
    torch.testing.assert_close(exact.triangulated_mm, exact.joints_mm, rtol=0, atol=0.05)

    def error_mm(samples):
        return (samples.triangulated_mm - samples.joints_mm).norm(dim=-1).mean()

    noisy = samples_of(data, replace(CONFIG, keypoints="truth", keypoint_noise_px=2.0))
    torch.testing.assert_close(error_mm(noisy), error_mm(samples_of(data)), rtol=0.1, atol=0)


@pytest.mark.parametrize("unit", ["pixels", "normalised"])
@pytest.mark.parametrize("length_unit", ["metres", "millimetres"])
def test_the_objective_is_the_weighted_sum_of_its_terms_in_its_units(unit, length_unit):
    losses = LossConfig(image_unit=unit, length_unit=length_unit)
    data = recording(noise_px=10.0)
    samples = samples_of(data, replace(CONFIG, losses=losses))
    batch = samples.minibatch(torch.arange(len(samples)))
    total, terms = weak_loss(samples.triangulated_mm, batch, losses, HUMAN36M)
    expected = terms["reprojection"] + terms["symmetry"] + terms["transform"] + 0.1 * terms["bone_direction"]
    torch.testing.assert_close(total, expected)
    exact, _ = weak_loss(samples.joints_mm, batch, replace(losses, symmetry=0.0), HUMAN36M)
    assert exact < 0.01 * total
    pixels = terms["reprojection"] * (float(data.intrinsics[0, 0, 0, 0]) if unit == "normalised" else 1)
    assert 30 < pixels < 34 * 10 * 1.3
    only = replace(losses, symmetry=0.0, transform=0.0, bone_direction=0.0)
    alone, _ = weak_loss(samples.triangulated_mm, batch, only, HUMAN36M)
    torch.testing.assert_close(alone, terms["reprojection"])


@pytest.mark.parametrize(
    ("scale", "std_mm"), [("axis_std_mm", 9.0), ("total_rms_mm", 5.196), ("axis_variance_mm2", 3.0)]
)
def test_test_noise_has_three_readings(scale, std_mm):
    assert CrossviewConfig(test_noise_scale=scale).noise_std_mm(9.0) == pytest.approx(std_mm, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"keypoint_noise_px": 2.0}, "added to keypoints=truth only"),
        ({"pairs": ((0, 0),)}, "one pair of different views"),
        ({"train_pairs": ("P5",)}, "must be of P1, P2, P3, P4, got P5"),
        ({"train_pairs": ()}, "must name a pair"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CrossviewConfig(**values)


def test_losses_need_a_weight():
    with pytest.raises(ValueError, match="one of them above"):
        LossConfig(reprojection=0.0, symmetry=0.0, transform=0.0, bone_direction=0.0)
