"""OpenPose's skeletons: the 18 joints of its COCO body model, and these with the 21 of each hand.

Cao et al., "OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields", TPAMI 2019; Simon et al.,
"Hand Keypoint Detection in Single Images using Multiview Bootstrapping", CVPR 2017.
"""

from itertools import pairwise

from core.skeleton import Skeleton

BODY_NAMES = tuple(
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist RHip RKnee RAnkle LHip LKnee LAnkle "
    "REye LEye REar LEar".split()
)
FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")
HAND_NAMES = ("Palm", *(f"{finger}{joint}" for finger in FINGERS for joint in range(1, 5)))
"""Of one hand: its base at the wrist, then four joints of each finger from the palm to the tip."""

NUM_BODY_JOINTS, NUM_HAND_JOINTS = len(BODY_NAMES), len(HAND_NAMES)
_BODY_CHAINS = (
    *(f"Neck {side}Shoulder {side}Elbow {side}Wrist" for side in "RL"),
    *(f"Neck {side}Hip {side}Knee {side}Ankle" for side in "RL"),
    *(f"Neck Nose {side}Eye {side}Ear" for side in "RL"),
)
_HAND_CHAINS = tuple(
    " ".join((f"{side}Wrist", f"{side}Palm", *(f"{side}{finger}{joint}" for joint in range(1, 5))))
    for side in "LR"
    for finger in FINGERS
)


def _skeleton(names: tuple[str, ...], chains: tuple[str, ...]) -> Skeleton:
    parents = [-1] * len(names)
    for chain in chains:
        for parent, child in pairwise(chain.split()):
            parents[names.index(child)] = names.index(parent)
    left = [name for name in names if name.startswith("L")]
    left_right = tuple((names.index(name), names.index(f"R{name[1:]}")) for name in left)
    return Skeleton(names=names, parents=tuple(parents), left_right=left_right)


BODY_18 = _skeleton(BODY_NAMES, _BODY_CHAINS)
"""The 18 joints of OpenPose's COCO body; the root is the neck, midway between the shoulders."""

BODY_AND_HANDS = _skeleton(
    (*BODY_NAMES, *(f"{side}{name}" for side in "LR" for name in HAND_NAMES)), (*_BODY_CHAINS, *_HAND_CHAINS)
)
"""60 joints: the body, then 21 of the left hand, then 21 of the right; each hand's base hangs from its wrist."""


def hand_joints(side: str) -> slice:
    """Where one hand's joints lie among those of `BODY_AND_HANDS`; `side` is "L" or "R"."""
    start = NUM_BODY_JOINTS + NUM_HAND_JOINTS * "LR".index(side)
    return slice(start, start + NUM_HAND_JOINTS)
