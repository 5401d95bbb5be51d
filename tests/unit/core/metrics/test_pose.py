"""Pose errors on cases worked out by hand, and against scipy."""

import pytest
import torch
from scipy.spatial import procrustes

from core.metrics.pose import mpjpe_mm, nmpjpe_mm, pmpjpe_mm, root_aligned


def poses(*shape, seed=0):
    return 300.0 * torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_error_is_the_mean_distance_of_each_pose():
    truth = torch.zeros(2, 2, 3)
    predicted = torch.tensor([[[3.0, 4.0, 0.0], [0, 0, 1]], [[0, 0, 0], [0, 2, 0]]])
    assert mpjpe_mm(predicted, truth).tolist() == [3.0, 1.0]


def test_one_value_for_each_pose_whatever_the_batch():
    predicted, truth = poses(2, 3, 17), poses(2, 3, 17, seed=1)
    for metric in (mpjpe_mm, nmpjpe_mm, pmpjpe_mm):
        found = metric(predicted, truth)
        assert found.shape == (2, 3)
        torch.testing.assert_close(found[1, 2], metric(predicted[1, 2], truth[1, 2]))


def test_what_each_metric_forgives():
    truth = poses(4, 17)
    turned = truth.roll(1, dims=-1)
    for predicted, plain, scaled in ((truth, True, True), (3 * truth, False, True), (2 * turned + 9, False, False)):
        assert bool((mpjpe_mm(predicted, truth) < 1e-6).all()) is plain
        assert bool((nmpjpe_mm(predicted, truth) < 1e-6).all()) is scaled
        assert (pmpjpe_mm(predicted, truth) < 1e-6).all()


def test_none_aligns_the_roots_by_itself_but_procrustes():
    truth = root_aligned(poses(3, 17))
    moved = truth + torch.tensor([100.0, 0.0, 0.0])
    assert mpjpe_mm(moved, truth).tolist() == pytest.approx([100.0] * 3)
    assert (nmpjpe_mm(moved, truth) > 50.0).all()
    assert (mpjpe_mm(root_aligned(moved), truth) < 1e-9).all()


def test_root_alignment_takes_the_named_joint_to_the_origin():
    pose = poses(3, 17)
    assert (root_aligned(pose, root=8)[:, 8] == 0).all()
    torch.testing.assert_close(root_aligned(pose, root=8)[:, 2], pose[:, 2] - pose[:, 8])


def test_procrustes_error_agrees_with_scipy():
    truth = poses(5, 17)
    predicted = truth + 0.3 * poses(5, 17, seed=1)
    for one, target, found in zip(predicted, truth, pmpjpe_mm(predicted, truth), strict=True):
        unit_target, unit_one, _ = procrustes(target.numpy(), one.numpy())
        size = (target - target.mean(dim=0)).norm()
        expected = size * torch.from_numpy(unit_target - unit_one).norm(dim=-1).mean()
        torch.testing.assert_close(found, expected)


def test_a_nan_pose_is_nan_and_leaves_the_others_alone():
    truth, predicted = poses(3, 17), poses(3, 17, seed=1)
    predicted[0, 5] = torch.nan
    for metric in (mpjpe_mm, nmpjpe_mm, pmpjpe_mm):
        assert metric(predicted, truth).isnan().tolist() == [True, False, False]
