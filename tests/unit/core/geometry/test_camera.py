"""Cameras: against OpenCV, and what is refused."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from core.geometry.camera import Camera

K = torch.tensor([[1145.0, 0.0, 512.5], [0.0, 1143.8, 515.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
DISTORTION = torch.tensor([-0.207, 0.248, -0.00098, -0.00142, -0.00308], dtype=torch.float64)


def camera(distortion=DISTORTION):
    level = Camera.look_at((4_000.0, -2_500.0, 1_600.0), (0.0, 0.0, 1_000.0), focal_px=1.0, size_px=(1_000, 1_002))
    return dataclasses.replace(level, intrinsics=K, distortion=distortion)


def joints(num=200, seed=0):
    cube = torch.rand(num, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    return 2_000.0 * cube + torch.tensor([0.0, 0.0, 1_000.0], dtype=torch.float64)


def test_projection_agrees_with_opencv():
    cam, points_mm = camera(), joints()
    rotation, _ = cv2.Rodrigues(cam.world_to_camera[:, :3].numpy())
    expected, _ = cv2.projectPoints(
        points_mm.numpy(), rotation, cam.world_to_camera[:, 3].numpy(), K.numpy(), DISTORTION.numpy()
    )
    np.testing.assert_allclose(cam.project(points_mm).numpy(), expected[:, 0], rtol=0, atol=1e-7)


def test_undistortion_agrees_with_opencv_and_inverts_the_distortion():
    cam, points_mm = camera(), joints()
    seen_px = cam.project(points_mm)
    expected = cv2.undistortPoints(seen_px.numpy()[:, None], K.numpy(), DISTORTION.numpy(), P=K.numpy())
    np.testing.assert_allclose(cam.undistort(seen_px).numpy(), expected[:, 0], rtol=0, atol=0.02)
    straight_px = camera(torch.zeros(5)).project(points_mm)
    torch.testing.assert_close(cam.undistort(seen_px), straight_px, rtol=0, atol=1e-9)


def test_projection_and_undistortion_have_exact_gradients():
    cam, points_mm = camera(), joints(4).requires_grad_()
    assert torch.autograd.gradcheck(cam.project, points_mm, eps=1e-3)
    assert torch.autograd.gradcheck(cam.undistort, cam.project(points_mm).detach().requires_grad_(), eps=1e-3)


def test_the_projection_matrix_is_the_camera_without_distortion():
    cam, points_mm = camera(torch.zeros(5)), joints()
    image = torch.cat([points_mm, torch.ones(200, 1)], dim=1) @ cam.projection.T
    torch.testing.assert_close(image[:, :2] / image[:, 2:], cam.project(points_mm), rtol=0, atol=1e-9)
    torch.testing.assert_close(image[:, 2], cam.depth_mm(points_mm), rtol=0, atol=1e-9)


def test_points_behind_the_camera_have_no_image_and_no_gradient():
    cam = Camera.look_at((0.0, 0.0, 0.0), (1_000.0, 0.0, 0.0), focal_px=500.0, size_px=(100, 100))
    points_mm = torch.tensor([[1_000.0, 0, 0], [-1_000.0, 0, 0], [0.0, 0, 0]], requires_grad=True)
    seen_px = cam.project(points_mm)
    assert seen_px.isnan().any(dim=-1).tolist() == [False, True, True]
    assert cam.depth_mm(points_mm).tolist() == pytest.approx([1_000.0, -1_000.0, 0.0], abs=1e-3)
    seen_px.nansum().backward()
    assert points_mm.grad.isfinite().all()
    assert (points_mm.grad[1:] == 0).all()


def test_the_target_is_in_the_middle_and_up_is_up():
    cam = Camera.look_at((5_000.0, 1_000.0, 2_000.0), (0.0, 0.0, 1_000.0), focal_px=1_000.0, size_px=(640, 480))
    centre, above, left = cam.project(torch.tensor([[0.0, 0, 1_000], [0, 0, 1_500], [0, -500, 1_000]])).double()
    assert centre.tolist() == pytest.approx([319.5, 239.5], abs=1e-3)
    assert above[1] < 239.5
    assert left[0] < 319.5
    assert cam.centre_mm.tolist() == pytest.approx([5_000, 1_000, 2_000])


def test_a_crop_moves_and_scales_image_areas():
    cam, points_mm = camera(), joints()
    cropped = cam.crop(100.0, 40.0, 0.25, (64, 48))
    expected_px = 0.25 * (cam.project(points_mm) - torch.tensor([100.0, 40.0]) + 0.5) - 0.5
    torch.testing.assert_close(cropped.project(points_mm), expected_px, rtol=0, atol=1e-9)
    assert cropped.size_px == (64, 48)
    assert cam.crop(100.0, 40.0, 0.5).size_px == (450, 481)
    assert cam.crop(0.0, 0.0, 1.0).intrinsics.equal(cam.intrinsics)


def test_a_crop_agrees_with_resizing_a_picture():
    picture = torch.zeros(1, 1, 40, 40)
    picture[0, 0, 20:22, 12:14] = 1
    small = torch.nn.functional.interpolate(picture[..., 8:40, 4:36], scale_factor=0.5, mode="area")[0, 0]
    row, column = divmod(int(small.argmax()), small.shape[1])
    cam = Camera.look_at((0.0, 0.0, 0.0), (1_000.0, 0.0, 0.0), focal_px=100.0, size_px=(40, 40))
    direction = torch.linalg.inv(cam.projection[:, :3]) @ torch.tensor([12.5, 20.5, 1.0], dtype=torch.float64)
    assert cam.crop(4.0, 8.0, 0.5).project(1_000 * direction).tolist() == pytest.approx([column, row], abs=1e-6)


def test_the_image_reaches_half_a_pixel_beyond_its_pixel_centres():
    cam = camera()
    corners_px = torch.tensor([[-0.5, -0.5], [999.5, 1001.5], [-0.6, 5.0], [5.0, 1001.6], [float("nan"), 5.0]])
    assert cam.inside(corners_px).tolist() == [True, True, False, False, False]


def test_dtype_is_kept_and_no_one_elses_tensor_is_shared():
    mine = K.clone()
    cam = dataclasses.replace(camera(), intrinsics=mine)
    mine[0, 0] = 1.0
    assert cam.intrinsics[0, 0] == 1145.0
    assert cam.project(joints(3).float()).dtype == torch.float32
    assert cam.undistort(torch.zeros(2, 2)).dtype == torch.float32
    with pytest.raises(dataclasses.FrozenInstanceError):
        cam.size_px = (1, 1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"intrinsics": torch.eye(4)}, r"intrinsics must have shape \(3, 3\), got \(4, 4\)"),
        ({"intrinsics": -torch.eye(3)}, "focal lengths > 0"),
        ({"distortion": torch.full((5,), torch.nan)}, "distortion must be finite"),
        ({"distortion": torch.zeros(4)}, r"distortion must have shape \(5,\)"),
        ({"world_to_camera": 2 * torch.eye(3, 4)}, "must hold a rotation"),
        ({"world_to_camera": torch.eye(3, 4) * torch.tensor([[1.0], [1.0], [-1.0]])}, "must hold a rotation"),
        ({"size_px": (0, 5)}, r"size_px must be \(width, height\) >= 1"),
    ],
)
def test_what_is_no_camera_is_refused(unchecked_shapes, change, text):
    with pytest.raises(ValueError, match=text):
        dataclasses.replace(camera(), **change)


def test_a_line_of_sight_along_up_and_a_scale_of_zero_are_refused():
    with pytest.raises(ValueError, match="not parallel to up"):
        Camera.look_at((0.0, 0.0, 5_000.0), (0.0, 0.0, 0.0), focal_px=500.0, size_px=(10, 10))
    with pytest.raises(ValueError, match="scale > 0, got 0"):
        camera().crop(0.0, 0.0, 0.0)
