"""What triangulation must satisfy on any scene: it inverts projection, and ignores what has no meaning."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from core.geometry.camera import Camera
from core.geometry.projection import project_points
from core.geometry.triangulation import RobustConfig, triangulate_dlt, triangulate_robust
from core.testing import ring_scene

SEEDS = st.integers(0, 2**32 - 1)
VIEWS = st.integers(3, 6)
ROBUST = RobustConfig(sigma_mm=50.0)
quick = settings(max_examples=25, deadline=None)


def noisy(num_views, seed, px=3.0):
    generator = torch.Generator().manual_seed(seed)
    scene = ring_scene(num_views, 7, generator)
    return scene.projections, scene.points_px + px * torch.randn(num_views, 7, 2, generator=generator).double()


def both(projections, points_px):
    found = triangulate_robust(projections, points_px, ROBUST)
    return triangulate_dlt(projections, points_px), found.points_mm, found.weights, found.wss_mm


def assert_same(found, expected, atol):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=atol)


@quick
@given(num_views=VIEWS, num_joints=st.integers(1, 20), seed=SEEDS)
def test_triangulation_inverts_projection(num_views, num_joints, seed):
    scene = ring_scene(num_views, num_joints, torch.Generator().manual_seed(seed))
    found = both(scene.projections, scene.points_px)
    torch.testing.assert_close(found[0], scene.joints_mm, rtol=0, atol=1e-6)
    torch.testing.assert_close(found[1], scene.joints_mm, rtol=0, atol=1e-6)
    torch.testing.assert_close(found[2], torch.ones_like(found[2]), rtol=0, atol=1e-6)


@quick
@given(num_views=VIEWS, seed=SEEDS, log_scales=st.lists(st.floats(-6, 6), min_size=6, max_size=6))
def test_the_scale_and_sign_of_a_projection_matrix_mean_nothing(num_views, seed, log_scales):
    projections, points_px = noisy(num_views, seed)
    factors = torch.tensor([(-1.0) ** view * 10.0**scale for view, scale in enumerate(log_scales)][:num_views])
    found = both(projections * factors.double()[:, None, None], points_px)
    assert_same(found, both(projections, points_px), atol=1e-3)


@quick
@given(num_views=VIEWS, seed=SEEDS, order=st.permutations(range(6)))
def test_the_order_of_the_views_means_nothing(num_views, seed, order):
    projections, points_px = noisy(num_views, seed)
    order = [view for view in order if view < num_views]
    dlt_mm, robust_mm, weights, wss_mm = both(projections, points_px)
    assert_same(both(projections[order], points_px[order]), (dlt_mm, robust_mm, weights[order], wss_mm), atol=1e-3)


@quick
@given(
    num_views=VIEWS,
    seed=SEEDS,
    turn=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    shift_mm=st.lists(st.floats(-1e5, 1e5), min_size=3, max_size=3),
)
def test_results_move_with_the_world(num_views, seed, turn, shift_mm):
    projections, points_px = noisy(num_views, seed)
    rotation = torch.from_numpy(Rotation.from_rotvec(turn).as_matrix())
    shift = torch.tensor(shift_mm, dtype=torch.float64)
    moved = projections.clone()
    moved[..., :3] = projections[..., :3] @ rotation.T
    moved[..., 3] = projections[..., 3] - moved[..., :3] @ shift
    dlt_mm, robust_mm, weights, wss_mm = both(projections, points_px)
    expected = (dlt_mm @ rotation.T + shift, robust_mm @ rotation.T + shift, weights, wss_mm)
    assert_same(both(moved, points_px), expected, atol=1e-3)


@quick
@given(seed=SEEDS, scale=st.floats(0.05, 8.0), corner_px=st.tuples(st.floats(-500, 900), st.floats(-500, 900)))
def test_a_crop_changes_pixels_and_not_the_point(seed, scale, corner_px):
    generator = torch.Generator().manual_seed(seed)
    point_mm = torch.tensor([0.0, 0.0, 1_000.0]) + 1_000.0 * torch.rand(1, 3, generator=generator).double()
    cameras = [
        Camera.look_at(eye, (0.0, 0.0, 1_000.0), focal_px=1_100.0, size_px=(1_000, 1_000))
        for eye in ((4_000.0, 1_000.0, 1_500.0), (-500.0, 4_500.0, 2_000.0), (-4_000.0, -2_000.0, 1_800.0))
    ]
    cropped = [camera.crop(*corner_px, scale) for camera in cameras]
    matrices = torch.stack([camera.projection for camera in cropped])
    points_px = torch.stack([camera.project(point_mm) for camera in cropped])
    torch.testing.assert_close(points_px, project_points(matrices, point_mm), rtol=0, atol=1e-6)
    torch.testing.assert_close(triangulate_dlt(matrices, points_px), point_mm, rtol=0, atol=1e-5)


@quick
@given(
    seed=SEEDS,
    radial=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.2, 0.2), st.floats(-0.05, 0.05)),
    tangential=st.tuples(st.floats(-0.01, 0.01), st.floats(-0.01, 0.01)),
)
def test_undistortion_inverts_distortion(seed, radial, tangential):
    generator = torch.Generator().manual_seed(seed)
    straight = Camera.look_at((4_500.0, 0.0, 1_500.0), (0.0, 0.0, 1_000.0), focal_px=1_100.0, size_px=(1_000, 1_000))
    bent = Camera(
        intrinsics=straight.intrinsics,
        world_to_camera=straight.world_to_camera,
        size_px=straight.size_px,
        distortion=torch.tensor([radial[0], radial[1], *tangential, radial[2]]),
    )
    points_mm = torch.tensor([0.0, 0.0, 1_000.0]) + 2_000.0 * (torch.rand(20, 3, generator=generator) - 0.5).double()
    found_px = bent.undistort(bent.project(points_mm))
    torch.testing.assert_close(found_px, straight.project(points_mm), rtol=0, atol=1e-6)
