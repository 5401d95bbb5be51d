"""2D pose detectors: an image to joint positions by soft-argmax over heatmaps.

Two networks behind one class: a small one for 64x48 pictures on a CPU, and ResNet-50 with three deconvolutions
(Xiao et al. 2018, "Simple baselines") for the published scale.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from core.nn.resnet import ResNet50, load_imagenet_weights
from core.nn.soft_argmax import soft_argmax
from core.typing import Float, Shaped, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """The 2D network.

    Args:
        network: `small` (about 0.2 M parameters) or `resnet50` (34 M).
        num_channels: Width of the small network's first level.
        imagenet_weights: File with published ImageNet weights for `resnet50`, or none.
    """

    network: Literal["small", "resnet50"] = "small"
    num_channels: int = 24
    imagenet_weights: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What the detector sees in a batch of crops.

    Args:
        points_px: Joint positions in crop pixels.
        logits: Heatmaps before the softmax.
        features: The deepest feature map, for a confidence head.
    """

    points_px: Float[Tensor, "B J 2"]
    logits: Float[Tensor, "B J h w"]
    features: Float[Tensor, "B C a b"]


class _ConvNorm(nn.Sequential):
    """3x3 convolution, group normalisation (no running state, so a step never depends on earlier ones), ReLU."""

    def __init__(self, num_inputs: int, num_outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(num_inputs, num_outputs, 3, stride, padding=1, bias=False),
            nn.GroupNorm(4, num_outputs),
            nn.ReLU(inplace=True),
        )


class SmallNetwork(nn.Module):
    """A U-shaped network: down to 1/8 of the resolution, up to heatmaps at 1/2, with additive skips."""

    stride = 2

    def __init__(self, num_joints: int, num_channels: int) -> None:
        super().__init__()
        c = num_channels
        self.num_features = 3 * c
        self.level1 = nn.Sequential(_ConvNorm(3, c, stride=2), _ConvNorm(c, c))
        self.level2 = nn.Sequential(_ConvNorm(c, 2 * c, stride=2), _ConvNorm(2 * c, 2 * c))
        self.level3 = nn.Sequential(_ConvNorm(2 * c, 3 * c, stride=2), _ConvNorm(3 * c, 3 * c), _ConvNorm(3 * c, 3 * c))
        self.up2 = nn.Conv2d(3 * c, 2 * c, 1)
        self.merge2 = _ConvNorm(2 * c, 2 * c)
        self.up1 = nn.Conv2d(2 * c, c, 1)
        self.merge1 = _ConvNorm(c, c)
        self.heatmaps = nn.Conv2d(c, num_joints, 1)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B J h w"], Float[Tensor, "B C a b"]]:
        """Give heatmaps and the deepest features."""
        level1 = self.level1(images)
        level2 = self.level2(level1)
        features = self.level3(level2)
        x = self.merge2(level2 + _upsample(self.up2(features)))
        x = self.merge1(level1 + _upsample(self.up1(x)))
        return self.heatmaps(x), features


class SimpleBaseline(nn.Module):
    """ResNet-50 and three deconvolutions of 256 channels: heatmaps at 1/4 of the resolution."""

    stride = 4
    num_features = ResNet50.num_features

    def __init__(self, num_joints: int, imagenet_weights: Path | None) -> None:
        super().__init__()
        self.backbone = ResNet50()
        if imagenet_weights is not None:
            load_imagenet_weights(self.backbone, imagenet_weights)
        layers: list[nn.Module] = []
        num_inputs = self.num_features
        for _ in range(3):
            layers += [nn.ConvTranspose2d(num_inputs, 256, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(256), nn.ReLU(inplace=True)]
            num_inputs = 256
        self.deconvolutions = nn.Sequential(*layers)
        self.heatmaps = nn.Conv2d(256, num_joints, 1)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Float[Tensor, "B J h w"], Float[Tensor, "B 2048 a b"]]:
        """Give heatmaps and the last feature map of the backbone.

        Raises:
            ValueError: The crop's sides are no multiples of 32.
        """
        height_px, width_px = images.shape[-2:]
        if height_px % ResNet50.stride or width_px % ResNet50.stride:
            raise ValueError(f"resnet50 takes crops with sides of multiples of 32 pixels, got {height_px}x{width_px}")
        features = self.backbone(images)
        return self.heatmaps(self.deconvolutions(features)), features


class PoseDetector(nn.Module):
    """Crops to 2D joints (`f_theta` of Roy et al. 2022, whose detector also ends in a 2D soft-argmax)."""

    def __init__(self, config: DetectorConfig, num_joints: int) -> None:
        super().__init__()
        self.network = (
            SmallNetwork(num_joints, config.num_channels)
            if config.network == "small"
            else SimpleBaseline(num_joints, config.imagenet_weights)
        )
        self.stride = self.network.stride
        self.num_features = self.network.num_features

    def forward(self, images: Shaped[Tensor, "B 3 H W"]) -> Detection:
        """Detect the joints of the person each crop is centred on. Images are `uint8`."""
        logits, features = self.network(normalise_images(images))
        logits = logits.float()
        return Detection(points_px=soft_argmax(logits, self.stride), logits=logits, features=features)


def normalise_images(images: Shaped[Tensor, "*batch 3 H W"]) -> Float[Tensor, "*batch 3 H W"]:
    """Turn `uint8` pictures into floats of ImageNet's mean and standard deviation."""
    mean = torch.tensor([0.485, 0.456, 0.406], device=images.device).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225], device=images.device).view(3, 1, 1)
    return (images.float() / 255 - mean) / deviation


def _upsample(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C h w"]:
    """Double the resolution by repetition: its backward is deterministic on every device."""
    return x.repeat_interleave(2, -2).repeat_interleave(2, -1)
