"""Skeletons: the published ones, and what is refused."""

import pytest

from core.skeleton import HUMAN36M, SHELF, Skeleton


@pytest.mark.parametrize(("skeleton", "num_joints", "root"), [(HUMAN36M, 17, "Hip"), (SHELF, 15, "Pelvis")])
def test_published_skeletons_are_whole(skeleton, num_joints, root):
    assert skeleton.num_joints == num_joints
    assert skeleton.names[skeleton.root] == root
    assert len(skeleton.bones) == num_joints - 1
    seen = set()
    for joint in skeleton.top_down:
        assert skeleton.parents[joint] in seen | {-1}
        seen.add(joint)
    assert len(seen) == num_joints


@pytest.mark.parametrize("skeleton", [HUMAN36M, SHELF])
def test_a_mirror_image_exchanges_left_and_right_and_keeps_the_bones(skeleton):
    mirror = skeleton.mirror
    assert tuple(mirror[joint] for joint in mirror) == tuple(range(skeleton.num_joints))
    for joint, other in enumerate(mirror):
        assert skeleton.names[joint][1:] == skeleton.names[other][1:]
        parent = skeleton.parents[joint]
        assert skeleton.parents[other] == (mirror[parent] if parent >= 0 else -1)
    assert sum(joint != other for joint, other in enumerate(mirror)) == 12


def test_joints_are_found_by_name():
    assert HUMAN36M.index("LWrist") == 13
    with pytest.raises(ValueError, match="no joint named 'Tail'; there are Hip, RHip"):
        HUMAN36M.index("Tail")


@pytest.mark.parametrize(
    ("names", "parents", "text"),
    [
        (("a", "a"), (-1, 0), "distinct names"),
        (("a", "b"), (-1,), "one parent each"),
        (("a", "b"), (-1, -1), "one root"),
        (("a", "b", "c"), (-1, 2, 1), "cycle"),
        (("a", "b"), (-1, 7), "parents must be joints"),
    ],
)
def test_what_is_no_tree_is_refused(names, parents, text):
    with pytest.raises(ValueError, match=text):
        Skeleton(names=names, parents=parents, left_right=())
