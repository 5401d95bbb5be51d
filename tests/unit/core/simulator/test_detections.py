from dataclasses import replace

import pytest
import torch

from core.geometry.camera import Camera
from core.geometry.rig import Rig, projections
from core.geometry.triangulation import triangulate_dlt
from core.openpose import BODY_18, BODY_AND_HANDS
from core.simulator.detections import Chance, DetectorNoise, detect, draw_chance
from core.simulator.detector_fitted import FITTED
from core.simulator.detector_model import body_length_mm
from core.simulator.hands import add_hands
from core.simulator.motion import simulate_motion
from core.simulator.observed import Scene
from core.simulator.openpose_body import openpose_body
from core.simulator.subjects import draw_subjects
from core.skeleton import HUMAN36M

NUM_FRAMES = 1200
OFF = DetectorNoise(spread=0.0, outliers=0.0, missing=0.0, swaps=0.0, common=0.0, bias=0.0)
SIZE_PX = (4000, 4000)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """People before three cameras whose images are large enough for all of them."""
    generator = torch.Generator().manual_seed(0)
    subjects = draw_subjects(4, generator)
    motion = simulate_motion(subjects, NUM_FRAMES // 4, fps=5.0, floor_mm=(1500.0, 1500.0), generator=generator)
    body_mm = motion.joints_mm.transpose(0, 1).flatten(0, 1)
    eyes_mm = ((5000.0, 0.0, 1500.0), (0.0, 5000.0, 1600.0), (-4000.0, -3000.0, 1400.0))
    rig = Rig(
        names=("a", "b", "c"),
        cameras=tuple(Camera.look_at(eye, (0.0, 0.0, 900.0), focal_px=1500.0, size_px=SIZE_PX) for eye in eyes_mm),
    )
    return Scene(
        skeleton=BODY_18,
        joints_mm=openpose_body(body_mm),
        body_mm=body_mm,
        projections=projections(rig),
        size_px=torch.tensor([SIZE_PX] * 3, dtype=torch.float32),
    )


@pytest.fixture(scope="module")
def chance(scene) -> Chance:
    return chance_of(scene)


def chance_of(scene: Scene, seed: int = 0, num_views: int = 3) -> Chance:
    views = [torch.Generator().manual_seed(100 * seed + view + 1) for view in range(num_views)]
    return draw_chance(*scene.joints_mm.shape[:2], torch.Generator().manual_seed(100 * seed), views)


def errors_percent(scene: Scene, chance: Chance, noise: DetectorNoise, model=FITTED) -> torch.Tensor:
    """Error vectors in percent of the body length as it appears."""
    found = detect(scene, noise, chance, model)
    offset_px = found.points_px - scene.images_px(scene.joints_mm)
    return 100.0 * offset_px / scene.body_length_px()[..., None, None]


def joints(*words: str) -> list[int]:
    return [index for index, name in enumerate(BODY_18.names) if any(word in name for word in words)]


@pytest.mark.parametrize("noise", [DetectorNoise(kind="none"), OFF])
def test_with_everything_off_the_truth_is_detected(scene, chance, noise):
    found = detect(scene, noise, chance)
    torch.testing.assert_close(found.points_px, scene.images_px(scene.joints_mm), rtol=0, atol=1e-3)
    assert (found.confidences > 0).all()


def test_gaussian_noise_has_its_standard_deviation_and_is_sure(scene, chance):
    found = detect(scene, DetectorNoise(kind="gaussian", sigma_px=7.0), chance)
    offset_px = found.points_px - scene.images_px(scene.joints_mm)
    assert float(offset_px.std()) == pytest.approx(7.0, rel=0.02)
    assert float(offset_px.mean()) == pytest.approx(0.0, abs=0.1)
    assert (found.confidences == 1).all()


def test_a_sweep_of_the_noise_is_paired(scene, chance):
    truth_px = scene.images_px(scene.joints_mm)
    small, large = (
        detect(scene, DetectorNoise(kind="gaussian", sigma_px=sigma_px), chance).points_px - truth_px
        for sigma_px in (2.0, 10.0)
    )
    torch.testing.assert_close(5 * small, large, rtol=0, atol=2e-2)


@pytest.mark.parametrize("name", ["wrist", "shoulder", "hip"])
def test_the_spread_is_that_of_the_joints_group(scene, chance, name):
    noise = replace(OFF, spread=1.0, tails=0.0, occlusion=False)
    errors = errors_percent(scene, chance, noise)[:, :, joints(name.capitalize())]
    assert float(errors.std()) == pytest.approx(FITTED.groups[name].spread, rel=0.05)


def test_scale_is_a_factor_on_all_lengths(scene, chance):
    noise = DetectorNoise(missing=0.0, swaps=0.0)
    whole, half = (errors_percent(scene, chance, replace(noise, scale=scale)) for scale in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2, rtol=0.05, atol=0.05)


def test_tails_are_heavier_than_normal_only_when_on(scene, chance):
    def kurtosis(tails: float) -> float:
        errors = errors_percent(scene, chance, replace(OFF, spread=1.0, tails=tails, occlusion=False))
        errors = errors[:, :, joints("Shoulder")]
        return float(errors.pow(4).mean() / errors.square().mean().square())

    assert kurtosis(0.0) == pytest.approx(3.0, abs=0.2)
    assert kurtosis(1.0) > 4.5


def test_hidden_joints_are_worse_than_visible_ones_only_with_occlusion(scene, chance):
    hidden = scene.hidden()
    assert 0.05 < hidden.float().mean() < 0.5
    elbows = torch.zeros(18, dtype=torch.bool)
    elbows[joints("Elbow")] = True
    for occlusion, low, high in ((True, 1.8, 3.5), (False, 0.8, 1.25)):
        noise = replace(OFF, spread=1.0, occlusion=occlusion)
        lengths = errors_percent(scene, chance, noise).norm(dim=-1)
        assert low < lengths[hidden & elbows].median() / lengths[~hidden & elbows].median() < high


def test_joints_are_missing_as_often_as_the_model_says(scene, chance):
    hidden = scene.hidden()
    elbows = torch.zeros(18, dtype=torch.bool)
    elbows[joints("Elbow")] = True
    found = detect(scene, replace(OFF, missing=1.0), chance)
    is_missing = found.confidences == 0
    assert (found.points_px[is_missing] == 0).all()
    for where, share in ((hidden, "hidden_missing"), (~hidden, "missing")):
        expected = 1 - (1 - getattr(FITTED.groups["elbow"], share)) * (1 - FITTED.missed)
        assert float(is_missing[where & elbows].float().mean()) == pytest.approx(expected, abs=0.03)


def test_a_missed_person_is_missed_as_a_whole(scene, chance):
    found = detect(scene, replace(OFF, missing=1.0), chance)
    is_missed = (found.confidences == 0).all(dim=-1)
    assert float(is_missed.float().mean()) == pytest.approx(FITTED.missed, abs=0.01)


def test_outliers_lie_somewhere_else(scene, chance):
    lengths = errors_percent(scene, chance, replace(OFF, outliers=1.0, occlusion=False)).norm(dim=-1)
    knees = lengths[:, :, joints("Knee")]
    is_outlier = knees > 1e-3
    assert float(is_outlier.float().mean()) == pytest.approx(FITTED.groups["knee"].outliers, abs=0.01)
    assert float(knees[is_outlier].square().mean().sqrt()) == pytest.approx(2**0.5 * FITTED.outlier_spread, rel=0.15)


def test_swapped_limbs_are_those_of_the_other_side(scene, chance):
    model = replace(FITTED, swaps=0.3)
    found = detect(scene, replace(OFF, swaps=1.0), chance, model)
    truth_px = scene.images_px(scene.joints_mm)
    arm, leg = joints("Shoulder", "Elbow", "Wrist"), joints("Hip", "Knee", "Ankle")
    crossed_px = truth_px[:, :, list(BODY_18.mirror)]
    for limb in (arm, leg):
        is_swapped = (found.points_px - truth_px).norm(dim=-1)[..., limb].amax(dim=-1) > 1.0
        assert float(is_swapped.float().mean()) == pytest.approx(0.3, abs=0.03)
        swapped_px, expected_px = found.points_px[is_swapped][:, limb], crossed_px[is_swapped][:, limb]
        torch.testing.assert_close(swapped_px, expected_px, rtol=0, atol=1e-2)
    assert (found.points_px[:, :, joints("Nose", "Ear")] - truth_px[:, :, joints("Nose", "Ear")]).abs().max() < 1e-2


def test_a_swapped_joint_takes_its_confidence_along(scene, chance):
    model, noise = replace(FITTED, swaps=0.5), DetectorNoise(missing=1.0)
    plain = detect(scene, replace(noise, swaps=0.0), chance, model).confidences
    swapped = detect(scene, replace(noise, swaps=1.0), chance, model).confidences
    is_left = plain[..., BODY_18.index("LWrist")] != swapped[..., BODY_18.index("LWrist")]
    torch.testing.assert_close(swapped[is_left][:, BODY_18.index("LWrist")], plain[is_left][:, BODY_18.index("RWrist")])


def test_the_bias_is_the_same_place_on_the_body_in_every_view_and_frame(scene, chance):
    found = detect(scene, replace(OFF, bias=1.0), chance)
    joint = BODY_18.index("LHip")
    offset_mm = scene.body_frames() @ FITTED.biases(BODY_18.names)[joint] * body_length_mm(scene.body_mm)[:, None] / 100
    moved_mm = scene.joints_mm.clone()
    moved_mm[:, joint] += offset_mm
    torch.testing.assert_close(found.points_px[:, :, joint], scene.images_px(moved_mm)[:, :, joint], rtol=0, atol=0.05)


def test_the_common_scatter_is_one_point_in_space_for_all_views(scene, chance):
    found = detect(scene, replace(OFF, common=1.0), chance)
    matrices = scene.projections.expand(NUM_FRAMES, -1, -1, -1)
    points_mm = triangulate_dlt(matrices, found.points_px.double())
    assert (scene.images_px(points_mm.float()) - found.points_px).abs().max() < 0.05
    assert (points_mm - scene.joints_mm).norm(dim=-1)[:, joints("Wrist")].mean() > 5


def test_views_of_a_hard_joint_are_alike_only_with_correlation(scene, chance):
    model = replace(FITTED, correlation=0.8)
    wrist = joints("Wrist")

    def alike(correlation: float) -> float:
        noise = replace(OFF, spread=1.0, tails=3.0, correlation=correlation, occlusion=False)
        level = errors_percent(scene, chance, noise, model).norm(dim=-1)[:, :, wrist].log()
        return float(torch.corrcoef(level.transpose(0, 1).flatten(1))[0, 1])

    assert alike(1.0) > 0.25
    assert abs(alike(0.0)) < 0.08


def test_confidence_falls_with_the_error_only_with_doubt(scene, chance):
    def rank(doubt: float) -> float:
        noise = DetectorNoise(missing=0.0, swaps=0.0, occlusion=False, bias=0.0, common=0.0, doubt=doubt)
        found = detect(scene, noise, chance)
        lengths = errors_percent(scene, chance, noise).norm(dim=-1)[:, :, joints("Wrist")].flatten()
        ranks = [x.argsort().argsort().double() for x in (lengths, found.confidences[:, :, joints("Wrist")].flatten())]
        return float(torch.corrcoef(torch.stack(ranks))[0, 1])

    assert rank(1.0) < -0.2
    assert abs(rank(0.0)) < 0.05


def test_confidences_have_the_groups_median(scene, chance):
    found = detect(scene, replace(OFF, spread=1.0, occlusion=False), chance)
    median = float(found.confidences[:, :, joints("Knee")].median())
    assert median == pytest.approx(FITTED.groups["knee"].confidence, abs=0.02)


@pytest.mark.parametrize("kind", ["openpose", "gaussian", "none"])
def test_joints_outside_the_image_are_missing(scene, chance, kind):
    small = replace(scene, size_px=torch.full((3, 2), 1500.0))
    truth_px = small.images_px(small.joints_mm)
    outside = ((truth_px < 0) | (truth_px > 1499)).any(dim=-1)
    assert outside.any()
    found = detect(small, replace(OFF, kind=kind), chance)
    assert torch.equal(found.confidences == 0, outside)
    kept = detect(small, replace(OFF, kind=kind, image_only=False), chance)
    assert (kept.confidences > 0).all()


def test_another_view_does_not_change_the_first_ones(scene):
    two = replace(scene, projections=scene.projections[:2], size_px=scene.size_px[:2])
    few = detect(two, DetectorNoise(), chance_of(two, num_views=2))
    many = detect(scene, DetectorNoise(), chance_of(scene))
    assert torch.equal(few.points_px, many.points_px[:, :2])


def test_a_hand_is_lost_and_swapped_with_its_wrist(scene):
    hands_mm = add_hands(scene.body_mm, fps=5.0, generator=torch.Generator().manual_seed(0))
    whole = replace(scene, skeleton=BODY_AND_HANDS, joints_mm=torch.cat([scene.joints_mm, hands_mm], dim=1))
    found = detect(whole, DetectorNoise(swaps=0.0), chance_of(whole))
    is_lost = found.confidences[..., BODY_AND_HANDS.index("LWrist")] == 0
    assert 0.05 < is_lost.float().mean() < 0.9
    assert (found.confidences[..., 18:39][is_lost] == 0).all()
    model = replace(FITTED, swaps=1.0)
    swapped = detect(whole, replace(OFF, swaps=1.0), chance_of(whole), model)
    truth_px = whole.images_px(whole.joints_mm)
    torch.testing.assert_close(swapped.points_px[:, :, 18:39], truth_px[:, :, 39:60], rtol=0, atol=1e-2)


def test_the_human36m_skeleton_can_be_detected_too(scene):
    other = replace(scene, skeleton=HUMAN36M, joints_mm=scene.body_mm)
    found = detect(other, DetectorNoise(), chance_of(other))
    assert found.points_px.shape == (NUM_FRAMES, 3, 17, 2)
    assert 0.7 < (found.confidences > 0).float().mean() < 0.98


def test_wrists_and_ankles_have_heavier_tails_than_the_trunk():
    for far in ("wrist", "ankle"):
        for near in ("shoulder", "hip", "face", "elbow"):
            assert FITTED.groups[far].outliers > 2 * FITTED.groups[near].outliers


@pytest.mark.parametrize("name", ["sigma_px", "scale", "swaps"])
def test_a_negative_amount_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be >= 0, got -0.5"):
        DetectorNoise(**{name: -0.5})
