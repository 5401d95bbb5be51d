"""The colour of every pixel: capsules lit by their normals, the hall behind them, the camera's gain and noise.

`B` crops, `R` pixels of one kind, over all crops.
"""

import torch

from core.simulator.crops import Crops
from core.simulator.draw import Drawn
from core.simulator.raster import NOTHING, ZBuffer, locate
from core.simulator.room import look
from core.simulator.scene import Scene
from core.typing import Bool, Float, Int, Tensor, UInt8

NOISE = 0.015
"""Standard deviation of the sensor, of the linear range."""
EXPOSURE = 1.25


def shade(
    scene: Scene, drawn: Drawn, zbuffer: ZBuffer, crops: Crops, view: Int[Tensor, " B"]
) -> Float[Tensor, "B H W 3"]:
    """Give the linear light that each pixel receives, black beyond the frame of the camera's picture."""
    num_crops, height, width = zbuffer.owner.shape
    owner = zbuffer.owner.flatten()
    hit, missed = (owner != NOTHING).nonzero()[:, 0], (owner == NOTHING).nonzero()[:, 0]
    light = torch.empty(owner.shape[0], 3)
    light[hit] = _capsules(scene, drawn, crops, owner[hit], torch.stack([hit % width, hit // width % height]))
    light[missed] = _hall(scene, crops, missed // (height * width), missed % width, missed // width % height)
    light = light.view(num_crops, height, width, 3) * scene.lighting.gain[view][:, None, None]
    return light * _in_frame(crops, scene.image_size_px, height, width)[..., None]


def expose(light: Float[Tensor, "B H W 3"], generator: torch.Generator) -> UInt8[Tensor, "B 3 H W"]:
    """Turn light into bytes: sensor noise, clipping, a gamma of 2."""
    noisy = light + NOISE * torch.randn(light.shape, generator=generator)
    return (noisy.clamp(0, 1).sqrt() * 255).round().to(torch.uint8).permute(0, 3, 1, 2)


def _capsules(scene: Scene, drawn: Drawn, crops: Crops, owner: Tensor, pixel: Tensor) -> Float[Tensor, "R 3"]:
    """Light the capsules: ambient, one main light, and more where the surface faces the camera."""
    surface = locate(drawn.discs, owner, *pixel)
    towards_camera = (1 - (surface.offset**2).sum(dim=-1)).clamp(min=0).sqrt()
    main = (_rotations(crops.projections) @ scene.lighting.towards)[drawn.discs.crop[owner]]
    facing = (surface.offset * main[:, :2]).sum(dim=-1) - towards_camera * main[:, 2]
    ambient = scene.lighting.ambient
    brightness = ambient * (0.55 + 0.45 * towards_camera) + (1 - ambient) * facing.clamp(min=0)
    second = (surface.along > drawn.split[owner]).long()
    return drawn.colours[owner, second] * (EXPOSURE * brightness * drawn.light[owner])[:, None]


def _hall(scene: Scene, crops: Crops, crop: Tensor, x_px: Tensor, y_px: Tensor) -> Float[Tensor, "R 3"]:
    """Cast the rays of pixels that no capsule covers into the hall."""
    unproject = torch.linalg.inv(crops.projections[:, :, :3])
    centre_mm = -(unproject @ crops.projections[:, :, 3:])[..., 0].float()
    columns = unproject.float()[crop].unbind(dim=-1)
    direction = columns[0] * x_px[:, None] + columns[1] * y_px[:, None] + columns[2]
    backdrop = look(scene.room, centre_mm[crop], direction)
    return backdrop.colour * scene.lighting.brightness(backdrop.place_mm)[:, None]


def _rotations(projections: Float[Tensor, "B 3 4"]) -> Float[Tensor, "B 3 3"]:
    """Recover the world-to-camera rotations from `K [R | t]` of cameras without skew."""
    forward = projections[:, 2, :3]
    down = torch.nn.functional.normalize(torch.linalg.cross(forward, projections[:, 0, :3]), dim=-1)
    return torch.stack([torch.linalg.cross(down, forward), down, forward], dim=1).float()


def _in_frame(crops: Crops, image_size_px: tuple[int, int], height: int, width: int) -> Bool[Tensor, "B H W"]:
    """Mark crop pixels whose centres lie in the camera's picture."""
    scale, shift = crops.image_to_crop[:, 0, 0, None], crops.image_to_crop[:, :2, 2, None]
    x, y = (torch.arange(width) - shift[:, 0]) / scale, (torch.arange(height) - shift[:, 1]) / scale
    wide, tall = image_size_px
    in_x, in_y = (x > -0.5) & (x < wide - 0.5), (y > -0.5) & (y < tall - 0.5)
    return in_y[:, :, None] & in_x[:, None, :]
