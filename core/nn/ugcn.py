"""CV-UGCN, the U-shaped graph network that refines a pair's triangulated poses (Hua et al. 2022).

S-GCN units look at each view alone, the fusion layer puts the views' features side by side, and M-GCN units see the
graph of all views: down over joints, body parts and whole bodies, and up again. The result is a shift of the joints,
`X = G(X~) + X~`. The paper gives no sizes, pooling groups, skip connections, activation or normalisation (ambiguity
A11): all of it is in `UgcnConfig`. Axis letters: `N` nodes (joints of all views, view by view), `C` channels.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

from core.nn.graph_convolution import (
    NEIGHBOURS,
    BodyGraph,
    GraphConvolution,
    GroupPooling,
    Neighbour,
    neighbour_matrices,
)
from core.skeleton import Skeleton
from core.typing import Float, Tensor

NUM_LEVELS = 3
"""Joints, parts of the body, whole body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UgcnConfig:
    """The network's sizes and switches. The paper publishes 20 MB, and none of the numbers behind it.

    Args:
        view_channels: Width of the S-GCN units.
        num_view_units: S-GCN units, whose weights both views share: a pair may name its cameras in any order.
        level_channels: Width of the M-GCN units over joints, parts and bodies. Fewer than three numbers leave out the
            coarsest levels; one leaves a network without pooling.
        num_units: M-GCN units at each level of the way down, and on the way up.
        pooling: What a group takes of its members.
        skip: How the way up takes the features of the way down at its level.
        normalisation: After each graph convolution, over the batch and nodes (`batch`), or none.
        late_fusion: S-GCN per view before the views meet. Off: the same units work on the graph of all views from
            the start, or are left out (`without_fusion`).
        without_fusion: Reading of "w/o fusion". `moved` keeps the depth, so that only the place where views meet
            differs.
        spatial_edges: Off leaves out `spatial_kernels`.
        spatial_kernels: Which kernels "w/o spatial configuration" leaves out: second-order links are made of physical
            ones and symmetric pairs are as much the body's configuration, so that all three are gone by default.
        crossview_edges: Off leaves out the cross-view kernel; views do not meet then.
        input_frame: What the network sees, in units of `unit_mm`: each view's pose relative to its root joint, or in
            the camera's frame with the point `depth_mm` in front of the camera as its origin.
        unit_mm: Millimetres in a unit of the input.
        depth_mm: See `input_frame`.
        shift_unit_mm: Millimetres in a unit of the last layer's output.
    """

    view_channels: int = 32
    num_view_units: int = 2
    level_channels: tuple[int, ...] = (32, 64, 96)
    num_units: int = 1
    pooling: Literal["mean", "max"] = "mean"
    skip: Literal["concatenate", "add"] = "concatenate"
    normalisation: Literal["batch", "none"] = "batch"
    late_fusion: bool = True
    without_fusion: Literal["moved", "dropped"] = "moved"
    spatial_edges: bool = True
    spatial_kernels: tuple[Neighbour, ...] = ("physical", "second_order", "symmetric")
    crossview_edges: bool = True
    input_frame: Literal["root", "camera"] = "root"
    unit_mm: float = 1_000.0
    depth_mm: float = 5_000.0
    shift_unit_mm: float = 100.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.level_channels) <= NUM_LEVELS:
            raise ValueError(f"level_channels needs 1 to {NUM_LEVELS} widths, got {self.level_channels}")
        if min(self.view_channels, self.num_units, *self.level_channels) < 1 or self.num_view_units < 0:
            raise ValueError(f"widths and numbers of units must be at least 1 (S-GCN units: 0), got {self}")
        if self.skip == "add" and len(set(self.level_channels)) > 1:
            raise ValueError(f"skip=add needs equal widths at all levels, got {self.level_channels}")

    def kernels(self, *, num_views: int) -> tuple[Neighbour, ...]:
        """Name the kernels of units over a graph of so many views."""
        kept = [kind for kind in NEIGHBOURS if self.spatial_edges or kind not in self.spatial_kernels]
        return tuple(kind for kind in kept if kind != "crossview" or (self.crossview_edges and num_views > 1))


def body_parts(skeleton: Skeleton) -> tuple[tuple[int, ...], ...]:
    """Group joints into the trunk, which is all joints without a mirror image, and the limbs that hang from it.

    A limb is a chain of bones on one side: Human3.6M's 17 joints make a trunk, two arms and two legs.
    """
    side_of = {joint: side for pair in skeleton.left_right for side, joint in enumerate(pair)}
    part_of: dict[int, int] = {}
    parts: list[list[int]] = [[]]
    for joint in skeleton.top_down:
        parent = skeleton.parents[joint]
        if joint not in side_of:
            part_of[joint] = 0
        elif side_of.get(parent) == side_of[joint]:
            part_of[joint] = part_of[parent]
        else:
            part_of[joint] = len(parts)
            parts.append([])
        parts[part_of[joint]].append(joint)
    return tuple(tuple(sorted(part)) for part in parts if part)


class GraphUnit(nn.Module):
    """A graph convolution (Eq. 2), normalised, and a rectifier."""

    def __init__(
        self, graph: BodyGraph, num_views: int, num_inputs: int, num_outputs: int, *, config: UgcnConfig
    ) -> None:
        super().__init__()
        matrices = neighbour_matrices(graph, num_views, config.kernels(num_views=num_views))
        is_normalised = config.normalisation == "batch"
        self.convolution = GraphConvolution(matrices, num_inputs, num_outputs, bias=not is_normalised)
        self.normalisation = nn.BatchNorm1d(num_outputs) if is_normalised else nn.Identity()

    def forward(self, features: Float[Tensor, "N B C"]) -> Float[Tensor, "N B D"]:
        """Give new features of every node."""
        convolved = self.convolution(features)
        return torch.relu(self.normalisation(convolved.flatten(0, 1))).view_as(convolved)


class CrossViewUgcn(nn.Module):
    """G of Hua et al. (2022) with its residual output: triangulated poses to refined poses, each in its own camera."""

    def __init__(self, config: UgcnConfig, skeleton: Skeleton, num_views: int = 2) -> None:
        super().__init__()
        self.config, self.num_views, self.root = config, num_views, skeleton.root
        joints = BodyGraph.of(skeleton)
        groups = [body_parts(skeleton)]
        groups.append((tuple(range(len(groups[0]))),))
        graphs = [joints]
        for level in range(len(config.level_channels) - 1):
            graphs.append(graphs[-1].pooled(groups[level]))
        self.view_units = self._make_view_units(joints)
        num_inputs = config.view_channels if len(self.view_units) else 3
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for graph, num_channels in zip(graphs, config.level_channels, strict=True):
            self.down.append(self._units(graph, num_inputs, num_channels))
            num_inputs = num_channels
        for level in range(len(graphs) - 1):
            below, here = config.level_channels[level + 1], config.level_channels[level]
            self.up.append(self._units(graphs[level], below + here if config.skip == "concatenate" else here, here))
        self.poolings = nn.ModuleList(
            GroupPooling(groups[level], num_views, config.pooling) for level in range(len(graphs) - 1)
        )
        matrices = neighbour_matrices(joints, num_views, config.kernels(num_views=num_views))
        self.shift = GraphConvolution(matrices, config.level_channels[0], 3)

    def _make_view_units(self, joints: BodyGraph) -> nn.Sequential:
        config = self.config
        if not config.late_fusion and config.without_fusion == "dropped":
            return nn.Sequential()
        num_views = 1 if config.late_fusion else self.num_views
        widths = [3] + [config.view_channels] * config.num_view_units
        units = [GraphUnit(joints, num_views, *pair, config=config) for pair in pairwise(widths)]
        return nn.Sequential(*units)

    def _units(self, graph: BodyGraph, num_inputs: int, num_channels: int) -> nn.Sequential:
        widths = [num_inputs] + [num_channels] * self.config.num_units
        units = [GraphUnit(graph, self.num_views, *pair, config=self.config) for pair in pairwise(widths)]
        return nn.Sequential(*units)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights anew; those of the last layer are zero, so that training starts from the triangulation."""
        for module in self.modules():
            if isinstance(module, GraphConvolution):
                module.initialise(generator)
        nn.init.zeros_(self.shift.weight)

    def forward(self, triangulated_mm: Float[Tensor, "B V J 3"]) -> Float[Tensor, "B V J 3"]:
        """Refine the poses: `X = G(X~) + X~`."""
        features = self._encode(self._normalised(triangulated_mm))
        skipped: list[Tensor] = []
        for level, units in enumerate(self.down):
            features = units(features if level == 0 else self.poolings[level - 1](features))
            skipped.append(features)
        for level in reversed(range(len(self.up))):
            pooling = self.poolings[level]
            assert isinstance(pooling, GroupPooling)
            above = pooling.upsample(features)
            joined = torch.cat([above, skipped[level]], dim=-1) if self._concatenates else above + skipped[level]
            features = self.up[level](joined)
        shift = self.shift(features).unflatten(0, triangulated_mm.shape[1:3]).movedim(2, 0)
        return triangulated_mm + self.config.shift_unit_mm * shift

    @property
    def _concatenates(self) -> bool:
        return self.config.skip == "concatenate"

    def _normalised(self, pose_mm: Float[Tensor, "B V J 3"]) -> Float[Tensor, "B V J 3"]:
        if self.config.input_frame == "root":
            return (pose_mm - pose_mm[..., self.root : self.root + 1, :]) / self.config.unit_mm
        origin_mm = torch.nn.functional.pad(torch.full_like(pose_mm[..., :1, :1], self.config.depth_mm), (2, 0))
        return (pose_mm - origin_mm) / self.config.unit_mm

    def _encode(self, pose: Float[Tensor, "B V J 3"]) -> Float[Tensor, "N B C"]:
        """Run the S-GCN on every view by itself, then fuse: the views' nodes side by side in one graph."""
        num_samples, num_views, num_joints, _ = pose.shape
        if not self.config.late_fusion:
            return self.view_units(pose.movedim(0, 2).reshape(num_views * num_joints, num_samples, 3))
        by_joint = pose.movedim((2, 1), (0, 1)).reshape(num_joints, num_views * num_samples, 3)
        features = self.view_units(by_joint).unflatten(1, (num_views, num_samples))
        return features.transpose(0, 1).flatten(0, 1)


def num_parameters(network: nn.Module) -> int:
    """Count the trainable numbers of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def size_mb(network: nn.Module) -> float:
    """Give the size of a network's parameters in float32, in megabytes of 10^6 bytes."""
    return 4e-6 * num_parameters(network)
