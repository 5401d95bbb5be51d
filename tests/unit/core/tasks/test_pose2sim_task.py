import pytest
import torch

from core.data.pose2sim import Pose2SimConfig, Pose2SimRecording
from core.data.root import data_file
from core.geometry.rig import ring_rig
from core.interfaces import Standalone
from core.tasks.pose2sim import Pose2SimMethod, run, triangulate
from core.testing import ring_scene


@pytest.fixture
def recording() -> Pose2SimRecording:
    """Two frames of one person with ten joints, seen exactly by four cameras."""
    scene = ring_scene(4, 10, batch=2)
    return Pose2SimRecording(
        rig=ring_rig(4),
        joints=tuple(f"joint_{joint}" for joint in range(10)),
        points_px=scene.points_px[:, :, None].clone(),
        likelihoods=torch.full((2, 4, 1, 10), 0.9, dtype=torch.float64),
        reference_mm=scene.joints_mm[:, None],
    )


def errors_mm(recording: Pose2SimRecording, method: Pose2SimMethod) -> torch.Tensor:
    return (triangulate(recording, method) - recording.reference_mm).norm(dim=-1)


@pytest.mark.parametrize("frame", ["metres", "millimetres", "scene"])
def test_exact_detections_give_the_reference_in_every_frame(recording, frame):
    assert errors_mm(recording, Pose2SimMethod(frame=frame)).max() < 1e-3


def test_a_view_that_is_far_off_is_left_out(recording):
    recording.points_px[0, 2, 0, 3] += 200.0
    assert errors_mm(recording, Pose2SimMethod()).max() < 1e-3
    assert errors_mm(recording, Pose2SimMethod(max_error_px=1e9))[0, 0, 3] > 10


def test_a_view_of_low_likelihood_takes_no_part(recording):
    recording.points_px[1, 0, 0, 5] += 10.0
    recording.likelihoods[1, 0, 0, 5] = 0.29
    assert errors_mm(recording, Pose2SimMethod()).max() < 1e-3
    assert errors_mm(recording, Pose2SimMethod(min_likelihood=0.2))[1, 0, 5] > 1


def test_likelihoods_weigh_unless_told_otherwise(recording):
    recording.points_px[:, 0] += 10.0
    recording.likelihoods[:, 0] = 0.3
    weighted, unweighted = (errors_mm(recording, Pose2SimMethod(weighting=name)) for name in ("likelihood", "uniform"))
    assert weighted.mean() < 0.5 * unweighted.mean()


def test_a_joint_that_no_two_views_agree_on_is_skipped(recording):
    shifts_px = torch.tensor([[0.0, 0.0], [0.0, 500.0], [0.0, -500.0], [0.0, 1_000.0]], dtype=torch.float64)
    recording.points_px[0, :, 0, 0] += shifts_px
    errors = errors_mm(recording, Pose2SimMethod())
    assert errors[0, 0, 0].isnan()
    assert errors.isnan().sum() == 1


def test_a_joint_in_one_view_is_skipped(recording):
    recording.likelihoods[0, 1:, 0, 7] = 0.0
    errors = errors_mm(recording, Pose2SimMethod())
    assert errors[0, 0, 7].isnan()
    assert errors.isnan().sum() == 1


def test_a_limit_of_no_pixels_is_refused():
    with pytest.raises(ValueError, match=r"max_error_px > 0, got 0.3, 0"):
        Pose2SimMethod(max_error_px=0.0)


@pytest.mark.real_data
@pytest.mark.parametrize(("kind", "num_skipped"), [("single", 6), ("multi", 8)])
def test_the_stored_reference_is_reproduced_in_metres_only(kind, num_skipped, tmp_path):
    data = Pose2SimConfig(recording=kind)
    try:
        data_file(None, data.file)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    metres, millimetres = (
        run(method=Pose2SimMethod(frame=frame), data=data, trial=Standalone(tmp_path))
        for frame in ("metres", "millimetres")
    )
    assert metres["difference/max"] < 2e-4
    assert metres["num_skipped"] == num_skipped
    assert millimetres["difference/median"] > 0.1
