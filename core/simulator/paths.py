"""Where players go: smooth paths between waypoints on the floor, with headings that lag and bodies that repel."""

from dataclasses import dataclass

import torch

from core.typing import Float, Tensor

MIN_DISTANCE_MM = 550.0
SUBSTEPS = 4
SPEEDS_MM_S = (0.0, 1300.0, 4200.0)
"""Stand, walk, run."""
SPEED_SHARES = (0.25, 0.45, 0.30)
LEG_S = (0.8, 3.5)
"""Shortest and longest time spent on the way to one waypoint."""
VELOCITY_LAG_S, HEADING_LAG_S = 0.35, 0.45
ATTENTION_MM_S = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Ground motion of every player at the frame rate.

    Args:
        position_mm: Ground position below the pelvis.
        heading_rad: Direction the body faces, counter-clockwise from +x.
        distance_mm: Way travelled since the first frame; its growth drives the gait.
        speed_mm_s: Current speed.
    """

    position_mm: Float[Tensor, "T P 2"]
    heading_rad: Float[Tensor, "T P"]
    distance_mm: Float[Tensor, "T P"]
    speed_mm_s: Float[Tensor, "T P"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    waypoint_mm: Float[Tensor, "P W 2"]
    speed_mm_s: Float[Tensor, "P W"]
    until_s: Float[Tensor, "P W"]


def walk(
    num_players: int, num_frames: int, *, fps: float, floor_mm: tuple[float, float], generator: torch.Generator
) -> Paths:
    """Walk players over a floor of the given size, centred on the origin, for `num_frames` frames."""
    half_mm = torch.tensor(floor_mm) / 2
    step_s = 1.0 / (fps * SUBSTEPS)
    route = _draw_route(num_players, num_frames / fps, half_mm, generator)
    position_mm = _separate((torch.rand(num_players, 2, generator=generator) * 2 - 1) * half_mm, half_mm, rounds=60)
    velocity_mm_s = torch.zeros(num_players, 2)
    facing = torch.nn.functional.normalize(torch.randn(num_players, 2, generator=generator), dim=-1)
    players = torch.arange(num_players)
    positions, facings, speeds = [], [], []
    for step in range(num_frames * SUBSTEPS):
        leg = (route.until_s < step * step_s).sum(dim=1)
        to_goal_mm = route.waypoint_mm[players, leg] - position_mm
        away_mm = to_goal_mm.norm(dim=1, keepdim=True).clamp(min=1.0)
        wanted_mm_s = to_goal_mm / away_mm * route.speed_mm_s[players, leg, None] * (away_mm / 500.0).clamp(max=1.0)
        velocity_mm_s = velocity_mm_s + (wanted_mm_s - velocity_mm_s) * (step_s / VELOCITY_LAG_S)
        moved_mm = _separate(position_mm + velocity_mm_s * step_s, half_mm, rounds=3)
        velocity_mm_s = (moved_mm - position_mm) / step_s
        position_mm = moved_mm
        looked_at = velocity_mm_s + ATTENTION_MM_S * to_goal_mm / away_mm
        looked_at = looked_at / looked_at.norm(dim=1, keepdim=True).clamp(min=1.0)
        facing = torch.nn.functional.normalize(facing + (looked_at - facing) * (step_s / HEADING_LAG_S), dim=-1)
        positions.append(position_mm)
        facings.append(facing)
        speeds.append(velocity_mm_s.norm(dim=1))
    speed_mm_s, direction = torch.stack(speeds), torch.stack(facings)[::SUBSTEPS]
    return Paths(
        position_mm=torch.stack(positions)[::SUBSTEPS],
        heading_rad=torch.atan2(direction[..., 1], direction[..., 0]),
        distance_mm=(speed_mm_s.cumsum(dim=0) * step_s)[::SUBSTEPS],
        speed_mm_s=speed_mm_s[::SUBSTEPS],
    )


def _draw_route(num_players: int, span_s: float, half_mm: Tensor, generator: torch.Generator) -> _Route:
    num_legs = int(span_s / LEG_S[0]) + 2
    shape = (num_players, num_legs)
    duration_s = LEG_S[0] + (LEG_S[1] - LEG_S[0]) * torch.rand(shape, generator=generator)
    shares = torch.tensor(SPEED_SHARES)
    gait = torch.multinomial(shares, num_players * num_legs, replacement=True, generator=generator).view(shape)
    pace = 0.8 + 0.4 * torch.rand(shape, generator=generator)
    return _Route(
        waypoint_mm=(torch.rand(*shape, 2, generator=generator) * 2 - 1) * half_mm,
        speed_mm_s=torch.tensor(SPEEDS_MM_S)[gait] * pace,
        until_s=duration_s.cumsum(dim=1),
    )


def _separate(position_mm: Tensor, half_mm: Tensor, rounds: int) -> Tensor:
    """Push apart whoever is closer than `MIN_DISTANCE_MM`, half the overlap each, and keep all on the floor."""
    for _ in range(rounds):
        apart_mm = position_mm[:, None] - position_mm[None]
        distance_mm = apart_mm.norm(dim=-1).clamp(min=1.0)
        overlap_mm = (MIN_DISTANCE_MM - distance_mm).clamp(min=0.0).fill_diagonal_(0.0)
        push_mm = (apart_mm / distance_mm[..., None] * overlap_mm[..., None]).sum(dim=1) / 2
        position_mm = torch.minimum(torch.maximum(position_mm + push_mm, -half_mm), half_mm)
    return position_mm
