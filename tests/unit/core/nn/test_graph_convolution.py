import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.nn.graph_convolution import (
    NEIGHBOURS,
    BodyGraph,
    GraphConvolution,
    GroupPooling,
    neighbour_matrices,
    normalise_symmetrically,
)
from core.openpose import BODY_18
from core.skeleton import HUMAN36M

JOINTS = BodyGraph.of(HUMAN36M)
ARMS_AND_LEGS = ((0, 7, 8, 9, 10), (1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16))


def bones_apart(skeleton, first, second):
    """Number of bones between two joints, by walking up from both."""

    def ancestors(joint):
        path = [joint]
        while skeleton.parents[path[-1]] != -1:
            path.append(skeleton.parents[path[-1]])
        return path

    ours, theirs = ancestors(first), ancestors(second)
    meeting = next(joint for joint in ours if joint in theirs)
    return ours.index(meeting) + theirs.index(meeting)


def neighbours_of(skeleton, num_views, kind, node):
    """The paper's definition of each kind, one node at a time."""
    view, joint = divmod(node, skeleton.num_joints)
    found = []
    for other_view in range(num_views):
        for other in range(skeleton.num_joints):
            distance = bones_apart(skeleton, joint, other)
            is_same = view == other_view
            is_neighbour = {
                "self": is_same and joint == other,
                "physical": is_same and distance == 1,
                "second_order": is_same and distance == 2,
                "symmetric": is_same and joint != other and skeleton.mirror[joint] == other,
                "crossview": not is_same and joint == other,
            }[kind]
            if is_neighbour:
                found.append(other_view * skeleton.num_joints + other)
    return found


def literal_convolution(features, weights, bias, skeleton, num_views):
    """Eq. 2, written over nodes and neighbours."""
    num_nodes, num_samples, _ = features.shape
    result = torch.zeros(num_nodes, num_samples, weights.shape[-1], dtype=features.dtype)
    for node in range(num_nodes):
        for kernel, kind in enumerate(NEIGHBOURS):
            mine = neighbours_of(skeleton, num_views, kind, node)
            for other in mine:
                theirs = neighbours_of(skeleton, num_views, kind, other)
                share = 1 / (len(mine) * len(theirs)) ** 0.5
                result[node] += share * features[other] @ weights[kernel]
        result[node] += bias
    return result


@pytest.mark.parametrize("skeleton", [HUMAN36M, BODY_18], ids=["human36m", "body"])
@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_every_kernel_joins_the_neighbours_of_its_name(skeleton, kind):
    (matrix,) = neighbour_matrices(BodyGraph.of(skeleton), 2, [kind])
    for node in range(2 * skeleton.num_joints):
        assert matrix[node].nonzero().flatten().tolist() == neighbours_of(skeleton, 2, kind, node)


@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(3, 5), (4, 4), (5, 2)])
def test_the_convolution_is_equation_2_whichever_product_comes_first(num_inputs, num_outputs):
    convolution = GraphConvolution(neighbour_matrices(JOINTS, 2), num_inputs, num_outputs).double()
    torch.nn.init.normal_(convolution.bias)
    features = torch.randn(34, 2, num_inputs, dtype=torch.float64)
    expected = literal_convolution(features, convolution.weight, convolution.bias, HUMAN36M, 2)
    torch.testing.assert_close(convolution(features), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_outputs", [1, 3])
def test_the_convolution_has_exact_gradients(num_outputs):
    graph = BodyGraph(num_nodes=3, links=frozenset({(0, 1), (1, 2)}), left_right=frozenset({(0, 2)}))
    convolution = GraphConvolution(neighbour_matrices(graph, 2), 2, num_outputs).double()

    def apply(features, weight, bias):
        return torch.func.functional_call(convolution, {"weight": weight, "bias": bias}, (features,))

    inputs = (torch.randn(6, 2, 2), torch.randn(5, 2, num_outputs), torch.randn(num_outputs))
    assert torch.autograd.gradcheck(apply, [one.double().requires_grad_() for one in inputs])


@settings(deadline=None)
@given(num_nodes=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_symmetric_normalisation_bounds_the_spectrum_and_keeps_lone_nodes(num_nodes, seed):
    drawn = torch.rand(num_nodes, num_nodes, generator=torch.Generator().manual_seed(seed)) < 0.3
    adjacency = (drawn | drawn.T).double()
    matrix = normalise_symmetrically(adjacency)
    assert torch.equal(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).abs().max() <= 1 + 1e-9
    degree = adjacency.sum(1)
    assert not matrix[degree == 0].any()
    root = degree.sqrt()
    torch.testing.assert_close(matrix @ root, root)  # sqrt(degree) is the eigenvector of eigenvalue 1


def test_kernels_whose_nodes_have_one_neighbour_are_not_rescaled():
    for kind in ("self", "symmetric", "crossview"):
        (matrix,) = neighbour_matrices(JOINTS, 2, [kind])
        assert set(matrix.unique().tolist()) <= {0.0, 1.0}


def test_one_view_has_no_neighbours_in_another():
    assert not neighbour_matrices(JOINTS, 1, ["crossview"]).any()


@pytest.mark.parametrize("kinds", [[], ["self", "self"]])
def test_kernels_must_be_distinct_and_some(kinds):
    with pytest.raises(ValueError, match="distinct kinds of neighbours, at least one"):
        neighbour_matrices(JOINTS, 2, kinds)


def test_the_graph_of_parts_joins_limbs_to_the_trunk_and_to_their_mirror_images():
    parts = JOINTS.pooled(ARMS_AND_LEGS)
    assert parts.links == {(0, 1), (0, 2), (0, 3), (0, 4)}
    assert parts.left_right == {(1, 2), (3, 4)}
    assert parts.pooled([range(5)]) == BodyGraph(num_nodes=1, links=frozenset(), left_right=frozenset())


@pytest.mark.parametrize("kind", ["max", "mean"])
def test_pooling_takes_each_view_and_group_by_itself(kind):
    pooling = GroupPooling(ARMS_AND_LEGS, 2, kind).double()
    features = torch.randn(34, 3, 4, dtype=torch.float64)
    pooled = pooling(features)
    for view in range(2):
        for group, members in enumerate(ARMS_AND_LEGS):
            values = torch.stack([features[view * 17 + member] for member in members])
            expected = values.amax(0) if kind == "max" else values.mean(0)
            torch.testing.assert_close(pooled[view * 5 + group], expected)
            for member in members:
                torch.testing.assert_close(pooling.upsample(pooled)[view * 17 + member], pooled[view * 5 + group])


def test_groups_must_hold_every_node_once():
    for groups in ([[0, 1], [1, 2]], [[0], [2]], [[0], []]):
        with pytest.raises(ValueError, match="every node exactly once"):
            GroupPooling(groups, 2, "max")
