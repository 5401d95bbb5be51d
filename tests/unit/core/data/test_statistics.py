"""What a data set holds, from the container and through the task behind table 1."""

from dataclasses import replace

import pytest
import torch

from core.data.keypoints import KeypointsConfig, load_keypoints
from core.data.multiview_keypoints import KeypointSplits
from core.data.panoptic import PanopticConfig
from core.data.statistics import keypoint_statistics, split_statistics
from core.tasks.keypoint_statistics import Counted, run


@pytest.fixture
def config(panoptic):
    own = PanopticConfig(root=str(panoptic.root.parent), train=("one",), validation=("two",), test=("three",))
    return KeypointsConfig(source="panoptic", panoptic=own)


def test_frames_views_and_people_are_counted(config):
    train = load_keypoints(config, 0).train
    confidences = train.confidences.clone()
    confidences[1, 0] = 0
    confidences[2, :2] = 0
    confidences[3, 0, :17] = 0
    subject = torch.tensor([1, 1, 4, 1, 1, 9])
    found = split_statistics(replace(train, confidences=confidences, subject=subject))
    assert found == {"frames": 6, "views_min": 1, "views_max": 3, "individuals": 3}


def test_all_splits_stand_in_one_table(config, panoptic):
    panoptic.path("two", "openpose", "00_01", "00_01_00000000_keypoints.json").unlink()
    splits = load_keypoints(config, 0)
    assert isinstance(splits, KeypointSplits)
    assert (
        keypoint_statistics(splits)
        == config.statistics()
        == {
            "Training": {"frames": 6, "views_min": 3, "views_max": 3, "individuals": 1},
            "Validation": {"frames": 4, "views_min": 2, "views_max": 3, "individuals": 1},
            "Test": {"frames": 5, "views_min": 3, "views_max": 3, "individuals": 1},
            "Total": {"frames": 15, "views_min": 2, "views_max": 3, "individuals": 3},
        }
    )


def test_the_task_gives_one_row(config):
    assert run(counted=Counted(row="Test"), data=config, seed=0) == config.statistics()["Test"]
    assert run(counted=Counted(), data=config, seed=0)["frames"] == 15
