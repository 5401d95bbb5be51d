"""A scene: players in motion, posts, hall, lights and cameras, all drawn from one generator."""

from dataclasses import dataclass

import torch

from core.geometry.rig import Rig, projections
from core.simulator.body import Capsules, build_bodies
from core.simulator.motion import Motion
from core.simulator.room import Room, draw_room
from core.simulator.subjects import Subjects
from core.typing import Float, Tensor

POST_HEIGHT_MM, POST_RADIUS_MM = 3200.0, 60.0
POST_SEGMENTS = 2
NUM_WAVES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lighting:
    """How the hall is lit and how each camera reproduces it.

    Args:
        towards: Unit vector from the floor to the main light.
        ambient: Share of the light that comes from everywhere.
        waves: Brightness over the plan is 1 plus cosines: amplitude, x and y in radians per millimetre, phase.
        gain: Per camera and channel.
    """

    towards: Float[Tensor, "3"]
    ambient: float
    waves: Float[Tensor, "W 4"]
    gain: Float[Tensor, "V 3"]

    def brightness(self, place_mm: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
        """Give the light field at places on the plan."""
        amplitude, wave, phase = self.waves[:, 0], self.waves[:, 1:3], self.waves[:, 3]
        return (1 + (amplitude * torch.cos(place_mm @ wave.T + phase)).sum(dim=-1)).clamp(min=0.35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that the renderer draws.

    Args:
        joints_mm: Of every player in every frame.
        ground_mm: Where the players stand.
        bodies: Their limbs, `C` = 17 a player.
        colours: Two garments for each limb.
        posts: Standing capsules that hide players.
        post_colours: Like `colours`.
        room: The hall.
        lighting: Lights and cameras' gains.
        projections: From world millimetres to pixels, float64.
        image_size_px: Width and height of every camera's picture.
    """

    joints_mm: Float[Tensor, "T P 17 3"]
    ground_mm: Float[Tensor, "T P 2"]
    bodies: Capsules
    colours: Float[Tensor, "P L 2 3"]
    posts: Capsules
    post_colours: Float[Tensor, "C 2 3"]
    room: Room
    lighting: Lighting
    projections: Float[Tensor, "V 3 4"]
    image_size_px: tuple[int, int]


def assemble_scene(
    motion: Motion,
    subjects: Subjects,
    colours: Float[Tensor, "P L 2 3"],
    rig: Rig,
    *,
    num_posts: int,
    floor_mm: tuple[float, float],
    generator: torch.Generator,
) -> Scene:
    """Put players, hall, posts and lights together; the posts stand around the floor, where they hide players."""
    posts = _draw_posts(num_posts, floor_mm, generator)
    paint = torch.rand(num_posts, 2, 3, generator=generator) * 0.8 + 0.1
    return Scene(
        joints_mm=motion.joints_mm,
        ground_mm=motion.ground_mm,
        bodies=build_bodies(motion.joints_mm, subjects.stature_mm),
        colours=colours,
        posts=posts,
        post_colours=paint.repeat_interleave(POST_SEGMENTS, dim=0),
        room=draw_room(generator),
        lighting=_draw_lighting(len(rig), generator),
        projections=projections(rig),
        image_size_px=rig[0].size_px,
    )


def _draw_posts(num_posts: int, floor_mm: tuple[float, float], generator: torch.Generator) -> Capsules:
    """Stand posts on an ellipse a little outside the floor; each is cut into segments so that no window is large."""
    turn = (torch.arange(num_posts) + torch.rand(num_posts, generator=generator)) * (2 * torch.pi / max(num_posts, 1))
    half_mm = torch.tensor(floor_mm) / 2 + 500.0
    foot_mm = torch.nn.functional.pad(torch.stack([turn.cos(), turn.sin()], dim=-1) * half_mm, (0, 1))
    height_mm = torch.linspace(0, POST_HEIGHT_MM, POST_SEGMENTS + 1)
    levels_mm = torch.nn.functional.pad(torch.stack([height_mm[:-1], height_mm[1:]], dim=1)[..., None], (2, 0))
    ends_mm = (foot_mm[:, None, None] + levels_mm).flatten(0, 1)
    return Capsules(ends_mm=ends_mm, radii_mm=torch.full(ends_mm.shape[:2], POST_RADIUS_MM))


def _draw_lighting(num_views: int, generator: torch.Generator) -> Lighting:
    towards = torch.randn(3, generator=generator) * torch.tensor([0.5, 0.5, 0.1]) + torch.tensor([0.0, 0.0, 1.0])
    shape = torch.rand(NUM_WAVES, 2, generator=generator)
    wave = torch.randn(NUM_WAVES, 2, generator=generator) * (2 * torch.pi / 9000.0) * 0.6
    waves = torch.cat([0.18 * shape[:, :1], wave, 2 * torch.pi * shape[:, 1:]], dim=1)
    exposure = 0.85 + 0.35 * torch.rand(num_views, 1, generator=generator)
    dark = torch.rand(num_views, 1, generator=generator) < 0.25
    cast = 1 + 0.08 * torch.randn(num_views, 3, generator=generator)
    return Lighting(
        towards=torch.nn.functional.normalize(towards, dim=0),
        ambient=0.45 + 0.2 * torch.rand(1, generator=generator).item(),
        waves=waves,
        gain=exposure * torch.where(dark, 0.45, 1.0) * cast,
    )
