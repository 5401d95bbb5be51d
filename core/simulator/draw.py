"""What a crop shows: its target, the neighbours that overlap it and the posts, as capsules projected into the crop.

`B` crops, `C` capsules in one crop, `K` over all crops, `Q` players drawn in one crop (the first is the target).
"""

from dataclasses import dataclass

import torch

from core.simulator.body import NUM_LIMBS, limb_splits
from core.simulator.crops import Crops, cylinder_box, project
from core.simulator.raster import Discs
from core.simulator.scene import Scene
from core.typing import Float, Int, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Shots:
    """Which crops to take: one entry each.

    Args:
        frame: Index in time.
        player: The target.
        view: The camera.
    """

    frame: Int[Tensor, " B"]
    player: Int[Tensor, " B"]
    view: Int[Tensor, " B"]

    def __getitem__(self, part: slice) -> "Shots":
        return Shots(frame=self.frame[part], player=self.player[part], view=self.view[part])


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The capsules of some crops, ready to be rasterised.

    Args:
        discs: Where they are.
        part: `slot * NUM_LIMBS + limb`, slot 0 is the target, and the posts follow the last slot.
        split: Where along the capsule its second colour begins.
        colours: Both colours.
        light: Brightness of the light field at the capsule.
    """

    discs: Discs
    part: Int[Tensor, " K"]
    split: Float[Tensor, " K"]
    colours: Float[Tensor, "K 2 3"]
    light: Float[Tensor, " K"]


def draw(scene: Scene, shots: Shots, crops: Crops, *, size_px: tuple[int, int], num_neighbours: int) -> Drawn:
    """Gather and project the capsules of the target, its neighbours and the posts.

    Args:
        scene: What there is to see.
        shots: The crops to take.
        crops: Where they lie in the pictures.
        size_px: Height and width of a crop.
        num_neighbours: At most so many other players are drawn.
    """
    players, present = _neighbours(scene, shots, crops, size_px, num_neighbours)
    num_crops, num_drawn = players.shape
    num_posts, frame = scene.posts.radii_mm.shape[0], shots.frame[:, None]

    def with_posts(of_bodies: Tensor, of_posts: Tensor) -> Tensor:
        return torch.cat([of_bodies.flatten(1, 2), of_posts.expand(num_crops, *of_posts.shape)], dim=1)

    ends_mm = with_posts(scene.bodies.ends_mm[frame, players], scene.posts.ends_mm)
    radii_mm = with_posts(scene.bodies.radii_mm[frame, players], scene.posts.radii_mm)
    colours = with_posts(scene.colours[players], scene.post_colours)
    shown = with_posts(present[..., None].expand(-1, -1, NUM_LIMBS), torch.ones(num_posts, dtype=torch.bool))
    split = torch.cat([limb_splits().repeat(num_drawn), torch.full((num_posts,), 0.5)])
    seen = project(crops.projections.float(), ends_mm.flatten(1, 2)).unflatten(1, (-1, 2))
    radii_px = radii_mm * _focal_px(crops.projections)[:, None, None] / seen[..., 2]
    crop, part = shown.nonzero(as_tuple=True)
    drawn = Drawn(
        discs=Discs(
            crop=crop,
            ends_px=seen[..., :2][crop, part],
            radii_px=radii_px[crop, part],
            depth_mm=seen[..., 2][crop, part],
            radii_mm=radii_mm[crop, part],
        ),
        part=part,
        split=split[part],
        colours=colours[crop, part],
        light=scene.lighting.brightness(ends_mm[crop, part, :, :2].mean(dim=1)),
    )
    return _with_near_balls(drawn)


def _with_near_balls(drawn: Drawn) -> Drawn:
    """Add a ball at the nearer end of every capsule that points at the camera.

    The picture of such a capsule is a short axis, and the point of the axis nearest to a pixel may be the far end while
    the near one is what is seen. Where the axis is longer than the larger radius the ends hardly overlap.
    """
    discs = drawn.discs
    axis_px = (discs.ends_px[:, 1] - discs.ends_px[:, 0]).norm(dim=-1)
    short = (axis_px < discs.radii_px.amax(dim=-1)).nonzero()[:, 0]
    nearer = discs.depth_mm[short].argmin(dim=-1)

    def add(values: Tensor) -> Tensor:
        ball = values[short, nearer]
        return torch.cat([values, torch.stack([ball, ball], dim=1)])

    return Drawn(
        discs=Discs(
            crop=torch.cat([discs.crop, discs.crop[short]]),
            ends_px=add(discs.ends_px),
            radii_px=add(discs.radii_px),
            depth_mm=add(discs.depth_mm),
            radii_mm=add(discs.radii_mm),
        ),
        part=torch.cat([drawn.part, drawn.part[short]]),
        split=torch.cat([drawn.split, drawn.split[short]]),
        colours=add(drawn.colours),
        light=torch.cat([drawn.light, drawn.light[short]]),
    )


def _neighbours(
    scene: Scene, shots: Shots, crops: Crops, size_px: tuple[int, int], num_neighbours: int
) -> tuple[Tensor, Tensor]:
    """Choose who is drawn: the target, then the nearest to the camera of those whose boxes overlap the crop."""
    num_players = scene.ground_mm.shape[1]
    boxes = cylinder_box(
        crops.projections[:, None].expand(-1, num_players, 3, 4), scene.ground_mm[shots.frame].double()
    )
    left, top, right, bottom, depth_mm = boxes.unbind(dim=-1)
    height, width = size_px
    overlaps = (right > -0.5) & (left < width - 0.5) & (bottom > -0.5) & (top < height - 0.5) & (depth_mm > 0)
    order = torch.where(overlaps, depth_mm, torch.inf)
    order[torch.arange(order.shape[0]), shots.player] = -torch.inf
    nearest = order.topk(min(1 + num_neighbours, num_players), dim=1, largest=False, sorted=True)
    return nearest.indices, nearest.values < torch.inf


def _focal_px(projections: Float[Tensor, "B 3 4"]) -> Float[Tensor, " B"]:
    """Recover the focal length from `K [R | t]`: the first two rows are focal times an axis plus the third."""
    return torch.linalg.cross(projections[:, 0, :3], projections[:, 2, :3]).norm(dim=-1).float()
