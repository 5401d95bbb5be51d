"""Projection by matrices, and the scene's frame."""

import pytest
import torch

from core.geometry.projection import project_points, scene_frame
from core.geometry.rig import projections, ring_rig
from core.testing import ring_scene


def test_it_agrees_with_the_cameras():
    rig = ring_rig(3)
    joints_mm = ring_scene(3, 6).joints_mm
    expected_px = torch.stack([camera.project(joints_mm) for camera in rig])
    torch.testing.assert_close(project_points(projections(rig), joints_mm), expected_px, rtol=0, atol=1e-9)


def test_points_and_matrices_have_exact_gradients():
    scene = ring_scene(2, 3)
    inputs = (scene.projections.clone().requires_grad_(), scene.joints_mm.clone().requires_grad_())
    assert torch.autograd.gradcheck(project_points, inputs, eps=1e-3, atol=1e-4)


def test_a_nan_point_and_one_on_the_focal_plane_are_nan_without_gradient():
    projections = torch.eye(3, 4, dtype=torch.float64)[None]
    joints_mm = torch.tensor([[torch.nan, 0.0, 5.0], [1.0, 2.0, 0.0], [1.0, 2.0, 4.0]], dtype=torch.float64)
    joints_mm.requires_grad_()
    seen_px = project_points(projections, joints_mm)
    assert seen_px[0].isnan().all(dim=-1).tolist() == [True, True, False]
    assert seen_px[0, 2].tolist() == [0.25, 0.5]
    seen_px.nansum().backward()
    assert joints_mm.grad.isfinite().all()
    assert (joints_mm.grad[:2] == 0).all()


def test_the_frame_is_where_the_cameras_look_and_as_large_as_they_are_far():
    frame = scene_frame(projections(ring_rig(4, radius_mm=4_000.0, height_mm=1_000.0)))
    assert frame.centre.tolist() == pytest.approx([0.0, 0.0, 1_000.0], abs=0.1)
    assert float(frame.scale) == pytest.approx(4_000.0, rel=1e-6)


def test_parallel_axes_and_identical_cameras_have_a_frame_too():
    P = projections(ring_rig(1))
    same = scene_frame(P.expand(3, 3, 4))
    assert same.centre.isfinite().all()
    assert float(same.scale) == 1_000.0
    beside = P.clone()
    beside[..., 3] += P[..., :3] @ torch.tensor([0.0, 200.0, 0.0], dtype=torch.float64)
    assert scene_frame(torch.cat([P, beside])).centre.isfinite().all()


def test_local_projections_see_local_points_in_the_same_pixels():
    scene = ring_scene(3, 5, batch=2)
    frame = scene_frame(scene.projections)
    local = (scene.joints_mm - frame.centre[..., None, :]) / frame.scale[..., None, None]
    seen_px = project_points(frame.localise(scene.projections * 7.0), local)
    torch.testing.assert_close(seen_px, scene.points_px, rtol=0, atol=1e-8)
    torch.testing.assert_close(frame.to_world(local), scene.joints_mm, rtol=0, atol=1e-8)
