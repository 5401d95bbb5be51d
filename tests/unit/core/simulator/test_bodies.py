import pytest
import torch

from core.geometry.camera import Camera
from core.openpose import BODY_18, HAND_NAMES
from core.simulator.detector_fitted import FITTED
from core.simulator.detector_model import GROUPS, body_length_mm, group_of
from core.simulator.hands import add_hands
from core.simulator.motion import simulate_motion
from core.simulator.occlusion import body_capsules, focal_lengths_px, hidden_by
from core.simulator.openpose_body import openpose_body
from core.simulator.subjects import draw_subjects
from core.skeleton import HUMAN36M


def standing() -> torch.Tensor:
    """A body that faces +x, arms down, in Human3.6M's joints."""
    places = {
        "Hip": (0, 0, 950), "RHip": (0, -130, 950), "RKnee": (0, -130, 500), "RAnkle": (0, -130, 80),
        "LHip": (0, 130, 950), "LKnee": (0, 130, 500), "LAnkle": (0, 130, 80), "Spine": (0, 0, 1200),
        "Thorax": (0, 0, 1450), "Neck": (0, 0, 1560), "Head": (0, 0, 1760),
        "LShoulder": (0, 190, 1430), "LElbow": (0, 230, 1150), "LWrist": (20, 240, 900),
        "RShoulder": (0, -190, 1430), "RElbow": (0, -230, 1150), "RWrist": (20, -240, 900),
    }  # fmt: skip
    return torch.tensor([places[name] for name in HUMAN36M.names], dtype=torch.float32)


def hidden_names(eye_mm) -> set[str]:
    camera = Camera.look_at(eye_mm, (0.0, 0.0, 1000.0), focal_px=1000.0, size_px=(1000, 1000))
    body = standing()[None]
    hidden = hidden_by(body_capsules(body), openpose_body(body), camera.projection.float()[None])[0, 0]
    return {name for name, is_hidden in zip(BODY_18.names, hidden.tolist(), strict=True) if is_hidden}


def moving(num_frames: int = 60) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    subjects = draw_subjects(2, generator)
    motion = simulate_motion(subjects, num_frames, fps=5.0, floor_mm=(2000.0, 2000.0), generator=generator)
    return motion.joints_mm.transpose(0, 1)


def test_limbs_stay_where_they_are_and_the_neck_is_between_the_shoulders():
    body = standing()
    placed = openpose_body(body)
    for name in ("RElbow", "LAnkle", "RHip", "LWrist"):
        assert torch.equal(placed[BODY_18.index(name)], body[HUMAN36M.index(name)])
    assert placed[BODY_18.index("Neck")].tolist() == [0, 0, 1430]


def test_the_face_looks_forward_with_its_left_side_on_the_left():
    placed = {name: place.tolist() for name, place in zip(BODY_18.names, openpose_body(standing()), strict=True)}
    assert placed["Nose"][0] > placed["LEye"][0] > placed["LEar"][0]
    assert placed["LEar"][1] > placed["LEye"][1] > 0 > placed["REye"][1] > placed["REar"][1]
    assert placed["LEye"][2] > placed["Nose"][2] > 1560


def test_the_head_keeps_its_shape_when_the_body_moves():
    placed = openpose_body(moving().flatten(0, 1))
    ears, nose = placed[:, [BODY_18.index("REar"), BODY_18.index("LEar")]], placed[:, BODY_18.index("Nose")]
    distances = (ears - nose[:, None]).norm(dim=-1)
    torch.testing.assert_close(distances[:, 0], distances[:, 1], rtol=1e-4, atol=0.01)


def test_from_the_front_nothing_is_hidden():
    assert hidden_names((4000.0, 0.0, 1200.0)) == set()


def test_from_behind_nose_and_eyes_are_hidden():
    assert hidden_names((-4000.0, 0.0, 1200.0)) >= {"Nose", "REye", "LEye"}
    assert not hidden_names((-4000.0, 0.0, 1200.0)) & {"LShoulder", "RElbow", "LKnee", "RAnkle"}


def test_from_the_left_the_right_side_is_hidden():
    hidden = hidden_names((0.0, 4000.0, 1400.0))
    assert hidden >= {"REar", "RShoulder", "RHip", "RElbow"}
    assert {name for name in hidden if name.startswith("L")} <= {"LHip"}, "the hip is behind its own hand"


def test_the_focal_length_is_read_off_the_projection():
    camera = Camera.look_at((1000.0, 2000.0, 500.0), (0.0, 0.0, 0.0), focal_px=1234.0, size_px=(800, 600))
    assert float(focal_lengths_px(camera.projection[None])) == pytest.approx(1234.0)


def test_hands_begin_at_the_wrists_and_keep_their_lengths():
    body = moving()[0]
    hands = add_hands(body, fps=5.0, generator=torch.Generator().manual_seed(0))
    for start, side in ((0, "L"), (21, "R")):
        torch.testing.assert_close(hands[:, start], body[:, HUMAN36M.index(f"{side}Wrist")])
        hand = hands[:, start : start + 21]
        for joint, name in enumerate(HAND_NAMES):
            if joint and not name.endswith("1"):
                lengths = (hand[:, joint] - hand[:, joint - 1]).norm(dim=-1)
                assert 10 < lengths.min() <= lengths.max() < 70
                assert lengths.std() < 0.05
        assert 120 < (hand[:, HAND_NAMES.index("Middle1")] - hand[:, 0]).norm(dim=-1).mean() * 2 < 260


def test_fingers_bend():
    hands = add_hands(moving()[0], fps=5.0, generator=torch.Generator().manual_seed(0))
    reach = (hands[:, HAND_NAMES.index("Index4")] - hands[:, 0]).norm(dim=-1)
    assert reach.std() > 5


def test_hands_of_frames_on_their_own_need_no_rate():
    body = moving(10)[0]
    hands = add_hands(body, fps=0.0, generator=torch.Generator().manual_seed(0))
    assert hands.shape == (10, 42, 3)
    assert hands.isfinite().all()


def test_the_body_length_is_trunk_thigh_and_shin():
    assert float(body_length_mm(standing())) == pytest.approx(480 + 450 + 420)


@pytest.mark.parametrize(
    ("name", "names", "group"),
    [
        ("REar", BODY_18.names, "face"),
        ("Neck", BODY_18.names, "shoulder"),
        ("Neck", HUMAN36M.names, "face"),
        ("Hip", HUMAN36M.names, "hip"),
        ("LAnkle", HUMAN36M.names, "ankle"),
        ("RIndex3", ("RIndex3",), "hand"),
    ],
)
def test_joints_belong_to_groups(name, names, group):
    assert group_of(name, names) == group
    assert group in GROUPS


def test_biases_are_mirror_images():
    biases = FITTED.biases(BODY_18.names)
    mirrored = biases[list(BODY_18.mirror)] * torch.tensor([1.0, -1.0, 1.0])
    torch.testing.assert_close(biases, mirrored)
    assert biases[BODY_18.index("Neck"), 1] == 0
    assert biases[BODY_18.index("LHip"), 2] > 1
