"""h_theta: its size, a literal transcription of its layers, missing joints, initial weights, masks."""

import math

import pytest
import torch

from core.nn.residual_lifter import (
    PoseStatistics,
    ResidualLifter,
    ResidualLifterConfig,
    dropout_masks,
    initialise_xavier,
    root_relative,
)

NUM_JOINTS, ROOT = 5, 1


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def statistics(num_joints=NUM_JOINTS, root=ROOT):
    moving = torch.ones(num_joints, 1)
    moving[root] = 0
    return PoseStatistics(
        input_mean_px=moving * (10 * random(num_joints, 2)),
        input_deviation_px=moving * (50 + random(num_joints, 2, seed=1).abs()),
        output_mean_mm=moving * (100 * random(num_joints, 3, seed=2)),
        output_deviation_mm=moving * (200 + random(num_joints, 3, seed=3).abs()),
    )


def make(num_hidden=7, **settings):
    config = ResidualLifterConfig(num_hidden=num_hidden, **settings)
    network = ResidualLifter(config, statistics())
    initialise_xavier(network, generator())
    return config, network


@torch.no_grad()
def literal_forward(network, points_px, present, masks, training):
    """One number after another, as the text says."""
    known = statistics()
    num_samples = len(points_px)
    rows = []
    for sample in range(num_samples):
        row = []
        for joint in range(NUM_JOINTS):
            for axis in range(2):
                mean, deviation = known.input_mean_px[joint, axis], known.input_deviation_px[joint, axis]
                is_known = present[sample, joint] and deviation > 0
                row.append(float((points_px[sample, joint, axis] - mean) / deviation) if is_known else 0.0)
        rows.append(torch.tensor(row, dtype=torch.float64))
    for layer, (linear, norm) in enumerate(zip(network.linears, network.norms, strict=True)):
        linear_out = [linear.weight.double() @ row for row in rows]
        mean, variance = norm.running_mean.double(), norm.running_var.double()
        if training:
            mean = sum(linear_out) / num_samples
            variance = sum((row - mean) ** 2 for row in linear_out) / num_samples
        changed = []
        for sample, row in enumerate(linear_out):
            normalised = (row - mean) / torch.sqrt(variance + norm.eps) * norm.weight.double() + norm.bias.double()
            active = torch.tensor([max(0.0, float(unit)) for unit in normalised], dtype=torch.float64)
            if masks is not None:
                active = active * masks[layer, sample].double()
            changed.append(active if layer == 0 else rows[sample] + active)
        rows = changed
    poses = torch.zeros(num_samples, NUM_JOINTS, 3, dtype=torch.float64)
    for sample, row in enumerate(rows):
        out = network.to_pose.weight.double() @ row + network.to_pose.bias.double()
        for joint in range(NUM_JOINTS):
            for axis in range(3):
                poses[sample, joint, axis] = (
                    out[3 * joint + axis] * known.output_deviation_mm[joint, axis] + known.output_mean_mm[joint, axis]
                )
    return poses


@pytest.mark.parametrize(("num_joints", "num_parameters"), [(18, 5_347_382), (60, 5_562_548)])
def test_the_published_sizes_have_this_many_parameters(num_joints, num_parameters):
    width, layers = 1024, 6
    closed_form = (
        2 * num_joints * width + (layers - 1) * width**2 + 2 * layers * width
        + (width + 1) * 3 * num_joints
    )  # fmt: skip
    network = ResidualLifter(ResidualLifterConfig(num_hidden=width), statistics(num_joints))
    assert sum(parameter.numel() for parameter in network.parameters()) == closed_form == num_parameters


@pytest.mark.parametrize("training", [False, True])
def test_the_forward_pass_is_the_text(training):
    config, network = make()
    with torch.no_grad():
        for norm in network.norms:
            norm.running_mean.copy_(random(7, seed=5))
            norm.running_var.copy_(random(7, seed=6).abs() + 0.5)
            norm.weight.copy_(random(7, seed=7))
            norm.bias.copy_(random(7, seed=8))
    points_px, present = 50 * random(4, NUM_JOINTS, 2, seed=9), random(4, NUM_JOINTS, seed=10) > -1
    masks = dropout_masks(config, 4, 0.3, generator(1)) if training else None
    expected = literal_forward(network, points_px, present, masks, training)
    found = network.train(training)(points_px, present, masks)
    assert not present.all()
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-2)


def test_a_missing_joint_counts_as_its_mean_whatever_it_holds():
    _, network = make()
    network.eval()
    points_px, present = 50 * random(2, NUM_JOINTS, 2), torch.ones(2, NUM_JOINTS, dtype=torch.bool)
    present[:, 3] = False
    at_mean = points_px.clone()
    at_mean[:, 3] = statistics().input_mean_px[3]
    points_px[:, 3] = torch.nan
    torch.testing.assert_close(network(points_px, present), network(at_mean, torch.ones_like(present)))


def test_presence_flags_tell_a_missing_joint_from_one_at_its_mean():
    _, network = make(presence_flags=True)
    network.eval()
    points_px = statistics().input_mean_px.expand(1, -1, -1)
    everywhere = torch.ones(1, NUM_JOINTS, dtype=torch.bool)
    absent = everywhere.clone()
    absent[0, 3] = False
    assert (network(points_px, everywhere) - network(points_px, absent)).abs().max() > 1


def test_the_root_stays_at_zero():
    _, network = make()
    present = torch.ones(3, NUM_JOINTS, dtype=torch.bool)
    assert (network(100 * random(3, NUM_JOINTS, 2), present)[:, ROOT] == 0).all()


def test_gradients_reach_every_parameter():
    config, network = make()
    network.double()
    masks = dropout_masks(config, 3, 0.5, generator()).double()
    present = torch.ones(3, NUM_JOINTS, dtype=torch.bool)
    network(100 * random(3, NUM_JOINTS, 2).double(), present, masks).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all(parameter.grad.abs().sum() > 0 for name, parameter in network.named_parameters() if "weight" in name)


def test_the_forward_pass_has_a_right_gradient():
    _, network = make(num_hidden=4, num_layers=2)
    network.double().eval()
    present = torch.ones(2, NUM_JOINTS, dtype=torch.bool)
    points_px = (100 * random(2, NUM_JOINTS, 2)).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda points: network(points, present), (points_px,))


def test_initial_weights_follow_glorot_and_the_generator():
    _, network = make(num_hidden=200)
    _, again = make(num_hidden=200)
    weight = network.linears[2].weight
    limit = math.sqrt(6 / 400)
    assert float(weight.detach().abs().max()) <= limit
    assert float(weight.detach().var()) == pytest.approx(limit**2 / 3, rel=0.05)
    assert (network.to_pose.bias == 0).all()
    assert torch.equal(weight, again.linears[2].weight)


def test_masks_drop_the_rate_and_keep_the_mean():
    masks = dropout_masks(ResidualLifterConfig(num_hidden=100), 200, 0.25, generator())
    assert masks.shape == (6, 200, 100)
    assert masks.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float(masks.mean()) == pytest.approx(1.0, abs=0.01)
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\), got 1"):
        dropout_masks(ResidualLifterConfig(), 2, 1.0, generator())


def test_a_missing_root_is_put_where_the_mean_pose_fits():
    mean_px = statistics().input_mean_px
    pose_px = mean_px + 300.0
    present = torch.ones(2, NUM_JOINTS, dtype=torch.bool)
    present[1, ROOT] = False
    points_px = pose_px.expand(2, -1, -1).clone()
    points_px[1, ROOT] = torch.nan
    found = root_relative(points_px, present, ROOT, mean_px)
    others = [joint for joint in range(NUM_JOINTS) if joint != ROOT]
    torch.testing.assert_close(found[0], mean_px, rtol=0, atol=1e-3)
    torch.testing.assert_close(found[1, others], mean_px[others], rtol=0, atol=1e-3)


def test_no_layers_are_refused():
    with pytest.raises(ValueError, match="num_layers >= 1, got 128, 0"):
        ResidualLifterConfig(num_layers=0)
