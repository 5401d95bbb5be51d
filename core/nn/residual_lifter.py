"""The network h_theta of Rochette et al. (2019, Eq. 1): a root-relative 2D pose to a root-relative 3D pose.

Six linear layers of equal width, each followed by batch normalisation, ReLU and dropout, with residual connections, and
a linear map to the pose. What the paper leaves open is settled here:

- **Six layers** are taken to be the six of full width; the map to the pose is a seventh, since nothing that is to be
  un-normalised can come out of a ReLU. The first layer changes the width; each of the other five has its own residual
  connection, `z + dropout(relu(norm(W z)))`.
- **No bias** in these layers: the normalisation subtracts it again. Its gradient would be rounding noise, which Adam
  scales to full steps.
- **Dropout** is no module here: masks come in as inputs, so that a forward pass is a pure function and several seeds
  can be trained at once. Its rate, which the paper does not print, belongs to the training's settings.
- **A missing joint** is 0 after normalisation, which is its mean position. `presence_flags` appends one number per
  joint that tells a missing joint from one that lies at its mean.
- **A missing root** is put where the mean pose fits the joints that are there best (`root_relative`).

`L` layers, `H` hidden units.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from core.typing import Bool, Float, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualLifterConfig:
    """Sizes of the network.

    Args:
        num_hidden: Width of the hidden layers (1024 in the paper).
        num_layers: Hidden linear layers (6 in the paper).
        presence_flags: Whether the network is told which joints are missing. Off, as the paper mentions no such input.
    """

    num_hidden: int = 128
    num_layers: int = 6
    presence_flags: bool = False

    def __post_init__(self) -> None:
        if self.num_hidden < 1 or self.num_layers < 1:
            raise ValueError(
                f"ResidualLifterConfig needs num_hidden and num_layers >= 1, got {self.num_hidden}, {self.num_layers}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoseStatistics:
    """Means and standard deviations by which inputs are normalised and outputs un-normalised.

    Attributes:
        input_mean_px: mu_x, of the root-relative 2D joints.
        input_deviation_px: sigma_x; 0 where a coordinate never varies (the root): its normalised value is 0.
        output_mean_mm: mu_X, of the root-relative 3D joints in camera axes.
        output_deviation_mm: sigma_X; 0 where a coordinate never varies (the root): the output is then the mean.
    """

    input_mean_px: Float[Tensor, "J 2"]
    input_deviation_px: Float[Tensor, "J 2"]
    output_mean_mm: Float[Tensor, "J 3"]
    output_deviation_mm: Float[Tensor, "J 3"]


class ResidualLifter(nn.Module):
    """h_theta. The statistics are buffers: they are stored with the weights, and differ from seed to seed."""

    input_mean_px: Tensor
    input_deviation_px: Tensor
    output_mean_mm: Tensor
    output_deviation_mm: Tensor

    def __init__(self, config: ResidualLifterConfig, statistics: PoseStatistics) -> None:
        super().__init__()
        for name in PoseStatistics.__dataclass_fields__:
            self.register_buffer(name, getattr(statistics, name).float().clone())
        num_joints = len(statistics.output_mean_mm)
        num_inputs = (3 if config.presence_flags else 2) * num_joints
        widths = [num_inputs] + [config.num_hidden] * config.num_layers
        self.presence_flags = config.presence_flags
        self.linears = nn.ModuleList(nn.Linear(before, after, bias=False) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        self.to_pose = nn.Linear(config.num_hidden, 3 * num_joints)

    def forward(
        self,
        points_px: Float[Tensor, "B J 2"],
        present: Bool[Tensor, "B J"],
        masks: Float[Tensor, "L B H"] | None = None,
    ) -> Float[Tensor, "B J 3"]:
        """Predict the root-relative pose in camera axes, in millimetres.

        Args:
            points_px: Root-relative detections (`root_relative`); where a joint is missing they may hold anything.
            present: Which joints were detected.
            masks: Dropout masks (`dropout_masks`) while training; `None`: no dropout.
        """
        hidden = self._normalise(points_px, present)
        for layer, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            change = torch.relu(norm(linear(hidden)))
            if masks is not None:
                change = change * masks[layer]
            hidden = change if layer == 0 else hidden + change
        outputs = self.to_pose(hidden).unflatten(-1, self.output_mean_mm.shape[-2:])
        return outputs * self.output_deviation_mm + self.output_mean_mm

    def _normalise(self, points_px: Float[Tensor, "B J 2"], present: Bool[Tensor, "B J"]) -> Float[Tensor, "B I"]:
        """Make the input: `(x - mu_x) / sigma_x`, 0 for what is missing or never varies."""
        never_varies = self.input_deviation_px == 0
        deviation = torch.where(never_varies, 1.0, self.input_deviation_px)
        is_known = present[..., None] & ~never_varies
        normalised = torch.where(is_known, (points_px - self.input_mean_px) / deviation, 0.0).flatten(-2)
        return torch.cat([normalised, present.to(normalised)], dim=-1) if self.presence_flags else normalised


def initialise_xavier(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of all linear layers anew (Glorot and Bengio's uniform), biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def dropout_masks(
    config: ResidualLifterConfig, num_samples: int, rate: float, generator: torch.Generator
) -> Float[Tensor, "L B H"]:
    """Draw masks for one batch: 0 with probability `rate`, else `1 / (1 - rate)`.

    Raises:
        ValueError: `rate` is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a dropout rate must be in [0, 1), got {rate}")
    kept = torch.empty(config.num_layers, num_samples, config.num_hidden).bernoulli_(1 - rate, generator=generator)
    return kept.div_(1 - rate)


def root_relative(
    points_px: Float[Tensor, "*batch J 2"],
    present: Bool[Tensor, "*batch J"],
    root: int,
    mean_px: Float[Tensor, "J 2"],
) -> Float[Tensor, "*batch J 2"]:
    """Subtract the root (Eq. 1: `P_r = P_a - P_a^alpha`), or its estimate where the root was not detected.

    The estimate is the position at which the mean pose fits the joints that are there best in the least squares sense:
    the mean of `x_j - mu_j` over them. Without any joint it does not matter.

    Args:
        points_px: Detections; a missing one may hold anything.
        present: Which joints were detected.
        root: Index of the root joint.
        mean_px: mu_x, the mean root-relative position of each joint.
    """
    offsets = torch.where(present[..., None], points_px - mean_px, 0.0)
    fitted = offsets.sum(dim=-2) / present.sum(dim=-1, keepdim=True).clamp(min=1)
    origin = torch.where(present[..., root, None], points_px[..., root, :], fitted)
    return points_px - origin[..., None, :]
