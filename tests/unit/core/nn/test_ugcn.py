from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from torch.func import functional_call, stack_module_state, vmap

from core.nn.ugcn import CrossViewUgcn, UgcnConfig, body_parts, num_parameters, size_mb
from core.openpose import BODY_18
from core.skeleton import HUMAN36M
from tests.unit.core.nn.test_graph_convolution import ARMS_AND_LEGS

SMALL = UgcnConfig(view_channels=4, num_view_units=2, level_channels=(5, 6, 7), num_units=2, pooling="max")
POSES_MM = 300 * torch.randn(6, 2, 17, 3, generator=torch.Generator().manual_seed(1))


def made(config, *, is_trained=True, dtype=torch.float64):
    """A network with weights everywhere, also in its last layer, and statistics that are not trivial."""
    network = CrossViewUgcn(config, HUMAN36M)
    network.initialise(torch.Generator().manual_seed(0))
    if is_trained:
        network.shift.initialise(torch.Generator().manual_seed(1))
        network(POSES_MM)
    return network.eval().to(dtype)


def slow_unit(unit, features, neighbours):
    """One unit node by node, with the batch's frozen statistics."""
    convolution, normalisation = unit.convolution, unit.normalisation
    result = []
    for node in range(len(features)):
        value = torch.zeros_like(features[0] @ convolution.weight[0])
        for kernel, matrix in enumerate(neighbours):
            for other in matrix[node].nonzero().flatten():
                value = value + matrix[node, other] * features[other] @ convolution.weight[kernel]
        spread = (normalisation.running_var + normalisation.eps).sqrt()
        value = (value - normalisation.running_mean) / spread * normalisation.weight + normalisation.bias
        result.append(value.clamp(min=0))
    return torch.stack(result)


def kernels_of(convolution):
    folded, num_nodes = convolution.neighbours, convolution.num_nodes
    if convolution.gathers_first:
        return folded.view(convolution.num_kernels, num_nodes, num_nodes)
    return folded.view(num_nodes, convolution.num_kernels, num_nodes).transpose(0, 1)


def slow_units(units, features):
    for unit in units:
        features = slow_unit(unit, features, kernels_of(unit.convolution))
    return features


def slow_forward(network, poses_mm):
    """The whole network written out: S-GCN per view, fusion, down over three levels, up again, and the shift."""
    relative = (poses_mm - poses_mm[:, :, :1]) / 1000
    views = [slow_units(network.view_units, relative[:, view].transpose(0, 1)) for view in range(2)]
    groups = [[*ARMS_AND_LEGS, *(tuple(17 + joint for joint in part) for part in ARMS_AND_LEGS)]]
    groups.append([tuple(range(5)), tuple(range(5, 10))])
    joints = slow_units(network.down[0], torch.cat(views))
    parts = slow_units(network.down[1], torch.stack([joints[list(group)].amax(0) for group in groups[0]]))
    features = slow_units(network.down[2], torch.stack([parts[list(group)].amax(0) for group in groups[1]]))
    for level, skipped in ((1, parts), (0, joints)):
        above = torch.empty(len(skipped), *features.shape[1:], dtype=features.dtype)
        for group, members in enumerate(groups[level]):
            above[list(members)] = features[group]
        features = slow_units(network.up[level], torch.cat([above, skipped], dim=-1))
    refined = poses_mm.clone()
    matrices = kernels_of(network.shift)
    for node in range(34):
        shift = network.shift.bias
        for kernel, matrix in enumerate(matrices):
            shift = shift + matrix[node] @ features.transpose(0, 1) @ network.shift.weight[kernel]
        refined[:, node // 17, node % 17] += 100 * shift
    return refined


def test_the_network_is_what_its_description_says_node_by_node():
    network = made(SMALL)
    poses_mm = POSES_MM[:3].double()
    torch.testing.assert_close(network(poses_mm), slow_forward(network, poses_mm), rtol=1e-9, atol=1e-6)


def test_training_starts_from_the_triangulation():
    assert torch.equal(made(SMALL, is_trained=False, dtype=torch.float32)(POSES_MM), POSES_MM)


def test_the_parts_of_human36m_are_a_trunk_two_legs_and_two_arms():
    assert body_parts(HUMAN36M) == ARMS_AND_LEGS
    names = [[BODY_18.names[joint] for joint in part] for part in body_parts(BODY_18)]
    assert ["Nose", "Neck"] in names
    assert ["RShoulder", "RElbow", "RWrist"] in names
    assert len(names) == 7


def test_numbers_of_parameters_follow_the_widths():
    units = [(3, 4, 4), (4, 4, 4), (4, 5, 5), (5, 5, 5), (5, 6, 5), (6, 6, 5), (6, 7, 5), (7, 7, 5)]
    units += [(5 + 6, 5, 5), (5, 5, 5), (6 + 7, 6, 5), (6, 6, 5)]
    expected = sum(kernels * ins * outs + 2 * outs for ins, outs, kernels in units) + 5 * 5 * 3 + 3
    network = CrossViewUgcn(SMALL, HUMAN36M)
    assert num_parameters(network) == expected
    assert size_mb(network) == pytest.approx(4e-6 * expected)


def test_the_paper_scale_has_the_published_20_mb():
    path = Path(__file__).parents[4] / "conf/scale/method/crossview_ugcn/paper.yaml"
    values = YAML(typ="safe").load(path)["network"]
    values["level_channels"] = tuple(values["level_channels"])
    assert 19.5 < size_mb(CrossViewUgcn(UgcnConfig(**values), HUMAN36M)) < 20.5


def seen_by(network, view, joint):
    """Inputs (view, joint) that an output depends on."""
    poses_mm = POSES_MM[:3].double().requires_grad_()
    network(poses_mm)[:, view, joint].square().sum().backward()
    return {tuple(place) for place in poses_mm.grad.abs().sum((0, 3)).nonzero().tolist()}


def test_without_crossview_edges_the_views_do_not_meet():
    assert seen_by(made(SMALL), 0, 5) == {(view, joint) for view in range(2) for joint in range(17)}
    apart = made(replace(SMALL, crossview_edges=False))
    assert seen_by(apart, 0, 5) == {(0, joint) for joint in range(17)}


def test_without_spatial_edges_only_pooling_carries_news_of_other_joints():
    config = replace(SMALL, spatial_edges=False, input_frame="camera", pooling="mean")
    assert len(seen_by(made(config), 1, 9)) == 34
    assert seen_by(made(replace(config, level_channels=(5,))), 1, 9) == {(0, 9), (1, 9)}
    first_order = replace(config, level_channels=(5,), spatial_kernels=("physical", "second_order"))
    mirrored = HUMAN36M.index("LKnee"), HUMAN36M.index("RKnee")
    assert seen_by(made(first_order), 0, mirrored[0]) == {(view, joint) for view in range(2) for joint in mirrored}


def test_without_fusion_the_units_move_or_go():
    late, moved = CrossViewUgcn(SMALL, HUMAN36M), CrossViewUgcn(replace(SMALL, late_fusion=False), HUMAN36M)
    assert num_parameters(moved) - num_parameters(late) == 3 * 4 + 4 * 4  # one more kernel in the two first units
    dropped = CrossViewUgcn(replace(SMALL, late_fusion=False, without_fusion="dropped"), HUMAN36M)
    assert len(dropped.view_units) == 0
    assert dropped(POSES_MM).shape == POSES_MM.shape


def test_late_fusion_treats_both_views_alike():
    network = made(SMALL)
    poses_mm = POSES_MM.double()
    torch.testing.assert_close(network(poses_mm.flip(1)).flip(1), network(poses_mm))


def test_the_root_frame_forgets_where_the_person_stands():
    moved_mm = torch.tensor([100.0, -50.0, 900.0], dtype=torch.float64)
    poses_mm = POSES_MM.double()
    for frame, is_free in (("root", True), ("camera", False)):
        network = made(replace(SMALL, input_frame=frame))
        assert torch.allclose(network(poses_mm + moved_mm), network(poses_mm) + moved_mm) == is_free


def test_several_networks_run_as_one():
    networks = [made(SMALL) for _ in range(2)]
    networks[1].initialise(torch.Generator().manual_seed(5))
    networks[1].shift.initialise(torch.Generator().manual_seed(6))
    stacked = stack_module_state(networks)
    poses_mm = torch.stack([POSES_MM, POSES_MM.flip(0)]).double()
    together = vmap(lambda state, poses: functional_call(networks[0], state, (poses,)))(stacked, poses_mm)
    for index, network in enumerate(networks):
        torch.testing.assert_close(together[index], network(poses_mm[index]))


def test_widths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="1 to 3 widths"):
        UgcnConfig(level_channels=(1, 2, 3, 4))
    with pytest.raises(ValueError, match="equal widths"):
        UgcnConfig(level_channels=(8, 16), skip="add")
    with pytest.raises(ValueError, match="at least 1"):
        UgcnConfig(num_units=0)
