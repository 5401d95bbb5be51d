"""The court's crops on disk: rendered once, shared by memory map.

`N` sets (one player in one frame), `V` views.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from core.simulator import arrays
from core.simulator.court import CourtConfig, Sets, draw_splits, make_court
from core.simulator.render import Truth, render_into
from core.simulator.scene import Scene
from core.typing import Bool, Float, Int, Tensor, UInt8

VERSION = 2
"""To be raised with every change of what is rendered: part of the content key."""
SPLITS = ("labelled", "unlabelled", "validation", "test")
Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CourtSplit:
    """Some sets of crops and the truth about them.

    Args:
        images: Red, green, blue.
        projections: From world millimetres to crop pixels, float64.
        joints_mm: World positions in Human3.6M order.
        joints_px: In crop pixels; may lie outside the crop.
        visible: Whether the player's own limb at the joint is what the camera sees there.
        inside: Whether the view is whole: the player's box lies in the camera's picture.
        subject: Which player.
        frame: Which frame of the recording.
        root_depth_mm: Depth of the pelvis.
    """

    images: UInt8[Tensor, "N V 3 H W"]
    projections: Float[Tensor, "N V 3 4"]
    joints_mm: Float[Tensor, "N 17 3"]
    joints_px: Float[Tensor, "N V 17 2"]
    visible: Bool[Tensor, "N V 17"]
    inside: Bool[Tensor, "N V"]
    subject: Int[Tensor, " N"]
    frame: Int[Tensor, " N"]
    root_depth_mm: Float[Tensor, "N V"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """All splits of one recording, and the facts that were counted when it was rendered."""

    labelled: CourtSplit
    unlabelled: CourtSplit
    validation: CourtSplit
    test: CourtSplit
    facts: dict[str, float]


def render_court(config: CourtConfig, seed: int, folder: Path, progress: Progress | None = None) -> dict[str, float]:
    """Render all splits of one seed into `folder`; does nothing where the same content is there already.

    Args:
        config: Sizes of court and splits.
        seed: Another one gives another rig, other subjects, motion, outfits and light.
        folder: Where the crops go; complete or absent at any time.
        progress: Called after each split with its number and its facts.

    Returns:
        `num_crops`, `fraction_hidden` (joints that are not the front surface), `fraction_hidden_by_others` (behind
        another player or a post) and `fraction_clipped` (views whose box leaves the picture).
    """

    def fill(draft: Path) -> dict[str, float]:
        generator = torch.Generator().manual_seed(seed)
        scene = make_court(config, generator)
        truths = []
        for number, (name, sets) in enumerate(draw_splits(config, generator).items(), start=1):
            truths.append(_render_split(scene, sets, config, draft / name, generator))
            if progress is not None:
                progress(number, count_facts(truths[-1:]))
        return count_facts(truths)

    content = {"what": "court", "version": VERSION, "seed": seed, "config": asdict(config)}
    return arrays.publish(folder, content, fill)


def count_facts(truths: list[Truth]) -> dict[str, float]:
    """Count over all crops; the fractions of joints are over views that are whole."""
    inside = torch.cat([truth.inside for truth in truths])
    visible = torch.cat([truth.visible for truth in truths])[inside]
    others = torch.cat([truth.hidden_by_others for truth in truths])[inside]
    return {
        "num_crops": float(inside.shape[0]),
        "fraction_clipped": (~inside).double().mean().item(),
        "fraction_hidden": (~visible).double().mean().item(),
        "fraction_hidden_by_others": others.double().mean().item(),
    }


def _render_split(scene: Scene, sets: Sets, config: CourtConfig, folder: Path, generator: torch.Generator) -> Truth:
    num_sets, num_views = sets.frame.shape[0], len(config.cameras)
    shape = (num_sets, num_views, 3, config.crop_height_px, config.crop_width_px)
    images = arrays.create_bytes(folder / "images.npy", shape).flatten(0, 1)
    shots = sets.shots(num_views)
    truth = render_into(images, scene, shots, num_neighbours=config.num_neighbours, generator=generator)

    def by_set(values: Tensor) -> Tensor:
        return values.unflatten(0, (num_sets, num_views))

    for name, values in {
        "projections": by_set(truth.projections),
        "joints_mm": scene.joints_mm[sets.frame, sets.player],
        "joints_px": by_set(truth.joints_px).float(),
        "visible": by_set(truth.visible),
        "inside": by_set(truth.inside),
        "subject": sets.player,
        "frame": sets.frame,
        "root_depth_mm": by_set(truth.root_depth_mm).float(),
    }.items():
        arrays.save(folder / f"{name}.npy", values)
    return truth


def open_court(folder: Path) -> Court:
    """Map a rendered court into memory.

    Raises:
        FileNotFoundError: Nothing was rendered into `folder`.
    """
    facts = arrays.read_manifest(folder)["facts"]
    labelled, unlabelled, validation, test = (_open_split(folder / name) for name in SPLITS)
    return Court(labelled=labelled, unlabelled=unlabelled, validation=validation, test=test, facts=facts)


def _open_split(folder: Path) -> CourtSplit:
    return CourtSplit(**{name: arrays.load(folder / f"{name}.npy") for name in CourtSplit.__dataclass_fields__})
