from pathlib import Path

import numpy as np
import pytest

from core.data.pose2sim import Pose2SimConfig, read_pose2sim


@pytest.fixture
def root(tmp_path: Path) -> str:
    """An archive of the published form: three detected joints, two of them in the reference, in another order."""
    (tmp_path / "pose2sim").mkdir()
    associated = np.zeros((5, 2, 1, 3, 3), dtype=np.float32)
    associated[..., 0, :] = (1.0, 2.0, 0.25)
    associated[..., 2, :] = (3.0, 4.0, 0.5)
    np.savez(
        tmp_path / "pose2sim" / "single.npz",
        K=np.tile(np.diag([1700.0, 1700.0, 1.0]), (2, 1, 1)),
        R=np.tile(np.eye(3), (2, 1, 1)),
        t=np.full((2, 3), 3_000.0),
        size=np.tile([1088.0, 1920.0], (2, 1)),
        dist=np.full((2, 4), 1e-3),
        assoc=associated,
        ref=np.zeros((5, 1, 2, 3)),
        kp_names=np.array(["Nose", "Neck", "RHip"]),
        ref_names=np.array(["RHip", "Nose"]),
    )
    return str(tmp_path)


def test_detections_come_in_the_order_of_the_reference(root):
    recording = read_pose2sim(Pose2SimConfig(root=root))
    assert recording.joints == ("RHip", "Nose")
    assert recording.points_px[0, 0, 0].tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert recording.likelihoods[0, 0, 0].tolist() == [0.5, 0.25]


def test_cameras_keep_their_distortion_and_millimetres(root):
    rig = read_pose2sim(Pose2SimConfig(root=root)).rig
    assert rig[1].world_to_camera[:, 3].tolist() == [3_000.0] * 3
    assert rig[1].distortion.tolist() == [1e-3] * 4 + [0.0]
    assert rig[1].size_px == (1088, 1920)


def test_a_missing_recording_is_told_by_the_fingerprint(root):
    assert Pose2SimConfig(root=root).fingerprint()
    with pytest.raises(FileNotFoundError, match=r"pose2sim/multi.npz: no such data file"):
        Pose2SimConfig(root=root, recording="multi").fingerprint()
