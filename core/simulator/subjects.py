"""Subjects: the bone lengths of each player, constant over time, drawn around human proportions."""

from dataclasses import dataclass

import torch

from core.typing import Float, Tensor

SHORTEST_MM, TALLEST_MM = 1700.0, 2020.0
BONE_SPREAD = 0.05
ANKLE_HEIGHT = 0.045
PROPORTIONS = {
    "hip": 0.055,
    "thigh": 0.245,
    "shin": 0.246,
    "loin": 0.135,
    "chest": 0.145,
    "neck": 0.070,
    "head": 0.105,
    "shoulder": 0.105,
    "upper_arm": 0.165,
    "forearm": 0.145,
}
"""Length of each bone as a fraction of stature; left and right are alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjects:
    """Bone lengths of several players.

    Args:
        stature_mm: Body height.
        bone_mm: Columns in the order of `PROPORTIONS`.
    """

    stature_mm: Float[Tensor, " P"]
    bone_mm: Float[Tensor, "P L"]

    def length_mm(self, bone: str) -> Float[Tensor, " P"]:
        """Give one bone of every player; `bone` is a key of `PROPORTIONS`."""
        return self.bone_mm[:, list(PROPORTIONS).index(bone)]


def draw_subjects(num_players: int, generator: torch.Generator) -> Subjects:
    """Draw players of 1.70 to 2.02 m whose bones each deviate by 5 % (one standard deviation, cut at two)."""
    stature_mm = SHORTEST_MM + (TALLEST_MM - SHORTEST_MM) * torch.rand(num_players, generator=generator)
    ratios = torch.tensor(list(PROPORTIONS.values()))
    deviation = torch.randn(num_players, len(PROPORTIONS), generator=generator).clamp(-2, 2)
    return Subjects(stature_mm=stature_mm, bone_mm=stature_mm[:, None] * ratios * (1 + BONE_SPREAD * deviation))
