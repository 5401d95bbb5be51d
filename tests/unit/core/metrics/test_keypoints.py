"""Mean 2D error over a mask."""

import pytest
import torch

from core.metrics.keypoints import mean_error_px


def test_only_the_mask_counts():
    truth = torch.zeros(2, 2, 2)
    predicted = torch.tensor([[[3.0, 4.0], [100.0, 0.0]], [[0.0, 1.0], [float("nan"), 0.0]]])
    mask = torch.tensor([[True, False], [True, False]])
    assert float(mean_error_px(predicted, truth, mask)) == pytest.approx(3.0)
    assert float(mean_error_px(predicted[:, :1], truth[:, :1], mask[:, :1])) == pytest.approx(3.0)


def test_an_empty_mask_has_no_mean():
    assert mean_error_px(torch.zeros(3, 2), torch.ones(3, 2), torch.zeros(3, dtype=torch.bool)).isnan()
