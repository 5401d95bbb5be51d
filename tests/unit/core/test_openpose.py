from core.openpose import BODY_18, BODY_AND_HANDS, hand_joints


def test_the_body_has_openposes_joints_in_its_order_and_hangs_from_the_neck():
    assert BODY_18.names[:8] == ("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist")
    assert BODY_18.num_joints == 18
    assert BODY_18.names[BODY_18.root] == "Neck"


def test_sixty_joints_are_the_body_then_the_left_then_the_right_hand():
    assert BODY_AND_HANDS.num_joints == 60
    assert BODY_AND_HANDS.names[:18] == BODY_18.names
    assert BODY_AND_HANDS.parents[:18] == BODY_18.parents
    for side in "LR":
        names = BODY_AND_HANDS.names[hand_joints(side)]
        assert len(names) == 21
        assert {name[0] for name in names} == {side}


def test_each_hand_hangs_from_its_own_wrist_and_each_finger_from_the_palm():
    for side in "LR":
        palm = BODY_AND_HANDS.index(f"{side}Palm")
        assert BODY_AND_HANDS.parents[palm] == BODY_AND_HANDS.index(f"{side}Wrist")
        assert sum(parent == palm for parent in BODY_AND_HANDS.parents) == 5


def test_a_mirror_image_exchanges_every_joint_but_nose_and_neck():
    for skeleton in (BODY_18, BODY_AND_HANDS):
        still = [skeleton.names[joint] for joint, other in enumerate(skeleton.mirror) if joint == other]
        assert still == ["Nose", "Neck"]
        for joint, other in enumerate(skeleton.mirror):
            assert skeleton.names[joint][1:] == skeleton.names[other][1:] or joint == other
