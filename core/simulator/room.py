"""The hall around the court: a box whose floor, walls and ceiling carry cluttered textures, seen by casting rays.

`S` texels along a side, `R` rays.
"""

from dataclasses import dataclass

import torch

from core.typing import Float, Int, Tensor

HALF_SIZE_MM = (17000.0, 14500.0)
CEILING_MM = 11500.0
NUM_TEXELS = 384
NUM_FACES = 6
"""Walls at -x and +x, at -y and +y, then floor and ceiling."""
FLOOR, CEILING = 4, 5
COURT_HALF_MM = (7500.0, 4600.0)
LINE_MM = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Textures of the six faces."""

    texture: Float[Tensor, "S2 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """What the rays of a picture meet.

    Args:
        colour: Reflectance.
        place_mm: Where on the plan of the hall the ray ends, for the lighting.
    """

    colour: Float[Tensor, "R 3"]
    place_mm: Float[Tensor, "R 2"]


def draw_room(generator: torch.Generator) -> Room:
    """Draw a hall: parquet with court lines, walls full of banners and spectators, lamps at the ceiling."""
    faces = [_cluttered(generator) for _ in range(4)]
    faces.append(_parquet(generator))
    faces.append(_ceiling(generator))
    return Room(texture=torch.stack(faces).reshape(-1, 3))


def look(room: Room, centre_mm: Float[Tensor, "R 3"], direction: Float[Tensor, "R 3"]) -> Backdrop:
    """Follow rays from inside the hall to its faces.

    Args:
        room: The hall.
        centre_mm: Start of each ray; all must lie inside the hall.
        direction: Of any length but zero.
    """
    high = torch.tensor([*HALF_SIZE_MM, CEILING_MM]).to(direction)
    low = torch.tensor([-HALF_SIZE_MM[0], -HALF_SIZE_MM[1], 0.0]).to(direction)
    bound = torch.where(direction > 0, high, low)
    reach = (bound - centre_mm) / torch.where(direction.abs() < 1e-9, 1e-9, direction)
    nearest, axis = reach.abs().min(dim=-1)
    place_mm = centre_mm + nearest[:, None] * direction
    share = ((place_mm - low) / (high - low)).clamp(0, 1)
    positive = direction.gather(1, axis[:, None])[:, 0] > 0
    face = torch.where(axis == 2, torch.where(positive, CEILING, FLOOR), 2 * axis + positive)
    across = torch.where(axis == 0, share[:, 1], share[:, 0])
    upward = torch.where(axis == 2, share[:, 1], share[:, 2])
    return Backdrop(colour=room.texture[_texel(face, upward, across)], place_mm=place_mm[:, :2])


def _texel(face: Int[Tensor, " R"], upward: Float[Tensor, " R"], across: Float[Tensor, " R"]) -> Int[Tensor, " R"]:
    row, column = (upward * (NUM_TEXELS - 1)).long(), (across * (NUM_TEXELS - 1)).long()
    return (face * NUM_TEXELS + row) * NUM_TEXELS + column


def _grain(cells: int, generator: torch.Generator) -> Tensor:
    """Draw smooth noise over a face, about unit variance, with the given number of cells along a side."""
    coarse = torch.randn(1, 1, cells, cells, generator=generator)
    size = (NUM_TEXELS, NUM_TEXELS)
    return torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=True)[0, 0, ..., None]


def _cluttered(generator: torch.Generator) -> Tensor:
    colour = 0.25 + 0.5 * torch.rand(3, generator=generator)
    face = colour * (1 + 0.15 * _grain(6, generator)).expand(-1, -1, 3).clone()
    for _ in range(90):
        place = torch.rand(4, generator=generator)
        across, height = (place[:2] * NUM_TEXELS).long().tolist()
        wide, tall = (4 + place[2] * 46).int().item(), (4 + place[3] * 30).int().item()
        banner = torch.rand(3, generator=generator) * (0.4 + 0.6 * torch.rand(1, generator=generator))
        face[height : height + tall, across : across + wide] = banner
    crowd = torch.rand(NUM_TEXELS // 4, NUM_TEXELS // 4, 3, generator=generator)
    crowd = crowd.repeat_interleave(4, dim=0).repeat_interleave(4, dim=1)
    tier = (_grain(9, generator) > 0.4).expand(-1, -1, 3)
    return torch.where(tier, 0.15 + 0.6 * crowd, face).clamp(0.02, 1)


def _parquet(generator: torch.Generator) -> Tensor:
    wood = torch.tensor([0.72, 0.52, 0.33]) * (0.75 + 0.4 * torch.rand(1, generator=generator))
    wood = wood * (0.9 + 0.2 * torch.rand(3, generator=generator))
    plank = torch.rand(NUM_TEXELS // 2, NUM_TEXELS // 16, 1, generator=generator)
    plank = plank.repeat_interleave(2, dim=0).repeat_interleave(16, dim=1)
    face = wood * (0.9 + 0.2 * plank + 0.06 * _grain(12, generator))
    y_mm, x_mm = (torch.linspace(-half, half, NUM_TEXELS) for half in (HALF_SIZE_MM[1], HALF_SIZE_MM[0]))
    x_mm, y_mm = x_mm.expand(NUM_TEXELS, -1), y_mm[:, None].expand(-1, NUM_TEXELS)
    outside = (x_mm.abs() > COURT_HALF_MM[0]) | (y_mm.abs() > COURT_HALF_MM[1])
    zone = (x_mm.abs() > COURT_HALF_MM[0] - 4600) & (y_mm.abs() < 2000)
    paint = torch.rand(2, 3, generator=generator) * 0.7 + 0.1
    face = torch.where(outside[..., None], paint[0], face)
    face = torch.where((zone & ~outside)[..., None], 0.5 * face + 0.5 * paint[1], face)
    edge_mm = torch.minimum(COURT_HALF_MM[0] - x_mm.abs(), COURT_HALF_MM[1] - y_mm.abs()).abs()
    ring_mm = (torch.hypot(x_mm, y_mm) - 1800).abs()
    lines = (edge_mm < LINE_MM) | (ring_mm < LINE_MM) | (x_mm.abs() < LINE_MM)
    return torch.where(lines[..., None], torch.full((3,), 0.9), face).clamp(0.02, 1)


def _ceiling(generator: torch.Generator) -> Tensor:
    face = 0.12 * torch.ones(NUM_TEXELS, NUM_TEXELS, 3) * (1 + 0.2 * _grain(8, generator))
    face[::32, ::8] = 1.0
    return face.clamp(0.02, 1)
