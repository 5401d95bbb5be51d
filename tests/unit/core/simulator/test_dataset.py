"""The court on disk: bytes follow from configuration and seed, splits keep apart, folders are whole or absent."""

from dataclasses import asdict, replace

import pytest
import torch

from core.geometry.projection import project_points
from core.simulator import arrays, dataset
from core.simulator.court import CourtConfig, draw_splits
from core.simulator.dataset import SPLITS, open_court, render_court


def bytes_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_bytes(court_folder, small_config, tmp_path):
    render_court(small_config, 7, tmp_path / "again")
    assert bytes_of(tmp_path / "again") == bytes_of(court_folder)


def test_another_seed_gives_another_rig_other_subjects_and_other_pictures(court, small_config, tmp_path):
    render_court(small_config, 8, tmp_path / "other")
    other = open_court(tmp_path / "other")
    assert not torch.equal(other.test.images, court.test.images)
    assert not torch.equal(other.test.joints_mm, court.test.joints_mm)
    assert not torch.equal(other.test.projections, court.test.projections)


def test_every_array_has_the_size_that_was_asked_for(court, small_config):
    for name in SPLITS:
        split = getattr(court, name)
        num_sets = getattr(small_config, f"num_{name}")
        assert split.images.shape == (num_sets, 8, 3, 64, 48) and split.images.dtype == torch.uint8
        assert split.projections.shape == (num_sets, 8, 3, 4) and split.projections.dtype == torch.float64
        assert split.visible.shape == (num_sets, 8, 17) and split.visible.dtype == torch.bool


def test_projecting_the_joints_gives_their_pixels(court):
    for name in SPLITS:
        split = getattr(court, name)
        found_px = project_points(split.projections, split.joints_mm.double()).float()
        torch.testing.assert_close(found_px, split.joints_px, rtol=0, atol=1e-3)


def test_the_root_depth_is_that_of_the_pelvis(court):
    matrix = court.test.projections[:, :, 2]
    pelvis_mm = court.test.joints_mm[:, None, 0].double()
    depth_mm = (matrix[..., :3] * pelvis_mm).sum(dim=-1) + matrix[..., 3]
    torch.testing.assert_close(depth_mm.float(), court.test.root_depth_mm, rtol=0, atol=0.01)


def test_splits_share_no_subject(court):
    train, validation, test = (
        set(getattr(court, name).subject.tolist()) for name in ("unlabelled", "validation", "test")
    )
    assert set(court.labelled.subject.tolist()) <= {0, 1, 2}
    assert not train & validation and not train & test and not validation & test


def test_labelled_and_unlabelled_sets_come_from_different_frames(court):
    assert not set(court.labelled.frame.tolist()) & set(court.unlabelled.frame.tolist())


def test_no_set_is_drawn_twice():
    splits = draw_splits(CourtConfig(), torch.Generator().manual_seed(0))
    for sets in splits.values():
        pairs = list(zip(sets.frame.tolist(), sets.player.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)


def test_fewer_cameras_are_a_subset_of_the_views(small_config, tmp_path):
    render_court(replace(small_config, cameras=(6, 1), num_unlabelled=2), 7, tmp_path / "two")
    split = open_court(tmp_path / "two").test
    assert split.images.shape[1] == 2 and split.root_depth_mm[:, 0].mean() > 0


def test_rendering_the_same_again_touches_nothing(court_folder, small_config):
    before = {path: path.stat().st_mtime_ns for path in court_folder.rglob("*")}
    facts = render_court(small_config, 7, court_folder)
    assert {path: path.stat().st_mtime_ns for path in court_folder.rglob("*")} == before
    assert facts == open_court(court_folder).facts


def test_the_key_covers_configuration_seed_and_version(small_config, tmp_path, monkeypatch):
    def key():
        return arrays.read_manifest(tmp_path / "court")["key"]

    keys = []
    for config, seed in ((small_config, 7), (small_config, 8), (replace(small_config, num_posts=1), 8)):
        render_court(config, seed, tmp_path / "court")
        keys.append(key())
    monkeypatch.setattr(dataset, "VERSION", dataset.VERSION + 1)
    render_court(replace(small_config, num_posts=1), 8, tmp_path / "court")
    assert len({*keys, key()}) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["court"]


def test_facts_count_crops_and_hidden_joints(court):
    visible = torch.cat([getattr(court, name).visible.flatten(0, 1) for name in SPLITS])
    inside = torch.cat([getattr(court, name).inside.flatten() for name in SPLITS])
    assert court.facts["num_crops"] == inside.shape[0]
    assert court.facts["fraction_hidden"] == pytest.approx((~visible[inside]).double().mean().item())
    assert 0 < court.facts["fraction_hidden_by_others"] < court.facts["fraction_hidden"] < 0.5


def test_writing_to_a_mapped_array_leaves_the_file_alone(court_folder):
    open_court(court_folder).test.images.zero_()
    assert open_court(court_folder).test.images.any()


def test_a_folder_without_a_court_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no manifest\.json found; expected a folder of rendered crops"):
        open_court(tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cameras": (0, 8)}, r"cameras must be distinct views from 0 to 7, got \(0, 8\)"),
        ({"cameras": (1, 1)}, "cameras must be distinct"),
        ({"num_labelled": 401}, "num_labelled must be 1 to 400 with 400 frames, got 401"),
        ({"num_test": 801}, "num_test must be 1 to 800"),
        ({"num_validation": 0}, "num_validation must be 1 to 800"),
    ],
)
def test_an_impossible_court_is_refused(change, text):
    with pytest.raises(ValueError, match=text):
        CourtConfig(**{**asdict(CourtConfig()), **change})
