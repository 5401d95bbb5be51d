"""The simulated SportCenter: how large the court and its splits are, and the scene that a seed makes of it."""

from dataclasses import dataclass

import torch

from core.geometry.rig import Rig, court_rig
from core.simulator.draw import Shots
from core.simulator.motion import simulate_motion
from core.simulator.outfits import draw_team_outfits
from core.simulator.scene import Scene, assemble_scene
from core.simulator.subjects import draw_subjects
from core.typing import Int, Tensor

NUM_CAMERAS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CourtConfig:
    """One simulated recording and its splits; a set is one player in one frame, seen by all cameras.

    Args:
        crop_height_px: Height of a crop.
        crop_width_px: Width of a crop.
        cameras: Which of the eight views are used; 0 to 5 stand at the sides, 6 and 7 hang from the roof.
        num_train_players: Players of the labelled and the unlabelled split.
        num_validation_players: Players of the validation split alone.
        num_test_players: Players of the test split alone.
        num_labelled: Sets with 3D truth to train on.
        num_unlabelled: Sets without, of the same players in other frames.
        num_validation: Sets to choose settings on.
        num_test: Sets to report on.
        num_frames: Length of the recording.
        fps: Frames in a second.
        floor_mm: Size of the floor on which the players move.
        num_posts: Posts around the floor.
        num_neighbours: At most so many other players are drawn in a crop.
    """

    crop_height_px: int = 64
    crop_width_px: int = 48
    cameras: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    num_train_players: int = 8
    num_validation_players: int = 2
    num_test_players: int = 2
    num_labelled: int = 16
    num_unlabelled: int = 400
    num_validation: int = 60
    num_test: int = 120
    num_frames: int = 400
    fps: float = 4.0
    floor_mm: tuple[float, float] = (9000.0, 6400.0)
    num_posts: int = 4
    num_neighbours: int = 4

    def __post_init__(self) -> None:
        distinct = set(self.cameras)
        if not distinct or len(distinct) < len(self.cameras) or not distinct <= set(range(NUM_CAMERAS)):
            raise ValueError(f"cameras must be distinct views from 0 to {NUM_CAMERAS - 1}, got {self.cameras}")
        other_frames = self.num_frames - self.num_labelled
        for name, wanted, there in (
            ("num_labelled", self.num_labelled, self.num_frames),
            ("num_unlabelled", self.num_unlabelled, other_frames * self.num_train_players),
            ("num_validation", self.num_validation, self.num_frames * self.num_validation_players),
            ("num_test", self.num_test, self.num_frames * self.num_test_players),
        ):
            if not 0 < wanted <= there:
                raise ValueError(f"{name} must be 1 to {there} with {self.num_frames} frames, got {wanted}")

    @property
    def num_players(self) -> int:
        """All players on the floor."""
        return self.num_train_players + self.num_validation_players + self.num_test_players


@dataclass(frozen=True, slots=True, kw_only=True)
class Sets:
    """Which player in which frame makes each set of a split."""

    frame: Int[Tensor, " N"]
    player: Int[Tensor, " N"]

    def shots(self, num_views: int) -> Shots:
        """Give one shot for each set and view, the views of a set together."""
        return Shots(
            frame=self.frame.repeat_interleave(num_views),
            player=self.player.repeat_interleave(num_views),
            view=torch.arange(num_views).repeat(self.frame.shape[0]),
        )


def make_court(config: CourtConfig, generator: torch.Generator) -> Scene:
    """Make the recording of one seed: its own rig, subjects, motion, outfits, hall and light."""
    rig = court_rig(generator)
    rig = Rig(names=tuple(rig.names[view] for view in config.cameras), cameras=tuple(rig[v] for v in config.cameras))
    subjects = draw_subjects(config.num_players, generator)
    motion = simulate_motion(subjects, config.num_frames, fps=config.fps, floor_mm=config.floor_mm, generator=generator)
    colours = draw_team_outfits(config.num_players, generator)
    return assemble_scene(
        motion, subjects, colours, rig, num_posts=config.num_posts, floor_mm=config.floor_mm, generator=generator
    )


def draw_splits(config: CourtConfig, generator: torch.Generator) -> dict[str, Sets]:
    """Draw the sets of each split: no player in two of train, validation and test, no frame in both train splits."""
    frames = torch.randperm(config.num_frames, generator=generator)
    labelled, others = frames[: config.num_labelled], frames[config.num_labelled :]
    player = torch.randint(0, config.num_train_players, (config.num_labelled,), generator=generator)
    first_test = config.num_train_players + config.num_validation_players
    train = torch.arange(config.num_train_players)
    validation = torch.arange(config.num_train_players, first_test)
    test = torch.arange(first_test, config.num_players)
    return {
        "labelled": Sets(frame=labelled, player=player),
        "unlabelled": _pairs(others, train, config.num_unlabelled, generator),
        "validation": _pairs(frames, validation, config.num_validation, generator),
        "test": _pairs(frames, test, config.num_test, generator),
    }


def _pairs(frames: Tensor, players: Tensor, count: int, generator: torch.Generator) -> Sets:
    chosen = torch.randperm(frames.shape[0] * players.shape[0], generator=generator)[:count]
    return Sets(frame=frames[chosen // players.shape[0]], player=players[chosen % players.shape[0]])
