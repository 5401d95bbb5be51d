from dataclasses import replace

import pytest
import torch

from core.data.multiview_keypoints import KeypointSplits, MultiViewKeypoints
from core.openpose import BODY_18
from core.skeleton import HUMAN36M


def numbered(num_frames: int = 5, first_subject: int = 0) -> MultiViewKeypoints:
    """Frames whose every number tells which frame and view it is of."""
    frame, view = torch.arange(num_frames, dtype=torch.float32), torch.arange(3, dtype=torch.float32)
    both = (10 * frame[:, None] + view)[..., None].expand(-1, -1, 17)
    points = both[..., None].expand(-1, -1, -1, 2).contiguous()
    return MultiViewKeypoints(
        skeleton=HUMAN36M,
        intrinsics=torch.eye(3).repeat(1, 3, 1, 1) * (1 + view)[None, :, None, None],
        world_to_camera=torch.rand(1, 3, 3, 4),
        size_px=torch.full((1, 3, 2), 100.0),
        rig=torch.zeros(num_frames, dtype=torch.int64),
        points_px=points,
        confidences=torch.ones(num_frames, 3, 17),
        truth_px=points.clone(),
        joints_mm=frame[:, None, None].expand(-1, 17, 3).contiguous(),
        subject=torch.arange(num_frames) // 2 + first_subject,
        action=torch.zeros(num_frames, dtype=torch.int64),
        actions=("moving",),
    )


def test_taken_frames_come_in_the_order_asked_for():
    taken = numbered().take(torch.tensor([3, 0, 3]))
    assert len(taken) == 3
    assert taken.joints_mm[:, 0, 0].tolist() == [3, 0, 3]
    assert taken.points_px[:, 1, 0, 0].tolist() == [31, 1, 31]
    assert taken.subject.tolist() == [1, 0, 1]


def test_chosen_views_take_their_cameras_along():
    chosen = numbered().select_views((2, 0))
    assert chosen.num_views == 2
    assert chosen.points_px[1, :, 0, 0].tolist() == [12, 10]
    assert chosen.intrinsics[0, :, 0, 0].tolist() == [3, 1]
    torch.testing.assert_close(chosen.projections[0, 1], chosen.intrinsics[0, 1] @ chosen.world_to_camera[0, 1])


@pytest.mark.parametrize("views", [(3,), (-1,), ()])
def test_views_that_are_not_there_are_refused(views):
    with pytest.raises(ValueError, match=r"choose from views 0 to 2, got"):
        numbered().select_views(views)


def test_arrays_of_different_lengths_are_refused():
    keypoints = numbered()
    object.__setattr__(keypoints, "subject", torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="every frame needs an entry"):
        keypoints.__post_init__()


def test_a_skeleton_that_does_not_fit_the_detections_is_refused():
    with pytest.raises(ValueError, match="detections of 3 views and 17 joints do not fit 3 cameras and 18 joints"):
        replace(numbered(), skeleton=BODY_18)


def test_a_person_in_two_splits_is_refused():
    with pytest.raises(ValueError, match=r"subjects \[2\] are in both train and test"):
        KeypointSplits(train=numbered(), validation=numbered(2, 8), test=numbered(2, 2))
