"""The lifting network g_phi of Roy et al. (2022, sec. 3.1): a 2D pose to root-relative depths."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from core.nn.detector import normalise_images
from core.nn.resnet import ResNet50, load_imagenet_weights
from core.typing import Float, Shaped, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LifterConfig:
    """The lifting network.

    Args:
        num_hidden: Width of the two hidden layers (2048 in the paper).
        dropout: Probability after each hidden layer.
        image_features: What h_gamma looks at the crop with: `none`, a `small` convolutional network or `resnet50`.
        num_image_features: Length of h_gamma's vector (16 in the paper).
        imagenet_weights: File with published ImageNet weights for `resnet50`, or none.
    """

    num_hidden: int = 1024
    dropout: float = 0.1
    image_features: Literal["none", "small", "resnet50"] = "none"
    num_image_features: int = 16
    imagenet_weights: Path | None = None


class ImageEncoder(nn.Module):
    """h_gamma: a crop to a short feature vector that tells the lifter what the 2D pose cannot."""

    def __init__(self, config: LifterConfig) -> None:
        super().__init__()
        if config.image_features == "resnet50":
            backbone = ResNet50()
            if config.imagenet_weights is not None:
                load_imagenet_weights(backbone, config.imagenet_weights)
            self.backbone: nn.Module = backbone
            num_features = backbone.num_features
        else:
            num_features = 64
            self.backbone = nn.Sequential(
                *[nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(inplace=True)],
                *[nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(inplace=True)],
                *[nn.Conv2d(32, num_features, 3, 2, 1), nn.ReLU(inplace=True)],
            )
        self.project = nn.Linear(num_features, config.num_image_features)

    def forward(self, images: Shaped[Tensor, "B 3 H W"]) -> Float[Tensor, "B F"]:
        """Encode `uint8` crops."""
        return self.project(self.backbone(normalise_images(images)).mean((-2, -1)))


class Lifter(nn.Module):
    """g_phi: the box-normalised 2D pose, with h_gamma's features if there are any, to depths relative to the root."""

    def __init__(self, config: LifterConfig, num_joints: int) -> None:
        super().__init__()
        self.encoder = None if config.image_features == "none" else ImageEncoder(config)
        num_inputs = 2 * num_joints + (config.num_image_features if self.encoder is not None else 0)
        self.layers = nn.Sequential(
            *[nn.Linear(num_inputs, config.num_hidden), nn.ReLU(inplace=True), nn.Dropout(config.dropout)],
            *[nn.Linear(config.num_hidden, config.num_hidden), nn.ReLU(inplace=True), nn.Dropout(config.dropout)],
            nn.Linear(config.num_hidden, num_joints),
        )

    def forward(
        self, points: Float[Tensor, "B J 2"], images: Shaped[Tensor, "B 3 H W"] | None = None
    ) -> Float[Tensor, "B J"]:
        """Predict the depth of each joint relative to the root, in metres (sec. 4.2: 3D losses are in metres).

        Args:
            points: Joints in the box's coordinates, [-1, 1].
            images: The crops, needed if the lifter has image features.
        """
        inputs = points.flatten(1)
        if self.encoder is not None:
            if images is None:
                raise ValueError("a lifter with image features needs the crops; got None")
            inputs = torch.cat([inputs, self.encoder(images)], dim=1)
        return self.layers(inputs)
