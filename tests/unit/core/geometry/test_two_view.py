"""The optimal correction of two views against OpenCV, against brute force, and in the positions that break it."""

import cv2
import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from core.geometry.camera import Camera
from core.geometry.epipolar import fundamental_matrices
from core.geometry.projection import project_points
from core.geometry.rig import court_rig, projections, ring_rig
from core.geometry.triangulation import triangulate_dlt
from core.geometry.two_view import correct_points, triangulate_two_views


def parallel_cameras():
    """Side by side: both epipoles at infinity, and singular values that are all zero."""
    cameras = [
        Camera.look_at((x_mm, -5_000.0, 1_000.0), (x_mm, 0.0, 1_000.0), focal_px=1_000.0, size_px=(800, 800))
        for x_mm in (-300.0, 300.0)
    ]
    return torch.stack([camera.projection for camera in cameras])


RIGS = {
    "crossing": projections(ring_rig(4))[:2],
    "facing": projections(ring_rig(2)),
    "parallel": parallel_cameras(),
    "court": projections(court_rig())[:2],
}


def noisy(name, noise_px, num_points=300, seed=0):
    """Projections, images with noise, and the points."""
    generator = torch.Generator().manual_seed(seed)
    cube = torch.rand(num_points, 3, generator=generator, dtype=torch.float64) - 0.5
    points_mm = 2_000.0 * cube + torch.tensor([0.0, 0.0, 1_000.0], dtype=torch.float64)
    points_px = project_points(RIGS[name], points_mm)
    noise = torch.randn(points_px.shape, generator=generator, dtype=torch.float64)
    return RIGS[name], points_px + noise_px * noise, points_mm


def costs(corrected, points_px):
    return (corrected - points_px).square().sum(dim=(-3, -1))


def distance_px(fundamental, corrected):
    """From the epipolar line in the second view."""
    first, second = torch.nn.functional.pad(corrected, (0, 1), value=1.0)
    lines = first @ fundamental.T
    return (lines * second).sum(dim=-1).abs() / lines[:, :2].norm(dim=-1)


def least_cost(fundamental, points_px):
    """Smallest cost over the pencil of epipolar lines, searched line by line in an image of size about one."""
    to_px = np.array([[500.0, 0, 500.0], [0, 500.0, 500.0], [0, 0, 1.0]])
    fundamental = to_px.T @ fundamental @ to_px
    first, second = np.pad((points_px - 500) / 500, ((0, 0), (0, 1)), constant_values=1.0)
    epipole, *_ = np.linalg.svd(fundamental)[2][::-1]
    base = np.linalg.svd(epipole[None])[2][1:]

    def cost(angle_rad):
        through = np.cos(angle_rad) * base[0] + np.sin(angle_rad) * base[1]
        left, right = np.cross(epipole, through), fundamental @ through
        return (left @ first) ** 2 / (left[:2] @ left[:2]) + (right @ second) ** 2 / (right[:2] @ right[:2])

    angles = np.linspace(0.1, 0.1 + np.pi, 2_001)
    best = sorted(angles, key=cost)[:5]
    bounds = [(angle - 2e-3, angle + 2e-3) for angle in best]
    found = (minimize_scalar(cost, bounds=bound, method="bounded", options={"xatol": 1e-12}) for bound in bounds)
    return 500**2 * min(result.fun for result in found)


@pytest.mark.parametrize("noise_px", [0.0, 1.0, 20.0, 200.0])
@pytest.mark.parametrize("name", RIGS)
def test_it_is_no_worse_than_opencv_and_satisfies_the_constraint(name, noise_px):
    matrices, points_px, _ = noisy(name, noise_px)
    F = fundamental_matrices(matrices)[0, 1]
    corrected = correct_points(F, points_px)
    assert distance_px(F, corrected).max() < 1e-7
    by_opencv = cv2.correctMatches(F.numpy(), *(view.numpy()[None] for view in points_px))
    expected = torch.from_numpy(np.concatenate(by_opencv))
    torch.testing.assert_close(costs(corrected, points_px), costs(expected, points_px), rtol=1e-8, atol=1e-8)
    if noise_px <= 1:
        torch.testing.assert_close(corrected, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", RIGS)
def test_no_epipolar_line_is_nearer(name):
    matrices, points_px, _ = noisy(name, 100.0, num_points=5, seed=1)
    F = fundamental_matrices(matrices)[0, 1]
    found = costs(correct_points(F, points_px), points_px)
    expected = [least_cost(F.numpy(), points_px[:, point].numpy()) for point in range(5)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7)


@pytest.mark.parametrize("name", RIGS)
def test_exact_images_stay_and_give_their_points(name):
    matrices, points_px, points_mm = noisy(name, 0.0)
    F = fundamental_matrices(matrices)[0, 1]
    torch.testing.assert_close(correct_points(F, points_px), points_px, rtol=0, atol=1e-9)
    if name != "facing":  # where both rays are nearly one line
        torch.testing.assert_close(triangulate_two_views(matrices, points_px), points_mm, rtol=0, atol=1e-5)


def test_its_reprojection_error_is_below_that_of_the_linear_transform():
    matrices, points_px, _ = noisy("court", 20.0)
    optimal = costs(project_points(matrices, triangulate_two_views(matrices, points_px)), points_px)
    linear = costs(project_points(matrices, triangulate_dlt(matrices, points_px)), points_px)
    assert (optimal <= linear + 1e-6).all()
    assert optimal.mean() < 0.999 * linear.mean()
    corrected = correct_points(fundamental_matrices(matrices)[0, 1], points_px)
    torch.testing.assert_close(optimal, costs(corrected, points_px), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.0, -0.5, -1.0])
@pytest.mark.parametrize(
    ("first", "second", "cost"),
    [
        ((0.0, 0.0), (0.0, 0.0), 0.0),
        ((0.0, 0.0), (3.0, 2.0), 0.0),  # at the epipole: on every line
        ((3.0, 0.0), (3.0, 0.0), 9.0),  # the hard case: the multiplier lies on the end of its interval
        ((3.0, 0.0), (-3.0, 0.0), 9.0),
        ((3.0, 0.0), (3.0, 1e-9), 9.0),
    ],
)
def test_points_at_and_about_the_epipoles(ratio, first, second, cost):
    F = torch.diag(torch.tensor([1.0, ratio, 0.0], dtype=torch.float64))
    points_px = torch.tensor([[first], [second]], dtype=torch.float64, requires_grad=True)
    corrected = correct_points(F, points_px)
    torch.testing.assert_close(
        costs(corrected, points_px), torch.tensor([cost], dtype=torch.float64), atol=1e-7, rtol=0
    )
    assert (corrected[0, 0, :2] * torch.tensor([1.0, ratio]) * corrected[1, 0, :2]).sum().abs() < 1e-9
    corrected.sum().backward()
    assert points_px.grad.isfinite().all()


@pytest.mark.parametrize("name", RIGS)
def test_points_have_exact_gradients(name):
    matrices, points_px, _ = noisy(name, 5.0, num_points=4)
    F = fundamental_matrices(matrices)[0, 1]
    points_px = points_px.contiguous().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: correct_points(F, x), points_px, eps=1e-4, atol=1e-6)
    if name != "facing":
        assert torch.autograd.gradcheck(lambda x: triangulate_two_views(matrices, x), points_px, eps=1e-4, atol=1e-5)


def test_a_nan_loses_its_point_alone_without_gradient():
    matrices, points_px, _ = noisy("court", 2.0, num_points=4)
    expected = triangulate_two_views(matrices, points_px)
    points_px[1, 2, 0] = torch.nan
    points_px.requires_grad_()
    found = triangulate_two_views(matrices, points_px)
    assert found.isnan().all(dim=-1).tolist() == [False, False, True, False]
    torch.testing.assert_close(found[[0, 1, 3]], expected[[0, 1, 3]])
    found.nansum().backward()
    assert points_px.grad.isfinite().all()
    assert (points_px.grad[:, 2] == 0).all()


def test_the_scale_of_the_projections_has_no_meaning():
    matrices, points_px, _ = noisy("court", 5.0)
    scaled = matrices * torch.tensor([1e6, -1e-7], dtype=torch.float64)[:, None, None]
    expected = correct_points(fundamental_matrices(matrices)[0, 1], points_px)
    found = correct_points(fundamental_matrices(scaled)[0, 1], points_px)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def test_one_matrix_serves_many_frames():
    matrices, points_px, _ = noisy("court", 5.0, num_points=12)
    F = fundamental_matrices(matrices)[0, 1]
    frames = points_px.unflatten(1, (2, 2, 3)).movedim(0, -3)
    found = correct_points(F, frames).movedim(-3, 0).flatten(1, 3)
    torch.testing.assert_close(found, correct_points(F, points_px))


def test_views_of_one_centre_correct_nothing():
    points_px = torch.rand(2, 5, 2, dtype=torch.float64)
    assert torch.equal(correct_points(torch.zeros(3, 3, dtype=torch.float64), points_px), points_px)


def test_frames_strided_empty_and_in_float32():
    matrices, points_px, _ = noisy("crossing", 3.0, num_points=12)
    expected = triangulate_two_views(matrices, points_px)
    frames = points_px.unflatten(1, (3, 4)).transpose(0, 1)
    expanded = matrices.expand(3, 2, 3, 4)
    torch.testing.assert_close(triangulate_two_views(expanded, frames).flatten(0, 1), expected)
    assert triangulate_two_views(expanded[:0], frames[:0]).shape == (0, 4, 3)
    single = triangulate_two_views(expanded, frames.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.flatten(0, 1).double(), expected, rtol=0, atol=2e-3)


def test_another_number_of_views_is_refused():
    matrices = projections(ring_rig(3))
    with pytest.raises(ValueError, match="exactly 2 views, got 3"):
        triangulate_two_views(matrices, torch.zeros(3, 1, 2, dtype=torch.float64))
