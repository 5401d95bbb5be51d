"""Learned view weights (Iskakov et al. 2019, algebraic triangulation): a confidence per joint and view."""

from torch import nn

from core.typing import Float, Tensor


class ConfidenceHead(nn.Module):
    """From the detector's deepest features to confidences in (0, 1), one per joint.

    Two 3x3 convolutions with group normalisation (the public code has batch normalisation and max pooling, at
    2048 channels), a mean over the map, a three-layer MLP and a sigmoid. The gradient reaches the features' network
    only if the features carry one.
    """

    def __init__(self, num_features: int, num_joints: int, num_hidden: int = 64) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(num_features, num_hidden, 3, padding=1),
            nn.GroupNorm(4, num_hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_hidden, num_hidden, 3, padding=1),
            nn.GroupNorm(4, num_hidden),
            nn.ReLU(inplace=True),
        )
        self.confidences = nn.Sequential(
            nn.Linear(num_hidden, num_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(num_hidden, num_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(num_hidden, num_joints),
            nn.Sigmoid(),
        )

    def forward(self, features: Float[Tensor, "B C H W"]) -> Float[Tensor, "B J"]:
        """Give the confidence of each joint in each crop."""
        return self.confidences(self.convolutions(features).mean((-2, -1)))


def normalise_over_views(confidences: Float[Tensor, "*batch V J"]) -> Float[Tensor, "*batch V J"]:
    """Divide by the sum over views, then add 1e-5: the public implementation's floor under every weight."""
    return confidences / confidences.sum(-2, keepdim=True) + 1e-5
