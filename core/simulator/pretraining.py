"""The other synthetic domain, on which the detector is pre-trained: random rigs, random outfits, few players.

The paper starts from a detector trained on public pictures (AlphaPose on CrowdPose); these crops take their place.
`N` crops.
"""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from core.geometry.camera import Camera
from core.geometry.rig import Rig
from core.simulator import arrays
from core.simulator.dataset import VERSION, Progress, count_facts
from core.simulator.draw import Shots
from core.simulator.motion import simulate_motion
from core.simulator.outfits import draw_random_outfits
from core.simulator.render import Truth, render_into
from core.simulator.scene import Scene, assemble_scene
from core.simulator.subjects import draw_subjects
from core.typing import Bool, Float, Tensor, UInt8

FLOOR_MM = (6500.0, 5000.0)
FPS = 4.0
FRAME_STEP = 5
"""Frames between two that are rendered, so that poses differ."""
IMAGE_SIZE_PX = (1920, 1080)
NUM_POSTS = 4
NUM_NEIGHBOURS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingConfig:
    """How many crops, of how many halls.

    Args:
        num_crops: Crops in all.
        num_scenes: Halls, each with its own rig, players, outfits and light.
        num_players: Players in each hall.
        num_views: Cameras in each hall.
        seed: One domain for all replicates of a study, so no task's seed enters here.
    """

    num_crops: int = 23_000
    num_scenes: int = 60
    num_players: int = 6
    num_views: int = 8
    seed: int = 20220

    def __post_init__(self) -> None:
        if not 0 < self.num_scenes <= self.num_crops:
            raise ValueError(f"num_scenes must be 1 to num_crops={self.num_crops}, got {self.num_scenes}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingDomain:
    """What decides the pre-training crops: their number and the size that the court's crops have too."""

    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    crop_height_px: int = 64
    crop_width_px: int = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingSet:
    """Crops with 2D truth.

    Args:
        images: Red, green, blue.
        joints_px: In crop pixels, Human3.6M order; may lie outside the crop.
        visible: Whether the player's own limb at the joint is what the camera sees there.
    """

    images: UInt8[Tensor, "N 3 H W"]
    joints_px: Float[Tensor, "N 17 2"]
    visible: Bool[Tensor, "N 17"]


def render_pretraining(domain: PretrainingDomain, folder: Path, progress: Progress | None = None) -> dict[str, float]:
    """Render the domain into `folder`; does nothing where the same content is there already.

    Args:
        domain: Number and size of the crops.
        folder: Where the crops go; complete or absent at any time.
        progress: Called after each hall with its number and its facts.

    Returns:
        The same facts as `render_court`.
    """
    config = domain.pretraining

    def fill(draft: Path) -> dict[str, float]:
        shape = (config.num_crops, 3, domain.crop_height_px, domain.crop_width_px)
        images = arrays.create_bytes(draft / "images.npy", shape)
        truths = []
        for number, part in enumerate(images.tensor_split(config.num_scenes), start=1):
            generator = torch.Generator().manual_seed(config.seed * 100_003 + number)
            truths.append(_render_hall(part, config, generator))
            if progress is not None:
                progress(number, count_facts(truths[-1:]))
        arrays.save(draft / "joints_px.npy", torch.cat([truth.joints_px for truth in truths]).float())
        arrays.save(draft / "visible.npy", torch.cat([truth.visible for truth in truths]))
        return count_facts(truths)

    content = {"what": "pretraining", "version": VERSION, "domain": asdict(domain)}
    return arrays.publish(folder, content, fill)


def open_pretraining(folder: Path) -> PretrainingSet:
    """Map rendered crops into memory.

    Raises:
        FileNotFoundError: Nothing was rendered into `folder`.
    """
    arrays.read_manifest(folder)
    names = PretrainingSet.__dataclass_fields__
    return PretrainingSet(**{name: arrays.load(folder / f"{name}.npy") for name in names})


def _render_hall(images: UInt8[Tensor, "N 3 H W"], config: PretrainingConfig, generator: torch.Generator) -> Truth:
    """Make one hall and take as many crops of it as `images` holds, of all players and views in turn."""
    num_crops, per_frame = images.shape[0], config.num_players * config.num_views
    num_frames = math.ceil(num_crops / per_frame)
    scene = _make_hall(config, num_frames * FRAME_STEP, generator)
    shot = torch.randperm(num_frames * per_frame, generator=generator)[:num_crops]
    shots = Shots(
        frame=shot // per_frame * FRAME_STEP,
        player=shot % per_frame // config.num_views,
        view=shot % config.num_views,
    )
    return render_into(images, scene, shots, num_neighbours=NUM_NEIGHBOURS, generator=generator)


def _make_hall(config: PretrainingConfig, num_frames: int, generator: torch.Generator) -> Scene:
    rig = random_rig(config.num_views, generator)
    subjects = draw_subjects(config.num_players, generator)
    motion = simulate_motion(subjects, num_frames, fps=FPS, floor_mm=FLOOR_MM, generator=generator)
    colours = draw_random_outfits(config.num_players, generator)
    return assemble_scene(motion, subjects, colours, rig, num_posts=NUM_POSTS, floor_mm=FLOOR_MM, generator=generator)


def random_rig(num_views: int, generator: torch.Generator) -> Rig:
    """Draw cameras all around, 6 to 12 m from the middle and 1.5 to 9 m high, each with its own focal length."""
    share = torch.rand(num_views, 4, generator=generator)
    turn = 2 * torch.pi * share[:, 0]
    away_mm, height_mm = 6000 + 6000 * share[:, 1], 1500 + 7500 * share[:, 2] ** 1.5
    focal_px = 900 + 500 * share[:, 3]
    eye_mm = torch.stack([away_mm * turn.cos(), away_mm * turn.sin(), height_mm], dim=-1)
    cameras = tuple(
        Camera.look_at(eye, (0.0, 0.0, 900.0), focal_px=focal, size_px=IMAGE_SIZE_PX)
        for eye, focal in zip(eye_mm.tolist(), focal_px.tolist(), strict=True)
    )
    return Rig(names=tuple(f"random_{view}" for view in range(num_views)), cameras=cameras)
