import pytest
import torch

from core.data.root import data_file
from core.data.shelf import FILE, LIMB_JOINTS, ShelfConfig, ShelfSequence
from core.geometry.projection import project_points
from core.geometry.rig import projections, ring_rig
from core.interfaces import Standalone
from core.tasks.shelf import ShelfMethod, match_by_truth, run, triangulate

NUM_VIEWS, NUM_ACTORS, NUM_PEOPLE = 4, 2, 3


def exact_sequence() -> ShelfSequence:
    """Two actors 1.5 m apart whose limb joints every view detects exactly; people are listed in reverse order."""
    rig = ring_rig(NUM_VIEWS)
    generator = torch.Generator().manual_seed(0)
    truth_mm = 400.0 * torch.rand(3, NUM_ACTORS, 15, 3, generator=generator, dtype=torch.float64)
    truth_mm[:, 1, :, 0] += 1_500.0
    images_px = project_points(projections(rig).expand(3, NUM_ACTORS, NUM_VIEWS, 3, 4), truth_mm).transpose(1, 2)
    points_px = torch.zeros(3, NUM_VIEWS, NUM_PEOPLE, 25, 2, dtype=torch.float64)
    scores = torch.zeros(3, NUM_VIEWS, NUM_PEOPLE, 25, dtype=torch.float64)
    for target, source in LIMB_JOINTS:
        points_px[:, :, :NUM_ACTORS, source] = images_px.flip(2)[..., target, :]
        scores[:, :, :NUM_ACTORS, source] = 0.8
    return ShelfSequence(rig=rig, truth_mm=truth_mm, points_px=points_px, scores=scores)


def limb_errors_mm(sequence, method):
    found_mm = triangulate(sequence, match_by_truth(sequence, 50.0), method)
    targets, sources = zip(*LIMB_JOINTS, strict=True)
    return (found_mm[:, :, list(sources)] - sequence.truth_mm[:, :, list(targets)]).norm(dim=-1)


@pytest.mark.parametrize("weighting", ["uniform", "confidence", "geometric"])
def test_exact_detections_give_the_truth_whoever_is_listed_first(weighting):
    assert limb_errors_mm(exact_sequence(), ShelfMethod(weighting=weighting)).max() < 1e-3


def test_a_person_far_from_every_actor_is_left_out():
    sequence = exact_sequence()
    sequence.points_px[0, 2, 1] += 60.0
    matched = match_by_truth(sequence, 50.0)
    assert (matched.scores[0, 0, 2] == 0).all()
    assert (matched.scores[0, 0, 1] > 0).any()


def test_an_absent_actor_gets_nobody():
    sequence = exact_sequence()
    sequence.truth_mm[1, 0] = torch.nan
    matched = match_by_truth(sequence, 50.0)
    assert (matched.scores[1, 0] == 0).all()
    assert (matched.scores[1, 1] > 0).any()


def test_one_person_is_given_to_one_actor_only():
    sequence = exact_sequence()
    sequence.truth_mm[:, 1] = sequence.truth_mm[:, 0]
    matched = match_by_truth(sequence, 50.0)
    is_given = (matched.scores > 0).any(dim=-1)
    assert (is_given.sum(dim=1) == 1).all()


def test_a_joint_in_one_view_is_missing():
    sequence = exact_sequence()
    sequence.scores[0, 1:, :, LIMB_JOINTS[0][1]] = 0.0
    errors_mm = limb_errors_mm(sequence, ShelfMethod())
    assert errors_mm[0, :, 0].isnan().all()
    assert errors_mm[0, :, 1:].max() < 1e-3


def test_confidence_quietens_a_doubtful_view():
    sequence = exact_sequence()
    sequence.points_px[:, 0] += 20.0
    sequence.scores[:, 0] *= 0.1
    plain, confident = (limb_errors_mm(sequence, ShelfMethod(weighting=name)) for name in ("uniform", "confidence"))
    assert confident.mean() < 0.3 * plain.mean()


@pytest.mark.real_data
@pytest.mark.parametrize(("weighting", "expected_percent"), [("uniform", 96.17), ("confidence", 95.87)])
def test_pcp3d_of_the_published_detections(weighting, expected_percent, tmp_path):
    try:
        data_file(None, FILE)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    trial = Standalone(tmp_path)
    metrics = run(method=ShelfMethod(weighting=weighting), data=ShelfConfig(), trial=trial)
    assert metrics["pcp3d/mean"] == pytest.approx(expected_percent, abs=0.3)
    assert 44 < metrics["error/median"] < 49
    assert torch.load(tmp_path / "joints.pt").shape == (301, 4, 15, 3)
