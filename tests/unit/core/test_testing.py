"""The scenes that tests and benchmarks are built on."""

import pytest
import torch

from core.geometry.projection import project_points
from core.testing import ring_scene


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_points_are_the_images_of_the_joints(batch):
    scene = ring_scene(4, 5, batch=batch)
    leading = () if batch is None else (batch,)
    assert scene.projections.shape == (*leading, 4, 3, 4)
    assert scene.joints_mm.shape == (*leading, 5, 3)
    torch.testing.assert_close(project_points(scene.projections, scene.joints_mm), scene.points_px, rtol=0, atol=0)


def test_the_generator_decides():
    first, again, other = (ring_scene(2, 3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.joints_mm.equal(again.joints_mm)
    assert not first.joints_mm.equal(other.joints_mm)
    assert ring_scene(2, 3).joints_mm.equal(ring_scene(2, 3).joints_mm)


def test_dtype_is_as_asked():
    scene = ring_scene(2, 3, dtype=torch.float32)
    assert {scene.projections.dtype, scene.points_px.dtype, scene.joints_mm.dtype} == {torch.float32}
