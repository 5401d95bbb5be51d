"""Rendering: crops of a scene into memory or a memory map, and which of the target's joints each crop shows.

Runs on the CPU. `B` crops.
"""

from dataclasses import dataclass

import torch

from core.simulator.body import NUM_LIMBS, limb_shows_joint
from core.simulator.crops import crop_players, project
from core.simulator.draw import Drawn, Shots, draw
from core.simulator.raster import NOTHING, ZBuffer, rasterise
from core.simulator.scene import Scene
from core.simulator.shade import expose, shade
from core.typing import Bool, Float, Tensor, UInt8

CHUNK_PIXELS = 200_000
"""Pixels rendered at once: large enough to amortise torch's calls, small enough to stay in the cache."""
MAX_BURIED_MM = 200.0
"""A joint this much deeper than the limb that shows it is on the far side of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known about rendered crops.

    Args:
        projections: From world millimetres to crop pixels, float64.
        joints_px: In crop pixels; may lie outside the crop.
        root_depth_mm: Depth of the pelvis.
        visible: Whether the target's own limb at the joint is what the camera sees there.
        hidden_by_others: Whether another player or a post is in front of the joint.
        inside: Whether the target's box lies wholly in the camera's picture.
    """

    projections: Float[Tensor, "B 3 4"]
    joints_px: Float[Tensor, "B 17 2"]
    root_depth_mm: Float[Tensor, " B"]
    visible: Bool[Tensor, "B 17"]
    hidden_by_others: Bool[Tensor, "B 17"]
    inside: Bool[Tensor, " B"]


def render_into(
    images: UInt8[Tensor, "B 3 H W"], scene: Scene, shots: Shots, *, num_neighbours: int, generator: torch.Generator
) -> Truth:
    """Render one crop for each shot into `images`, which may be a memory map, and tell the truth about it.

    Args:
        images: Written: red, green, blue.
        scene: What there is to see.
        shots: The crops to take.
        num_neighbours: At most so many other players are drawn: those nearest to the camera that overlap the crop.
        generator: For the sensor's noise.
    """
    height, width = images.shape[2:]
    crops = crop_players(
        scene.projections[shots.view],
        scene.ground_mm[shots.frame, shots.player].double(),
        image_size_px=scene.image_size_px,
        height_px=height,
        width_px=width,
    )
    seen = project(crops.projections, scene.joints_mm[shots.frame, shots.player].double())
    size = max(1, CHUNK_PIXELS // (height * width))
    visible, hidden = [], []
    for start in range(0, images.shape[0], size):
        part = slice(start, start + size)
        few = crops[part]
        drawn = draw(scene, shots[part], few, size_px=(height, width), num_neighbours=num_neighbours)
        zbuffer = rasterise(drawn.discs, num_crops=few.inside.shape[0], height_px=height, width_px=width)
        images[part] = expose(shade(scene, drawn, zbuffer, few, shots.view[part]), generator)
        chunk_visible, chunk_hidden = _see(drawn, zbuffer, seen[part])
        visible.append(chunk_visible)
        hidden.append(chunk_hidden)
    return Truth(
        projections=crops.projections,
        joints_px=seen[..., :2],
        root_depth_mm=seen[:, 0, 2],
        visible=torch.cat(visible),
        hidden_by_others=torch.cat(hidden),
        inside=crops.inside,
    )


def _see(drawn: Drawn, zbuffer: ZBuffer, seen: Float[Tensor, "B 17 3"]) -> tuple[Tensor, Tensor]:
    """Tell which joints are seen, and which are behind another player or a post."""
    num_crops, height, width = zbuffer.owner.shape
    pixel = seen[..., :2].round().long()
    x, y = pixel.unbind(dim=-1)
    in_crop = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    crop = torch.arange(num_crops)[:, None]
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    owner, depth_mm = zbuffer.owner[crop, y, x], zbuffer.depth_mm[crop, y, x]
    part = torch.where(owner == NOTHING, NUM_LIMBS, drawn.part[owner.clamp(min=0)])
    own = (owner != NOTHING) & (part < NUM_LIMBS)
    shows = limb_shows_joint()[torch.arange(17), part.clamp(max=NUM_LIMBS - 1)]
    near = seen[..., 2] - depth_mm < MAX_BURIED_MM
    hidden = in_crop & (owner != NOTHING) & ~own & (depth_mm < seen[..., 2])
    return in_crop & own & shows & near, hidden
