"""Outfits: the colours of every limb; warm accents on the left of the body and cool ones on the right.

`L` limbs of one player, `G` colours.
"""

import torch

from core.simulator.body import LIMBS
from core.typing import Float, Tensor

WARM_HUES, COOL_HUES = (-0.03, 0.11), (0.50, 0.66)
"""Of socks, sleeves and hands on the left and on the right of the body."""
ACCENTS = ("sock", "sleeve", "hand")
Garments = dict[str, Tensor]


def draw_team_outfits(num_players: int, generator: torch.Generator) -> Float[Tensor, "P L 2 3"]:
    """Dress two teams (players alternate) alike but for the jersey and the shorts; accents are one set for all."""
    team = torch.arange(num_players) % 2
    hue = torch.rand(1, generator=generator) + torch.tensor([0.0, 0.5])
    light = torch.tensor([0.95, 0.35]) + 0.05 * torch.rand(2, generator=generator)
    garments = _person(num_players, generator)
    garments["jersey"] = _rgb(hue, torch.tensor([0.25, 0.8]), light)[team]
    garments["shorts"] = _rgb(hue, torch.tensor([0.35, 0.7]), 0.75 * light)[team]
    garments["shoes"] = _draw(num_players, (0.0, 1.0), (0.0, 0.4), (0.1, 1.0), generator)
    for accent in ACCENTS:
        for side, hues in (("left", WARM_HUES), ("right", COOL_HUES)):
            one = _draw(1, hues, (0.7, 0.95), (0.65, 1.0), generator)
            garments[f"{accent}_{side}"] = one.expand(num_players, 3)
    return _dress(garments)


def draw_random_outfits(num_players: int, generator: torch.Generator) -> Float[Tensor, "P L 2 3"]:
    """Dress everybody differently; accents keep to warm and cool, over wider ranges than on the court."""
    garments = _person(num_players, generator)
    for name in ("jersey", "shorts", "shoes"):
        garments[name] = _draw(num_players, (0.0, 1.0), (0.0, 0.9), (0.15, 1.0), generator)
    for accent in ACCENTS:
        for side, (low, high) in (("left", WARM_HUES), ("right", COOL_HUES)):
            hues = (low - 0.05, high + 0.05)
            garments[f"{accent}_{side}"] = _draw(num_players, hues, (0.5, 1.0), (0.5, 1.0), generator)
    return _dress(garments)


def _person(num_players: int, generator: torch.Generator) -> Garments:
    return {
        "skin": _draw(num_players, (0.03, 0.09), (0.30, 0.60), (0.35, 0.90), generator),
        "hair": _draw(num_players, (0.02, 0.12), (0.20, 0.70), (0.08, 0.45), generator),
    }


def _dress(garments: Garments) -> Tensor:
    return torch.stack([torch.stack([garments[name] for name in limb.cloth], dim=1) for limb in LIMBS], dim=1)


def _draw(
    count: int,
    hue: tuple[float, float],
    saturation: tuple[float, float],
    value: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    ranges = torch.tensor([hue, saturation, value])
    hsv = ranges[:, :1] + (ranges[:, 1:] - ranges[:, :1]) * torch.rand(3, count, generator=generator)
    return _rgb(*hsv)


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Turn hue (1 is once around), saturation and value into linear red, green, blue in the last axis."""
    sector = (hue[..., None] * 6 + torch.tensor([5.0, 3.0, 1.0])).remainder(6)
    drop = torch.minimum(sector, 4 - sector).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * drop)
