"""Graph convolution over the joints of several views, with one kernel for each kind of neighbour (Hua et al. 2022).

Eq. 2: `Z = sum_k D_k^-1/2 A_k D_k^-1/2 H W_k`. Nodes are joints of all views, view by view (node `v J + j`), and come
first in every tensor here: `N B C`, nodes, batch, channels. Both factors of Eq. 2 are then one matrix product each,
without a copy between them. Other axis letters: `K` kernels, `C D` channels, `G` groups of nodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from core.skeleton import Skeleton
from core.typing import Float, Tensor

Neighbour = Literal["self", "physical", "second_order", "symmetric", "crossview"]
"""A kind of neighbour: the node itself, a bone, two bones, the mirror image, the same joint in another view."""

NEIGHBOURS: tuple[Neighbour, ...] = ("self", "physical", "second_order", "symmetric", "crossview")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyGraph:
    """The graph of one view: joints, or groups of joints.

    Attributes:
        num_nodes: How many.
        links: Pairs of nodes that a bone joins.
        left_right: Pairs of nodes that are mirror images.
    """

    num_nodes: int
    links: frozenset[tuple[int, int]]
    left_right: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, skeleton: Skeleton) -> "BodyGraph":
        """Take the joints of a skeleton."""
        return cls(
            num_nodes=skeleton.num_joints,
            links=frozenset(skeleton.bones),
            left_right=frozenset(skeleton.left_right),
        )

    def pooled(self, groups: Sequence[Sequence[int]]) -> "BodyGraph":
        """Make a node of each group: linked where a bone runs between two groups, mirrored where their members are."""
        group_of = {node: group for group, members in enumerate(groups) for node in members}

        def between(pairs: frozenset[tuple[int, int]]) -> frozenset[tuple[int, int]]:
            moved = {tuple(sorted((group_of[first], group_of[second]))) for first, second in pairs}
            return frozenset((first, second) for first, second in moved if first != second)

        return BodyGraph(num_nodes=len(groups), links=between(self.links), left_right=between(self.left_right))

    def adjacency(self, kind: Neighbour) -> Float[Tensor, "J J"]:
        """Give the 0-1 matrix of one kind of neighbour within a view; for `crossview` the identity, as for `self`."""
        eye = torch.eye(self.num_nodes)
        if kind in ("self", "crossview"):
            return eye
        if kind == "symmetric":
            return _symmetric(self.left_right, self.num_nodes)
        links = _symmetric(self.links, self.num_nodes)
        if kind == "physical":
            return links
        return ((links @ links > 0) & (links == 0) & (eye == 0)).float()


def _symmetric(pairs: frozenset[tuple[int, int]], num_nodes: int) -> Float[Tensor, "J J"]:
    matrix = torch.zeros(num_nodes, num_nodes)
    for first, second in pairs:
        matrix[first, second] = matrix[second, first] = 1.0
    return matrix


def neighbour_matrices(
    graph: BodyGraph, num_views: int, kinds: Sequence[Neighbour] = NEIGHBOURS
) -> Float[Tensor, "K N N"]:
    """Give `D_k^-1/2 A_k D_k^-1/2` (Eq. 2) of each kind, over the nodes of all views.

    A node without neighbours of a kind has a row of zeros. With one view `crossview` has no edges at all.

    Raises:
        ValueError: No kind is left, or one is named twice.
    """
    if not kinds or len(set(kinds)) != len(kinds):
        raise ValueError(f"a graph convolution needs distinct kinds of neighbours, at least one, got {tuple(kinds)}")
    views = torch.eye(num_views)
    across = 1.0 - views
    return torch.stack(
        [
            normalise_symmetrically(torch.kron(across if kind == "crossview" else views, graph.adjacency(kind)))
            for kind in kinds
        ]
    )


def normalise_symmetrically(adjacency: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """Scale a symmetric adjacency matrix to `D^-1/2 A D^-1/2`; nodes of degree 0 keep their zeros."""
    degree = adjacency.sum(dim=1)
    scale = torch.where(degree > 0, degree, 1.0).rsqrt()
    return scale[:, None] * adjacency * scale


class GraphConvolution(nn.Module):
    """Eq. 2: one weight matrix for each kind of neighbour, and a bias (unless a normalisation follows).

    The product with the smaller operand comes first: neighbours are gathered before the weights, unless the layer
    narrows.
    """

    neighbours: Tensor

    def __init__(
        self, matrices: Float[Tensor, "K N N"], num_inputs: int, num_outputs: int, *, bias: bool = True
    ) -> None:
        super().__init__()
        num_kernels, num_nodes, _ = matrices.shape
        self.num_kernels, self.num_nodes = num_kernels, num_nodes
        self.gathers_first = num_inputs <= num_outputs
        folded = matrices.flatten(0, 1) if self.gathers_first else matrices.transpose(0, 1).flatten(1, 2)
        self.register_buffer("neighbours", folded.contiguous(), persistent=False)
        self.weight = nn.Parameter(torch.empty(num_kernels, num_inputs, num_outputs))
        self.bias = nn.Parameter(torch.zeros(num_outputs)) if bias else None
        self.initialise(torch.Generator().manual_seed(0))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights anew: He's normal over all kernels' inputs; the bias is zero."""
        num_kernels, num_inputs, _ = self.weight.shape
        with torch.no_grad():
            drawn = torch.randn(self.weight.shape, generator=generator)
            self.weight.copy_(drawn * (2 / (num_kernels * num_inputs)) ** 0.5)
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, features: Float[Tensor, "N B C"]) -> Float[Tensor, "N B D"]:
        """Gather and weigh the features of every node's neighbours."""
        num_nodes, num_samples, num_inputs = features.shape
        if self.gathers_first:
            gathered = self.neighbours @ features.reshape(num_nodes, -1)
            gathered = gathered.view(self.num_kernels, num_nodes * num_samples, num_inputs)
            weighted = (gathered @ self.weight).sum(dim=0)
        else:
            by_kernel = features.reshape(1, num_nodes * num_samples, num_inputs) @ self.weight
            weighted = self.neighbours @ by_kernel.view(self.num_kernels * num_nodes, -1)
        convolved = weighted.view(num_nodes, num_samples, -1)
        return convolved if self.bias is None else convolved + self.bias


class GroupPooling(nn.Module):
    """From nodes to groups of nodes in every view: the largest value in the group, or the mean."""

    members: Tensor
    belongs: Tensor
    is_padding: Tensor

    def __init__(self, groups: Sequence[Sequence[int]], num_views: int, kind: Literal["max", "mean"]) -> None:
        super().__init__()
        nodes = {node for members in groups for node in members}
        if sum(map(len, groups)) != len(nodes) or nodes != set(range(len(nodes))) or not all(groups):
            raise ValueError(f"groups must hold every node exactly once, got {[tuple(members) for members in groups]}")
        self.kind = kind
        self.num_groups, self.num_nodes = num_views * len(groups), num_views * len(nodes)
        longest = max(map(len, groups))
        padded = torch.tensor([[*members, *[members[0]] * (longest - len(members))] for members in groups])
        offsets = torch.arange(num_views)[:, None, None] * len(nodes)
        member_index = (padded + offsets).flatten(0, 1)
        belongs = torch.zeros(self.num_groups, self.num_nodes)
        belongs[torch.arange(self.num_groups)[:, None], member_index] = 1.0
        is_padding = torch.tensor([[place >= len(members) for place in range(longest)] for members in groups])
        self.register_buffer("members", member_index, persistent=False)
        self.register_buffer("belongs", belongs, persistent=False)
        self.register_buffer("is_padding", is_padding.repeat(num_views, 1), persistent=False)

    def forward(self, features: Float[Tensor, "N B C"]) -> Float[Tensor, "G B C"]:
        """Pool the features of each group's members."""
        if self.kind == "mean":
            means = self.belongs / self.belongs.sum(dim=1, keepdim=True)
            return (means @ features.reshape(self.num_nodes, -1)).view(self.num_groups, *features.shape[1:])
        gathered = features[self.members]
        return gathered.masked_fill(self.is_padding[..., None, None], -torch.inf).amax(dim=1)

    def upsample(self, features: Float[Tensor, "G B C"]) -> Float[Tensor, "N B C"]:
        """Give every node the features of its group."""
        return (self.belongs.T @ features.reshape(self.num_groups, -1)).view(self.num_nodes, *features.shape[1:])
