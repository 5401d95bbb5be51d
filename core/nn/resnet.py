"""ResNet-50 (He et al. 2016), written so that published ImageNet weights load by name.

The state-dict keys and shapes are those of torchvision's `resnet50`, whose weight files are the field's usual start;
torchvision itself is not needed.
"""

from pathlib import Path

import torch
from torch import nn

from core.typing import Float, Tensor

_BLOCKS_PER_LAYER = (3, 4, 6, 3)
_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut; the stride sits on the 3x3 (the "v1.5" variant)."""

    def __init__(self, num_inputs: int, num_channels: int, stride: int) -> None:
        super().__init__()
        num_outputs = num_channels * _EXPANSION
        self.conv1 = nn.Conv2d(num_inputs, num_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_channels)
        self.conv2 = nn.Conv2d(num_channels, num_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_channels)
        self.conv3 = nn.Conv2d(num_channels, num_outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(num_outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or num_inputs != num_outputs:
            shortcut = nn.Conv2d(num_inputs, num_outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(num_outputs))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        """Add the three convolutions to the shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet50(nn.Module):
    """The convolutional part of ResNet-50: images to 2048 channels at 1/32 of the resolution."""

    num_features = 2048
    stride = 32

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        num_inputs = 64
        for index, num_blocks in enumerate(_BLOCKS_PER_LAYER):
            num_channels = 64 * 2**index
            blocks: list[nn.Module] = []
            for block in range(num_blocks):
                stride = 2 if block == 0 and index > 0 else 1
                blocks.append(Bottleneck(num_inputs, num_channels, stride))
                num_inputs = num_channels * _EXPANSION
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 2048 h w"]:
        """Compute the last feature map."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for index in range(len(_BLOCKS_PER_LAYER)):
            x = self.get_submodule(f"layer{index + 1}")(x)
        return x


def load_imagenet_weights(network: ResNet50, path: Path) -> None:
    """Load a published ImageNet weight file; its classifier (`fc.*`) is left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file lacks a layer of the network, or has one too many.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such weight file; expected a torchvision-style resnet50 state dict")
    weights = torch.load(path, map_location="cpu", weights_only=True)
    weights = {key: value for key, value in weights.items() if not key.startswith("fc.")}
    missing, unexpected = network.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise ValueError(f"{path}: not a resnet50 weight file; missing {missing[:3]}, unexpected {unexpected[:3]}")
