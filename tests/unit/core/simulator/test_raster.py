"""The z-buffer: nearer capsules hide farther ones, and the flat layout agrees with a slow loop."""

import torch

from core.simulator.raster import NOTHING, Discs, rasterise


def discs(*capsules):
    """Make discs of (crop, ends_px, radius_px, depth_mm, radius_mm)."""
    crop, ends_px, radius_px, depth_mm, radius_mm = zip(*capsules, strict=True)
    both = [torch.tensor(values, dtype=torch.float32)[:, None].expand(-1, 2) for values in (radius_px, radius_mm)]
    return Discs(
        crop=torch.tensor(crop),
        ends_px=torch.tensor(ends_px, dtype=torch.float32),
        radii_px=both[0],
        depth_mm=torch.tensor(depth_mm, dtype=torch.float32),
        radii_mm=both[1],
    )


def random_discs(num_capsules, num_crops, seed):
    generator = torch.Generator().manual_seed(seed)
    return Discs(
        crop=torch.randint(0, num_crops, (num_capsules,), generator=generator),
        ends_px=torch.rand(num_capsules, 2, 2, generator=generator) * 40 - 8,
        radii_px=1 + 4 * torch.rand(num_capsules, 2, generator=generator),
        depth_mm=2000 + 3000 * torch.rand(num_capsules, 2, generator=generator),
        radii_mm=40 + 60 * torch.rand(num_capsules, 2, generator=generator),
    )


def nearest_by_loop(found, height, width, num_crops):
    """Find depths pixel by pixel, in plain Python."""
    depth_mm = torch.full((num_crops, height, width), torch.inf)
    for k, crop in enumerate(found.crop.tolist()):
        (ax, ay), (bx, by) = found.ends_px[k].tolist()
        length2 = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-6)
        for y in range(height):
            for x in range(width):
                t = min(max(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2, 0.0), 1.0)
                radius = (1 - t) * found.radii_px[k, 0].item() + t * found.radii_px[k, 1].item()
                offset2 = ((x - ax - t * (bx - ax)) ** 2 + (y - ay - t * (by - ay)) ** 2) / radius**2
                if offset2 < 1:
                    inverse = (1 - t) / found.depth_mm[k, 0].item() + t / found.depth_mm[k, 1].item()
                    bulge = (1 - t) * found.radii_mm[k, 0].item() + t * found.radii_mm[k, 1].item()
                    here = 1 / inverse - bulge * (1 - offset2) ** 0.5
                    depth_mm[crop, y, x] = min(depth_mm[crop, y, x].item(), here)
    return depth_mm


def test_a_nearer_capsule_hides_a_farther_one_in_either_order():
    across, down = ((4, 10), (20, 10)), ((12, 2), (12, 18))
    for nearer_first in (True, False):
        depths = (3000, 5000) if nearer_first else (5000, 3000)
        found = discs((0, across, 2, (depths[0],) * 2, 50), (0, down, 2, (depths[1],) * 2, 50))
        owner = rasterise(found, num_crops=1, height_px=24, width_px=24).owner[0]
        assert owner[10, 12] == (0 if nearer_first else 1)
        assert owner[10, 6] == 0 and owner[4, 12] == 1 and owner[0, 0] == NOTHING


def test_crossing_capsules_change_places_where_they_cross():
    found = discs((0, ((2, 10), (22, 10)), 3, (2000, 6000), 50), (0, ((2, 10), (22, 10)), 3, (6000, 2000), 50))
    owner = rasterise(found, num_crops=1, height_px=20, width_px=24).owner[0, 10]
    assert owner[4] == 0 and owner[20] == 1


def test_the_surface_stands_one_radius_before_the_axis():
    zbuffer = rasterise(discs((0, ((8, 8), (8, 8)), 4, (3000, 3000), 100)), num_crops=1, height_px=16, width_px=16)
    assert abs(zbuffer.depth_mm[0, 8, 8].item() - 2900) <= 1
    assert zbuffer.depth_mm[0, 0, 0] == torch.inf


def test_capsules_behind_the_camera_and_outside_the_crop_draw_nothing():
    found = discs(
        (0, ((5, 5), (9, 9)), 3, (-3000, 3000), 50),
        (0, ((40, 5), (60, 9)), 3, (3000, 3000), 50),
        (0, ((-30, -30), (-20, -20)), 3, (3000, 3000), 50),
    )
    assert (rasterise(found, num_crops=1, height_px=16, width_px=16).owner == NOTHING).all()


def test_crops_do_not_mix():
    found = discs((1, ((5, 5), (9, 9)), 3, (3000, 3000), 50))
    owner = rasterise(found, num_crops=3, height_px=16, width_px=16).owner
    assert (owner[1] == 0).any() and (owner[[0, 2]] == NOTHING).all()


def test_depths_agree_with_a_slow_reference():
    found = random_discs(num_capsules=40, num_crops=3, seed=0)
    fast = rasterise(found, num_crops=3, height_px=26, width_px=22)
    slow = nearest_by_loop(found, 26, 22, 3)
    assert torch.equal(fast.depth_mm.isinf(), slow.isinf()) and (fast.owner != NOTHING).any()
    hit = ~slow.isinf()
    torch.testing.assert_close(fast.depth_mm[hit], slow[hit], rtol=0, atol=1.5)
