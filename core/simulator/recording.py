"""Who moves how: people of the three splits, from the scene simulator or from clips of the CMU database.

`N` frames of one person each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from core.data.cmu import UNKNOWN_SUBJECT, Clip
from core.simulator.motion import simulate_motion
from core.simulator.streams import stream
from core.simulator.subjects import draw_subjects
from core.typing import Float, Int, Tensor

FPS = 5.0
SPLITS = ("train", "validation", "test")
_TURN = 2 * torch.pi


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSizes:
    """How much a split holds.

    Attributes:
        num_frames: Frames, shared evenly by the subjects.
        num_subjects: People.
    """

    num_frames: int
    num_subjects: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """Frames of one split.

    Attributes:
        body_mm: Joints in Human3.6M's order; the floor is at 0.
        subject: Unique over the splits.
        action: Index into `actions`.
        actions: Names, the same in every split.
    """

    body_mm: Float[Tensor, "N 17 3"]
    subject: Int[Tensor, " N"]
    action: Int[Tensor, " N"]
    actions: tuple[str, ...]


def simulate_recordings(sizes: Sequence[SplitSizes], floor_mm: tuple[float, float], seed: int) -> tuple[Recording, ...]:
    """Let simulated people move; those of a split share the floor and avoid each other, but each is recorded alone."""
    recordings, first = [], 0
    for split, size in zip(SPLITS, sizes, strict=True):
        generator = stream(seed, "motion", split)
        subjects = draw_subjects(size.num_subjects, generator)
        per_subject = -(-size.num_frames // size.num_subjects)
        motion = simulate_motion(subjects, per_subject, fps=FPS, floor_mm=floor_mm, generator=generator)
        subject = torch.arange(first, first + size.num_subjects).repeat_interleave(per_subject)
        recordings.append(
            Recording(
                body_mm=motion.joints_mm.transpose(0, 1).flatten(0, 1)[: size.num_frames],
                subject=subject[: size.num_frames],
                action=torch.zeros(size.num_frames, dtype=torch.int64),
                actions=("moving",),
            )
        )
        first += size.num_subjects
    return tuple(recordings)


def take_recordings(
    clips: Sequence[Clip], sizes: Sequence[SplitSizes], floor_mm: tuple[float, float], seed: int
) -> tuple[Recording, ...]:
    """Take frames of recorded clips; the seed decides who is in which split, and where a person stands and faces.

    A frame is turned about the vertical (all of a clip alike) and its pelvis moved to a place on the floor: recorded
    people walk farther than the cameras see. Nothing else is changed, neither height nor size.

    Raises:
        ValueError: There are too few people.
    """
    known = sorted({clip.subject for clip in clips} - {UNKNOWN_SUBJECT})
    order = [known[at] for at in torch.randperm(len(known), generator=stream(seed, "subjects")).tolist()]
    train, validation, test = sizes
    held_out = test.num_subjects + validation.num_subjects
    candidates = [*order[held_out:], UNKNOWN_SUBJECT]
    if held_out >= len(order) or train.num_subjects > len(candidates):
        raise ValueError(
            f"the clips show {len(known)} known people and one more to train on; they cannot give "
            f"{train.num_subjects}, {validation.num_subjects} and {test.num_subjects} to the splits"
        )
    people = (
        candidates[: train.num_subjects],
        order[test.num_subjects : held_out],
        order[: test.num_subjects],
    )
    actions = tuple(sorted({clip.action for clip in clips}))
    return tuple(
        _take(
            clips,
            who,
            num_frames=size.num_frames,
            actions=actions,
            floor_mm=floor_mm,
            generator=stream(seed, "motion", split),
        )
        for split, who, size in zip(SPLITS, people, sizes, strict=True)
    )


def _take(
    clips: Sequence[Clip],
    people: Sequence[int],
    *,
    num_frames: int,
    actions: tuple[str, ...],
    floor_mm: tuple[float, float],
    generator: torch.Generator,
) -> Recording:
    per_person = -(-num_frames // len(people))
    bodies, subjects, taken = [], [], []
    for person in people:
        own = [_turned(clip, generator) for clip in clips if clip.subject == person]
        frames_mm = torch.cat([clip.joints_mm for clip in own])
        action = torch.cat([torch.full((len(clip.joints_mm),), actions.index(clip.action)) for clip in own])
        rounds = -(-per_person // len(frames_mm))
        chosen = torch.cat([torch.randperm(len(frames_mm), generator=generator) for _ in range(rounds)])[:per_person]
        bodies.append(frames_mm[chosen])
        taken.append(action[chosen])
        subjects.append(torch.full((per_person,), person))
    body_mm = torch.cat(bodies)[:num_frames]
    goal_mm = (torch.rand(num_frames, 2, generator=generator) - 0.5) * torch.tensor(floor_mm)
    shift_mm = torch.cat([goal_mm - body_mm[:, 0, :2], torch.zeros(num_frames, 1)], dim=1)
    return Recording(
        body_mm=body_mm + shift_mm[:, None],
        subject=torch.cat(subjects)[:num_frames],
        action=torch.cat(taken)[:num_frames],
        actions=actions,
    )


def _turned(clip: Clip, generator: torch.Generator) -> Clip:
    angle_rad = _TURN * torch.rand((), generator=generator)
    sin, cos, zero, one = torch.sin(angle_rad), torch.cos(angle_rad), torch.zeros(()), torch.ones(())
    turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one]).view(3, 3)
    return Clip(joints_mm=clip.joints_mm @ turn.T, subject=clip.subject, action=clip.action)
