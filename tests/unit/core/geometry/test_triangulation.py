"""The plain DLT: against SVD and OpenCV, its gradients, and the cases that break implementations."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from core.geometry.camera import Camera
from core.geometry.projection import project_points, scene_frame
from core.geometry.rig import ring_rig
from core.geometry.triangulation import triangulate_dlt
from core.testing import ring_scene

ORIGIN = torch.zeros(3, dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(shape, px, seed=1):
    return px * torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def by_svd(projections, points_px, weights=None):
    """The textbook, one joint at a time, in the frame of the projections as they are."""
    num_views, num_joints = points_px.shape[:2]
    weights = torch.ones(num_views, num_joints) if weights is None else weights
    found = []
    for joint in range(num_joints):
        rows = []
        for P, (x, y), w in zip(
            projections.numpy(), points_px[:, joint].tolist(), weights[:, joint].tolist(), strict=True
        ):
            rows += [w * (x * P[2] - P[0]), w * (y * P[2] - P[1])]
        vector = np.linalg.svd(np.stack(rows))[2][-1]
        found.append(vector[:3] / vector[3])
    return torch.from_numpy(np.stack(found))


def by_svd_in_scene(projections, points_px, weights=None):
    frame = scene_frame(projections)
    return frame.to_world(by_svd(frame.localise(projections), points_px, weights))


def two_cameras(baseline_deg):
    """Two cameras 5 m from the origin, which both look at."""
    angle_rad = np.deg2rad(baseline_deg)
    eyes_mm = [(5_000.0, 0.0, 500.0), (5_000.0 * np.cos(angle_rad), 5_000.0 * np.sin(angle_rad), 500.0)]
    return torch.stack(
        [Camera.look_at(eye, (0.0, 0.0, 0.0), focal_px=1_150.0, size_px=(1_000, 1_000)).projection for eye in eyes_mm]
    )


def moved(scene, offset_mm):
    """Projections and joints of the same pictures with the world's origin elsewhere."""
    shift = torch.tensor(offset_mm, dtype=torch.float64)
    projections = scene.projections.clone()
    projections[..., 3] -= projections[..., :3] @ shift
    return projections, scene.joints_mm + shift


@pytest.mark.parametrize("num_views", [2, 3, 4, 8])
@pytest.mark.parametrize("noise_px", [0.0, 1.0, 20.0])
def test_it_agrees_with_the_svd_of_the_rows(num_views, noise_px):
    scene = ring_scene(num_views + 1, 23, generator(num_views))
    projections = scene.projections[:num_views]
    points_px = scene.points_px[:num_views] + noise((num_views, 23, 2), noise_px)
    weights = torch.rand(num_views, 23, generator=generator(2), dtype=torch.float64) + 0.1
    for given in (None, weights):
        found_mm = triangulate_dlt(projections, points_px, given)
        torch.testing.assert_close(found_mm, by_svd_in_scene(projections, points_px, given), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("unit_mm", "atol_mm"), [(1_000.0, 1e-5), (1.0, 1e-2)])
def test_the_raw_metric_is_the_plain_form_of_the_libraries(unit_mm, atol_mm):
    scene = ring_scene(5, 17)
    projections = scene.projections * torch.tensor([unit_mm, unit_mm, unit_mm, 1.0], dtype=torch.float64)
    points_px = scene.points_px + noise(scene.points_px.shape, 5.0)
    found = triangulate_dlt(projections, points_px, metric="raw")
    torch.testing.assert_close(found * unit_mm, by_svd(projections, points_px) * unit_mm, rtol=0, atol=atol_mm)


def test_two_views_agree_with_opencv():
    scene = ring_scene(5, 17)
    projections = scene.projections[:2].clone()
    projections[..., 3] /= 1_000.0
    points_px = scene.points_px[:2] + noise((2, 17, 2), 3.0)
    homogeneous = cv2.triangulatePoints(*projections.numpy(), *points_px.mT.contiguous().numpy())
    expected = torch.from_numpy((homogeneous[:3] / homogeneous[3]).T)
    torch.testing.assert_close(triangulate_dlt(projections, points_px, metric="raw"), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("offset_mm", [(50_000.0, 0.0, 0.0), (-600_000.0, 800_000.0, 0.0)])
def test_a_distant_origin_costs_float32_no_more_than_its_own_grid(offset_mm):
    scene = ring_scene(4, 17)
    projections, joints_mm = moved(scene, offset_mm)
    found_mm = triangulate_dlt(projections.float(), scene.points_px.float())
    grid_mm = torch.finfo(torch.float32).eps * torch.tensor(offset_mm).norm()
    assert (found_mm - joints_mm).abs().max() < 1e-3 + 2 * grid_mm


@pytest.mark.parametrize("offset_mm", [(0.0, 0.0, -1_000.0), (50_000.0, 0.0, 0.0), (-600_000.0, 800_000.0, 0.0)])
def test_the_result_under_noise_does_not_depend_on_the_origin(offset_mm):
    scene = ring_scene(4, 17)
    projections, _ = moved(scene, offset_mm)
    points_px = scene.points_px + noise(scene.points_px.shape, 20.0)
    here_mm = triangulate_dlt(scene.projections, points_px)
    there_mm = triangulate_dlt(projections, points_px) - torch.tensor(offset_mm, dtype=torch.float64)
    torch.testing.assert_close(there_mm, here_mm, rtol=0, atol=1e-5)


def test_an_origin_amid_the_scene_is_safe_for_the_scene_metric_only():
    projections = two_cameras(30.0)
    joints_mm = ring_scene(2, 1_000).joints_mm - torch.tensor([0.0, 0.0, 1_000.0], dtype=torch.float64)
    points_px = project_points(projections, joints_mm) + noise((2, 1_000, 2), 20.0)
    worst_mm = {
        metric: (triangulate_dlt(projections, points_px, metric=metric) - joints_mm).norm(dim=-1).quantile(0.999)
        for metric in ("scene", "raw")
    }
    assert worst_mm["scene"] < 0.8 * worst_mm["raw"]


def test_float32_is_exact_to_a_micrometre():
    scene = ring_scene(4, 17, batch=50)
    found_mm = triangulate_dlt(scene.projections.float(), scene.points_px.float())
    assert found_mm.dtype == torch.float32
    errors_mm = (found_mm - scene.joints_mm).norm(dim=-1)
    assert errors_mm.median() < 2e-4
    assert errors_mm.max() < 2e-3


@pytest.mark.parametrize("baseline_deg", [1.0, 180.0])
def test_near_and_opposing_cameras_agree_with_svd(baseline_deg):
    projections = two_cameras(baseline_deg)
    points_px = project_points(
        projections, ring_scene(2, 30).joints_mm - torch.tensor([0.0, 0.0, 1_000.0], dtype=torch.float64)
    ) + noise((2, 30, 2), 0.5)
    found_mm = triangulate_dlt(projections, points_px)
    torch.testing.assert_close(found_mm, by_svd_in_scene(projections, points_px), rtol=1e-7, atol=1e-4)


def test_identical_cameras_lose_every_joint_and_its_gradient():
    scene = ring_scene(3, 5)
    projections = scene.projections[:1].expand(3, 3, 4)
    points_px = scene.points_px[:1].expand(3, 5, 2).clone().requires_grad_()
    found_mm = triangulate_dlt(projections, points_px)
    assert found_mm.isnan().all()
    found_mm.nansum().backward()
    assert (points_px.grad == 0).all()


@pytest.mark.parametrize("num_live", [0, 1])
def test_fewer_than_two_live_views_lose_that_joint_alone(num_live):
    scene = ring_scene(4, 3)
    points_px = scene.points_px.clone().requires_grad_()
    weights = torch.ones(4, 3, dtype=torch.float64)
    weights[num_live:, 1] = 0
    weights.requires_grad_()
    found_mm = triangulate_dlt(scene.projections, points_px, weights)
    assert found_mm.isnan().all(dim=-1).tolist() == [False, True, False]
    found_mm.square().sum().backward()
    assert points_px.grad.isfinite().all()
    assert weights.grad.isfinite().all()
    assert (points_px.grad[:, 1] == 0).all()
    assert (points_px.grad[:, 0] != 0).any()


def test_two_live_views_are_as_good_as_a_rig_of_two_in_the_same_frame():
    scene = ring_scene(5, 9)
    points_px = scene.points_px + noise(scene.points_px.shape, 2.0)
    weights = torch.zeros(5, 9, dtype=torch.float64)
    weights[1:3] = 0.7
    frame = scene_frame(scene.projections)
    expected_mm = frame.to_world(by_svd(frame.localise(scene.projections)[1:3], points_px[1:3]))
    torch.testing.assert_close(triangulate_dlt(scene.projections, points_px, weights), expected_mm, rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-20, 1e-3, 1e20])
def test_only_the_ratios_of_weights_count(factor):
    scene = ring_scene(4, 6, dtype=torch.float32)
    points_px = scene.points_px + noise(scene.points_px.shape, 2.0).float()
    weights = torch.rand(4, 6, generator=generator())
    torch.testing.assert_close(
        triangulate_dlt(scene.projections, points_px, weights * factor),
        triangulate_dlt(scene.projections, points_px, weights),
        rtol=0,
        atol=1e-2,
    )


def test_a_view_without_weight_may_hold_anything():
    scene = ring_scene(4, 6)
    weights = torch.ones(4, 6, dtype=torch.float64)
    weights[2] = 0
    points_px = scene.points_px.clone()
    points_px[2] = torch.nan
    torch.testing.assert_close(
        triangulate_dlt(scene.projections, points_px, weights), scene.joints_mm, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_bad_number_loses_one_joint(value):
    scene = ring_scene(4, 6, batch=3)
    points_px = scene.points_px.clone()
    points_px[1, 2, 3, 0] = value
    points_px.requires_grad_()
    weights = torch.ones(3, 4, 6, dtype=torch.float64, requires_grad=True)
    found_mm = triangulate_dlt(scene.projections, points_px, weights)
    lost = torch.zeros(3, 6, dtype=torch.bool)
    lost[1, 3] = True
    assert (found_mm.isnan().all(dim=-1) == lost).all()
    torch.testing.assert_close(found_mm[~lost], scene.joints_mm[~lost], rtol=0, atol=1e-6)
    found_mm.square().sum().backward()
    assert points_px.grad.isfinite().all()
    assert weights.grad.isfinite().all()
    assert (points_px.grad[1, :, 3] == 0).all()


def test_a_nan_projection_loses_its_frame_alone():
    scene = ring_scene(3, 4, batch=2)
    projections = scene.projections.clone()
    projections[0, 1, 0, 0] = torch.nan
    found_mm = triangulate_dlt(projections, scene.points_px)
    assert found_mm[0].isnan().all()
    torch.testing.assert_close(found_mm[1], scene.joints_mm[1], rtol=0, atol=1e-6)


def test_gradients_are_finite_where_singular_values_coincide():
    """Cameras on a square around a point that lies on all four axes."""
    projections = torch.stack(
        [
            Camera.look_at(eye, (0.0, 0.0, 0.0), focal_px=1_000.0, size_px=(1_001, 1_001)).projection
            for eye in ((5_000.0, 0.0, 0.0), (-5_000.0, 0.0, 0.0), (0.0, 5_000.0, 0.0), (0.0, -5_000.0, 0.0))
        ]
    )
    points_px = project_points(projections, ORIGIN[None]).requires_grad_()
    rows = scene_frame(projections).localise(projections)
    rows = torch.cat([points_px[:, 0, i, None] * rows[:, 2] - rows[:, i] for i in (0, 1)]).detach()
    values = torch.linalg.svdvals(rows)
    assert (values[:-1].diff().abs() < 1e-9 * values[0]).any()
    assert torch.autograd.gradcheck(lambda px: triangulate_dlt(projections, px), points_px, eps=1e-3, atol=1e-4)


def test_unequal_focal_lengths_and_skew_are_no_matter():
    scene = ring_scene(3, 8)
    camera = ring_rig(3)[1]
    skewed = torch.tensor([[700.0, 12.0, 400.0], [0.0, 900.0, 300.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    projections = scene.projections.clone()
    projections[1] = replace(camera, intrinsics=skewed).projection
    points_px = project_points(projections, scene.joints_mm)
    torch.testing.assert_close(triangulate_dlt(projections, points_px), scene.joints_mm, rtol=0, atol=1e-6)


def test_strided_input_and_an_empty_batch():
    scene = ring_scene(4, 7, batch=6)
    expected_mm = triangulate_dlt(scene.projections, scene.points_px)
    strided = torch.stack([scene.points_px, -scene.points_px], dim=-1)[..., 0]
    every_second = triangulate_dlt(scene.projections[::2], strided[::2])
    torch.testing.assert_close(every_second, expected_mm[::2], rtol=0, atol=0)
    assert triangulate_dlt(scene.projections[:0], scene.points_px[:0]).shape == (0, 7, 3)
    assert triangulate_dlt(scene.projections, scene.points_px[:, :, :0]).shape == (6, 0, 3)


@pytest.mark.parametrize("num_views", [2, 3, 5, 8])
@pytest.mark.parametrize("metric", ["scene", "raw"])
def test_gradients_of_points_and_weights_are_exact(num_views, metric):
    scene = ring_scene(num_views + 1, 2, generator(num_views))
    projections = scene.projections[:num_views].clone()
    projections[..., 3] /= 1_000.0
    if metric == "scene":
        projections[..., 3] *= 1_000.0
    points_px = (scene.points_px[:num_views] + noise((num_views, 2, 2), 3.0)).requires_grad_()
    weights = (torch.rand(num_views, 2, generator=generator(), dtype=torch.float64) + 0.2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda px, w: triangulate_dlt(projections, px, w, metric=metric), (points_px, weights), eps=1e-5, atol=1e-4
    )


def test_gradients_of_projections_are_exact_in_the_raw_metric():
    scene = ring_scene(3, 2)
    projections = scene.projections.clone()
    projections[..., 3] /= 1_000.0
    points_px = scene.points_px + noise((3, 2, 2), 3.0)
    assert torch.autograd.gradcheck(
        lambda P: triangulate_dlt(P, points_px, metric="raw"), projections.requires_grad_(), eps=1e-5, atol=1e-4
    )


def test_one_view_is_refused():
    scene = ring_scene(1, 3)
    with pytest.raises(ValueError, match="at least 2 views, got 1"):
        triangulate_dlt(scene.projections, scene.points_px)


def test_shapes_that_do_not_fit_are_refused_with_both(unchecked_shapes):
    scene = ring_scene(3, 4, batch=2)
    with pytest.raises(ValueError, match=r"batch and views \(2, 3\).*got \(3, 4, 2\)"):
        triangulate_dlt(scene.projections, scene.points_px[0])
    with pytest.raises(ValueError, match=r"\(2, 3, 4\) of the points, got \(2, 4, 3\)"):
        triangulate_dlt(scene.projections, scene.points_px, torch.ones(2, 4, 3))
    with pytest.raises(ValueError, match=r"\(\*batch, V, 3, 4\), got \(3, 4\)"):
        triangulate_dlt(scene.projections[0, 0], scene.points_px)
