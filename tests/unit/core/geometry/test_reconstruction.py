"""Two-step reconstruction: exact scenes, a literal closed form, least squares under noise, missing detections."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.geometry.projection import scene_frame
from core.geometry.reconstruction import (
    ReconstructionConfig,
    reconstruct,
    reconstruct_orthographic,
    reprojection_errors,
)
from core.geometry.rig import ring_rig
from core.geometry.triangulation import triangulate_dlt
from core.testing import ring_scene

SQUARES = ReconstructionConfig(huber_px=None)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def views(num_views, batch=None, radius_mm=5_000.0):
    rig = ring_rig(num_views, radius_mm=radius_mm)
    intrinsics = torch.stack([camera.intrinsics for camera in rig])
    poses = torch.stack([camera.world_to_camera for camera in rig])
    if batch is not None:
        intrinsics, poses = (one.expand(batch, *one.shape).contiguous() for one in (intrinsics, poses))
    return intrinsics, poses


def everything(points_px):
    return torch.ones(points_px.shape[:-1], dtype=torch.bool)


@settings(deadline=None, max_examples=25)
@given(num_views=st.integers(2, 8), num_joints=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_exact_detections_give_the_truth(num_views, num_joints, seed):
    scene = ring_scene(num_views, num_joints, torch.Generator().manual_seed(seed))
    intrinsics, poses = views(num_views)
    found_mm = reconstruct(intrinsics, poses, scene.points_px, everything(scene.points_px), ReconstructionConfig())
    torch.testing.assert_close(found_mm, scene.joints_mm, rtol=0, atol=1e-3)


def test_the_first_step_is_linear_least_squares_joint_by_joint():
    scene = ring_scene(4, 3)
    intrinsics, poses = views(4)
    present = everything(scene.points_px)
    present[1, 2] = False
    found_mm = reconstruct_orthographic(intrinsics, poses, scene.points_px, present)
    centre = scene_frame(intrinsics @ poses).centre
    for joint in range(3):
        rows, rights = [], []
        for view in range(4):
            if not present[view, joint]:
                continue
            K, R, t = intrinsics[view], poses[view, :, :3], poses[view, :, 3]
            depth = (R @ centre + t)[2]
            for axis in range(2):
                rows.append(K[axis, axis] * R[axis] / depth)
                rights.append(scene.points_px[view, joint, axis] - K[axis, 2] - K[axis, axis] * t[axis] / depth)
        expected = torch.linalg.lstsq(torch.stack(rows), torch.stack(rights)[:, None]).solution[:, 0]
        torch.testing.assert_close(found_mm[joint], expected, rtol=0, atol=1e-6)


def test_the_first_step_gets_better_with_the_cameras_distance():
    errors_mm = []
    for radius_mm in (5_000.0, 50_000.0, 500_000.0):
        scene = ring_scene(4, 10, radius_mm=radius_mm)
        start_mm = reconstruct_orthographic(
            *views(4, radius_mm=radius_mm), scene.points_px, everything(scene.points_px)
        )
        errors_mm.append(float((start_mm - scene.joints_mm).norm(dim=-1).mean()))
    assert errors_mm[0] > 5
    assert errors_mm[1] < 0.2 * errors_mm[0]
    assert errors_mm[2] < 0.2 * errors_mm[1]


@pytest.mark.parametrize("sigma_px", [1.0, 10.0])
def test_under_noise_no_point_nearby_projects_better_and_dlt_does_not(sigma_px):
    scene = ring_scene(5, 8, batch=20)
    noisy_px = scene.points_px + sigma_px * random(20, 5, 8, 2)
    present = everything(noisy_px)
    found_mm = reconstruct(*views(5, 20), noisy_px, present, SQUARES)

    def rms(joints_mm):
        return reprojection_errors(scene.projections, noisy_px, present, joints_mm)

    assert (rms(found_mm) <= rms(triangulate_dlt(scene.projections, noisy_px)) + 1e-9).all()
    for seed in range(5):
        assert (rms(found_mm) <= rms(found_mm + random(20, 8, 3, seed=seed)) + 1e-9).all()


def test_under_little_noise_it_agrees_with_dlt():
    scene = ring_scene(6, 8, batch=4)
    noisy_px = scene.points_px + 0.5 * random(4, 6, 8, 2)
    found_mm = reconstruct(*views(6, 4), noisy_px, everything(noisy_px), SQUARES)
    difference_mm = (found_mm - triangulate_dlt(scene.projections, noisy_px)).norm(dim=-1)
    error_mm = (found_mm - scene.joints_mm).norm(dim=-1)
    assert difference_mm.mean() < 0.3 * error_mm.mean()


def test_hubers_minimum_has_no_slope():
    scene = ring_scene(5, 6)
    noisy_px = scene.points_px + 8 * random(5, 6, 2)
    delta = 5.0
    config = ReconstructionConfig(huber_px=delta, max_iterations=200, tolerance_mm=1e-7)
    joints_mm = reconstruct(*views(5), noisy_px, everything(noisy_px), config).requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for view in range(5):
        image = scene.projections[view, :, :3] @ joints_mm.T + scene.projections[view, :, 3:]
        distance = (image[:2] / image[2] - noisy_px[view].T).norm(dim=0)
        total = total + torch.where(distance <= delta, 0.5 * distance**2, delta * (distance - delta / 2)).sum()
    (slope,) = torch.autograd.grad(total, joints_mm)
    assert slope.abs().max() < 1e-3


def test_hubers_error_resists_a_detection_that_is_far_off():
    scene = ring_scene(6, 4)
    noisy_px = scene.points_px + random(6, 4, 2)
    noisy_px[2] += 200.0
    errors_mm = [
        (reconstruct(*views(6), noisy_px, everything(noisy_px), config) - scene.joints_mm).norm(dim=-1).mean()
        for config in (ReconstructionConfig(huber_px=5.0), SQUARES)
    ]
    assert errors_mm[0] < 0.2 * errors_mm[1]


def test_a_missing_detection_may_hold_anything_and_one_view_is_too_few():
    scene = ring_scene(4, 3, batch=2)
    points_px, present = scene.points_px.clone(), everything(scene.points_px)
    present[0, 1, 2] = False
    points_px[0, 1, 2] = torch.nan
    present[1, 1:, 0] = False
    points_px[1, 1:, 0] = 1e9
    found_mm = reconstruct(*views(4, 2), points_px, present, ReconstructionConfig())
    assert found_mm[1, 0].isnan().all()
    found_mm[1, 0] = scene.joints_mm[1, 0]
    torch.testing.assert_close(found_mm, scene.joints_mm, rtol=0, atol=1e-3)


def test_two_views_from_one_place_do_not_determine_a_joint():
    scene = ring_scene(2, 3)
    intrinsics, poses = (one[[0, 0]] for one in views(2))
    found_mm = reconstruct(
        intrinsics, poses, scene.points_px[[0, 0]], everything(scene.points_px), ReconstructionConfig()
    )
    assert found_mm.isnan().all()


def test_the_reprojection_error_is_the_root_mean_square_over_the_views():
    scene = ring_scene(3, 1)
    points_px = scene.points_px.clone()
    points_px[0, 0] += torch.tensor([3.0, 4.0], dtype=torch.float64)
    present = everything(points_px)
    present[2] = False
    found = reprojection_errors(scene.projections, points_px, present, scene.joints_mm)
    assert float(found[0]) == pytest.approx((25 / 2) ** 0.5, abs=1e-6)


def test_a_huber_length_of_zero_is_refused():
    with pytest.raises(ValueError, match="huber_px must be > 0 or null, got 0"):
        ReconstructionConfig(huber_px=0.0)
