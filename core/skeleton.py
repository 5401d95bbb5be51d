"""Skeletons: which joints there are, in which order, and which bone hangs from which."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Skeleton:
    """Names and tree of the joints of a pose.

    Attributes:
        names: Joints in the order of the `J` axis.
        parents: Index of each joint's parent; -1 at the root.
        left_right: Pairs (left, right) of joints that change places in a mirror image.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    left_right: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names) or len(self.parents) != len(self.names):
            raise ValueError(f"a skeleton needs distinct names and one parent each, got {self.names}, {self.parents}")
        if self.parents.count(-1) != 1:
            raise ValueError(f"a skeleton has one root (parent -1), got parents {self.parents}")
        if not all(-1 <= parent < len(self.names) for parent in self.parents):
            raise ValueError(f"a skeleton's parents must be joints 0 to {len(self.names) - 1}, got {self.parents}")
        for joint in range(len(self.names)):
            self._depth(joint)

    def _depth(self, joint: int) -> int:
        depth = 0
        while joint != -1:
            if depth > len(self.names):
                raise ValueError(f"the skeleton's parents have a cycle: {self.parents}")
            joint, depth = self.parents[joint], depth + 1
        return depth

    @property
    def num_joints(self) -> int:
        """Length of the `J` axis."""
        return len(self.names)

    @property
    def root(self) -> int:
        """Index of the joint without a parent."""
        return self.parents.index(-1)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs (parent, child), in the order of the children."""
        return tuple((parent, child) for child, parent in enumerate(self.parents) if parent != -1)

    @property
    def top_down(self) -> tuple[int, ...]:
        """Joints in an order in which every parent precedes its children."""
        return tuple(sorted(range(self.num_joints), key=self._depth))

    @property
    def mirror(self) -> tuple[int, ...]:
        """Permutation of the joints that exchanges left and right."""
        order = list(range(self.num_joints))
        for left, right in self.left_right:
            order[left], order[right] = right, left
        return tuple(order)

    def index(self, name: str) -> int:
        """Index of the named joint.

        Raises:
            ValueError: There is no such joint.
        """
        if name not in self.names:
            raise ValueError(f"no joint named {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name)


def _from_chains(names: str, chains: tuple[str, ...], pairs: str) -> Skeleton:
    """Build a skeleton from chains of names, each read from its first joint outwards."""
    joints = tuple(names.split())
    parents = [-1] * len(joints)
    for chain in chains:
        for parent, child in pairwise(chain.split()):
            parents[joints.index(child)] = joints.index(parent)
    left_right = tuple((joints.index(f"L{name}"), joints.index(f"R{name}")) for name in pairs.split())
    return Skeleton(names=joints, parents=tuple(parents), left_right=left_right)


HUMAN36M = _from_chains(
    "Hip RHip RKnee RAnkle LHip LKnee LAnkle Spine Thorax Neck Head LShoulder LElbow LWrist RShoulder RElbow RWrist",
    (
        "Hip RHip RKnee RAnkle",
        "Hip LHip LKnee LAnkle",
        "Hip Spine Thorax Neck Head",
        "Thorax LShoulder LElbow LWrist",
        "Thorax RShoulder RElbow RWrist",
    ),
    "Hip Knee Ankle Shoulder Elbow Wrist",
)
"""The 17 joints in which Human3.6M is reported; the root is the pelvis."""

SHELF = _from_chains(
    "RAnkle RKnee RHip LHip LKnee LAnkle RWrist RElbow RShoulder LShoulder LElbow LWrist BottomHead TopHead Pelvis",
    (
        "Pelvis RHip RKnee RAnkle",
        "Pelvis LHip LKnee LAnkle",
        "Pelvis BottomHead TopHead",
        "BottomHead RShoulder RElbow RWrist",
        "BottomHead LShoulder LElbow LWrist",
    ),
    "Hip Knee Ankle Shoulder Elbow Wrist",
)
"""The 15 joints of the Shelf and Campus evaluation; the pelvis, midway between the hips, comes last."""
