import numpy as np
import torch

from core.data.calibration import rig_from_arrays
from core.geometry.rig import projections, ring_rig


def arrays(rig):
    K = np.stack([camera.intrinsics.numpy() for camera in rig])
    pose = np.stack([camera.world_to_camera.numpy() for camera in rig])
    return K, pose[..., :3], pose[..., 3]


def test_a_rig_comes_back_from_its_arrays():
    rig = ring_rig(3)
    found = rig_from_arrays(*arrays(rig), np.array([1_000, 900]))
    assert projections(found).equal(projections(rig))
    assert found.names == ("view_0", "view_1", "view_2")
    assert [camera.size_px for camera in found] == [(1_000, 900)] * 3


def test_each_view_may_have_its_own_size_and_distortion():
    sizes = np.array([[10, 20], [30, 40]])
    found = rig_from_arrays(*arrays(ring_rig(2)), sizes, np.array([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]))
    assert [camera.size_px for camera in found] == [(10, 20), (30, 40)]
    torch.testing.assert_close(found[1].distortion, torch.tensor([0.5, 0.6, 0.7, 0.8, 0.0], dtype=torch.float64))
