"""Unprojection against a loop over voxels, at the edges of what cameras see, and back to a point that was rendered."""

import math

import pytest
import torch

from core.geometry.projection import project_points
from core.geometry.rig import projections, ring_rig
from core.geometry.voxels import ViewVolumes, VoxelGrid, unproject
from core.nn.soft_argmax import soft_argmax_3d

STRIDE = 10
RIG = projections(ring_rig(4))
CENTRE_MM = torch.tensor([30.0, -60.0, 1_050.0], dtype=torch.float64)


def small_grid(side_mm=1_600.0, centre_mm=CENTRE_MM):
    return VoxelGrid(centre_mm=centre_mm, side_mm=(side_mm, side_mm, side_mm / 2), num_voxels=(5, 4, 3))


def maps(*batch, channels=2, dtype=torch.float64):
    """Features of the ring's images of 1000 x 1000 pixels."""
    return torch.rand(*batch, 4, channels, 100, 100, generator=torch.Generator().manual_seed(0), dtype=dtype)


def centres_mm(grid):
    axes = torch.meshgrid(*grid.offsets_mm(), indexing="ij")
    return torch.stack(axes, dim=-1) + grid.centre_mm


def sample(plane, x_px, y_px):
    """One bilinear sample; None outside the image's area."""
    height, width = plane.shape
    x, y = (x_px + 0.5) / STRIDE - 0.5, (y_px + 0.5) / STRIDE - 0.5
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        return None
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(math.floor(x), width - 2), min(math.floor(y), height - 2)
    above, below = plane[top : top + 2, left : left + 2] @ torch.tensor([left + 1 - x, x - left], dtype=plane.dtype)
    return float(above * (top + 1 - y) + below * (y - top))


def one_by_one(features, matrices, grid):
    """Samples of every view, channel and voxel; None where it is not seen."""
    voxels = torch.nn.functional.pad(centres_mm(grid).view(-1, 3), (0, 1), value=1.0)
    found = []
    for matrix, feature in zip(matrices, features, strict=True):
        for voxel in voxels:
            x, y, depth = (matrix @ voxel).tolist()
            for plane in feature:
                found.append(sample(plane, x / depth, y / depth) if depth > 0 else None)
    return found


@pytest.mark.parametrize("side_mm", [1_600.0, 6_000.0, 14_000.0])
def test_it_agrees_with_a_loop_over_voxels(side_mm):
    features, grid = maps(), small_grid(side_mm)
    found = unproject(features, RIG, grid, STRIDE)
    expected = one_by_one(features, RIG, grid)
    order = found.samples.permute(0, 2, 3, 4, 1).flatten().tolist()
    assert order == pytest.approx([value or 0.0 for value in expected], abs=1e-9)
    is_seen = found.is_seen[..., None].expand(*found.is_seen.shape, 2).flatten().tolist()
    assert is_seen == [value is not None for value in expected]
    assert all(is_seen) == (side_mm < 2_000)


def test_what_lies_behind_a_camera_or_beside_its_image_is_not_seen():
    behind = small_grid(100.0, torch.tensor([9_000.0, 0.0, 1_800.0], dtype=torch.float64))
    found = unproject(maps(), RIG, behind, STRIDE)
    assert found.is_seen.flatten(1).any(dim=1).tolist() == [False, False, True, False]
    assert (found.samples[[0, 1, 3]] == 0).all()
    assert (found.samples[2] > 0).all()


@pytest.mark.parametrize("origin_mm", [0.0, 50_000.0])
def test_in_float32_images_are_right_to_a_thousandth_of_a_pixel(origin_mm):
    columns = torch.arange(100.0).expand(4, 1, 100, 100) * STRIDE + (STRIDE - 1) / 2
    away = RIG.clone()
    away[..., 3] -= origin_mm * RIG[..., :3].sum(dim=-1)
    found = unproject(columns, away, small_grid(centre_mm=CENTRE_MM + origin_mm), STRIDE)
    expected_px = project_points(RIG, centres_mm(small_grid()).view(-1, 3))[..., 0]
    torch.testing.assert_close(found.samples.flatten(1).double(), expected_px, rtol=0, atol=1e-3)


def volumes():
    """Three views, of which the first sees no voxel of the first half, and none sees the first voxel."""
    samples = torch.rand(3, 2, 4, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    is_seen = torch.ones(3, 4, 1, 1, dtype=torch.bool)
    is_seen[0, :2], is_seen[:, 0] = False, False
    return ViewVolumes(samples=samples * is_seen[:, None], is_seen=is_seen)


def test_the_three_ways_to_join_views_leave_out_those_that_do_not_see():
    given = volumes()
    weights = torch.tensor([[1.0, 2.0], [0.5, 0.0], [3.0, 1.0]], dtype=torch.float64)
    joined = {"sum": given.sum(), "mean": given.mean(), "conf": given.mean(weights), "softmax": given.softmax()}
    for voxel in range(4):
        views = [view for view in range(3) if given.is_seen[view, voxel]]
        for channel in range(2):
            seen = given.samples[views, channel, voxel, 0, 0]
            trust = weights[views, channel]
            expected = {"sum": seen.sum(), "mean": seen.mean(), "conf": (trust * seen).sum() / trust.sum()}
            expected["softmax"] = (seen.softmax(dim=0) * seen).sum()
            for way, value in joined.items():
                wanted = expected[way] if views else torch.zeros((), dtype=torch.float64)
                torch.testing.assert_close(value[channel, voxel, 0, 0], wanted)


def test_confidences_of_zero_give_zero():
    assert (volumes().mean(torch.zeros(3, 2, dtype=torch.float64)) == 0).all()


def test_a_rendered_point_is_found_again():
    point_mm = CENTRE_MM + torch.tensor([210.0, -140.0, 90.0], dtype=torch.float64)
    cells = (project_points(RIG, point_mm[None])[:, 0] + 0.5) / STRIDE - 0.5
    rows, columns = torch.meshgrid(torch.arange(100.0), torch.arange(100.0), indexing="ij")
    squares = (columns - cells[:, 0, None, None]) ** 2 + (rows - cells[:, 1, None, None]) ** 2
    grid = VoxelGrid(centre_mm=CENTRE_MM, side_mm=(1_000.0,) * 3, num_voxels=(24, 24, 24))
    volume = unproject((-squares / 8)[:, None], RIG, grid, STRIDE).sum()
    found_mm = grid.to_world(soft_argmax_3d(volume))
    torch.testing.assert_close(found_mm[0], point_mm, rtol=0, atol=5.0)


def test_cells_and_offsets_are_the_same_positions():
    grid = small_grid()
    cells = torch.tensor([[0.0, 0.0, 0.0], [4.0, 3.0, 2.0], [2.0, 1.5, 1.0]], dtype=torch.float64)
    voxels = centres_mm(grid)
    expected_mm = torch.stack([voxels[0, 0, 0], voxels[-1, -1, -1], CENTRE_MM])
    torch.testing.assert_close(grid.to_world(cells), expected_mm)


def test_features_and_the_centre_have_exact_gradients():
    features = maps(channels=1).requires_grad_()
    centre_mm = CENTRE_MM.clone().requires_grad_()

    def joined(centre_mm):
        return unproject(features, RIG, small_grid(centre_mm=centre_mm), STRIDE).softmax()

    assert torch.autograd.gradcheck(joined, centre_mm, eps=1e-6, atol=1e-7)
    few = torch.rand(4, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: unproject(f, RIG, small_grid(), 334).mean(), few)


def test_a_nan_camera_is_lost_alone():
    features, broken = maps(2).requires_grad_(), RIG.expand(2, 4, 3, 4).clone()
    broken[0, 1, 0, 3] = torch.nan
    grid = small_grid(centre_mm=CENTRE_MM.expand(2, 3))
    found = unproject(features, broken, grid, STRIDE)
    assert found.is_seen.flatten(2).any(dim=2).tolist() == [[True, False, True, True], [True] * 4]
    expected = unproject(features, RIG.expand(2, 4, 3, 4), grid, STRIDE)
    torch.testing.assert_close(found.samples[0, [0, 2, 3]], expected.samples[0, [0, 2, 3]])
    found.mean().sum().backward()
    assert features.grad.isfinite().all()
    assert (features.grad[0, 1] == 0).all()


def test_no_frames_and_strided_maps_are_fine():
    features = maps(2)
    grid = small_grid(centre_mm=CENTRE_MM.expand(2, 3))
    rigs = RIG.expand(2, 4, 3, 4)
    assert unproject(features[:0], rigs[:0], small_grid(centre_mm=grid.centre_mm[:0]), STRIDE).mean().shape == (
        *(0, 2),
        *(5, 4, 3),
    )
    strided = features.movedim(2, -1).contiguous().movedim(-1, 2)
    torch.testing.assert_close(
        unproject(strided, rigs, grid, STRIDE).samples, unproject(features, rigs, grid, STRIDE).samples
    )


@pytest.mark.parametrize(("side_mm", "num_voxels"), [((1.0, 0.0, 1.0), (2, 2, 2)), ((1.0, 1.0, 1.0), (2, 0, 2))])
def test_an_empty_grid_is_refused(side_mm, num_voxels):
    with pytest.raises(ValueError, match="a grid needs sides > 0"):
        VoxelGrid(centre_mm=torch.zeros(3), side_mm=side_mm, num_voxels=num_voxels)
