"""Crop geometry: the cylinder fills the crop, and its projection is the camera's followed by the affine map."""

import torch

from core.geometry.camera import Camera
from core.geometry.rig import court_rig, projections
from core.simulator.crops import CYLINDER_HEIGHT_MM, crop_players, cylinder_box, project

SIZE_PX = (1920, 1080)


def crop(camera_projection, ground_mm, height_px=64, width_px=48):
    return crop_players(camera_projection, ground_mm, image_size_px=SIZE_PX, height_px=height_px, width_px=width_px)


def test_the_crop_projection_is_the_camera_projection_followed_by_the_affine():
    matrices = projections(court_rig())
    ground_mm = torch.tensor([1200.0, -700.0], dtype=torch.float64).expand(8, 2)
    points_mm = torch.rand(8, 20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3000
    crops = crop(matrices, ground_mm)
    image = project(matrices, points_mm)
    homogeneous = torch.cat([image[..., :2], torch.ones_like(image[..., :1])], dim=-1)
    moved = homogeneous @ crops.image_to_crop.transpose(-1, -2)
    direct = project(crops.projections, points_mm)
    torch.testing.assert_close(direct[..., :2], moved[..., :2], rtol=0, atol=1e-6)
    torch.testing.assert_close(direct[..., 2], image[..., 2], rtol=0, atol=1e-6)


def test_the_affine_agrees_with_the_cameras_own_crop():
    camera = court_rig()[0]
    crops = crop(camera.projection, torch.tensor([0.0, 0.0], dtype=torch.float64))
    scale, shift = crops.image_to_crop[0, 0].item(), crops.image_to_crop[:2, 2]
    corner = [0.5 - (offset + 0.5) / scale for offset in shift.tolist()]
    cropped = camera.crop(corner[0], corner[1], scale, (48, 64))
    torch.testing.assert_close(cropped.projection, crops.projections, rtol=0, atol=1e-6)


def test_the_cylinder_fills_the_crop_in_one_direction_and_is_centred():
    matrices = projections(court_rig())
    ground_mm = torch.zeros(8, 2, dtype=torch.float64)
    for height, width in ((64, 48), (320, 256), (32, 96)):
        crops = crop(matrices, ground_mm, height, width)
        left, top, right, bottom, _ = cylinder_box(crops.projections, ground_mm).unbind(dim=-1)
        fill = torch.maximum((right - left) / width, (bottom - top) / height)
        torch.testing.assert_close(fill, torch.ones_like(fill))
        torch.testing.assert_close((left + right) / 2, torch.full_like(left, (width - 1) / 2))
        torch.testing.assert_close((top + bottom) / 2, torch.full_like(top, (height - 1) / 2))


def test_a_view_is_inside_only_if_the_whole_box_is_in_the_picture():
    camera = Camera.look_at((-8000.0, 0.0, 1500.0), (0.0, 0.0, 1000.0), focal_px=1250.0, size_px=SIZE_PX)
    ground_mm = torch.tensor([[0.0, 0.0], [0.0, 5800.0], [0.0, 40000.0], [-20000.0, 0.0]], dtype=torch.float64)
    assert crop(camera.projection.expand(4, 3, 4), ground_mm).inside.tolist() == [True, False, False, False]


def test_the_box_reaches_from_feet_to_the_cylinders_top():
    camera = Camera.look_at((-8000.0, 0.0, 1000.0), (0.0, 0.0, 1000.0), focal_px=1000.0, size_px=SIZE_PX)
    top, bottom = cylinder_box(camera.projection, torch.zeros(2, dtype=torch.float64))[[1, 3]].tolist()
    nearest_mm = 8000.0 - 450.0
    assert abs(bottom - (539.5 + 1000 * 1000 / nearest_mm)) < 1e-6
    assert abs(top - (539.5 - 1000 * (CYLINDER_HEIGHT_MM - 1000) / nearest_mm)) < 1e-6
