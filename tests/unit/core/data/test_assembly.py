"""Drawing frames, and putting recordings of several rigs together; what betrays files that do not belong together."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.data.assembly import Recording, assemble, draw
from core.data.plausibility import check_fit
from core.geometry.rig import Rig, ring_rig
from core.skeleton import HUMAN36M

DISTORTION = torch.tensor([-0.2, 0.24, -0.001, -0.0015, -0.003], dtype=torch.float64)


def bent(rig: Rig) -> Rig:
    return replace(rig, cameras=tuple(replace(camera, distortion=DISTORTION) for camera in rig))


def recording(rig: Rig, index: int, num_frames: int, seed: int) -> Recording:
    generator = torch.Generator().manual_seed(seed)
    joints_mm = 1_000 * torch.rand(num_frames, 17, 3, generator=generator)
    points_px = torch.stack([camera.project(joints_mm) for camera in rig], dim=1)
    return Recording(
        rig=index,
        action=seed,
        subject=torch.full((num_frames,), 10 + seed),
        points_px=points_px,
        confidences=torch.ones(points_px.shape[:-1]),
        joints_mm=joints_mm,
    )


RIGS = (bent(ring_rig(3)), bent(ring_rig(3, radius_mm=4_000.0)))


@given(total=st.integers(1, 200), limit=st.integers(1, 250), seed=st.integers(0, 2**32 - 1))
def test_frames_are_drawn_once_each_and_in_order(total, limit, seed):
    drawn = draw(total, limit, torch.Generator().manual_seed(seed))
    assert len(drawn) == min(total, limit)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert 0 <= drawn[0]
    assert drawn[-1] < total


def test_without_a_limit_all_frames_are_taken():
    assert draw(4, None, torch.Generator()).tolist() == [0, 1, 2, 3]


def test_recordings_of_several_rigs_keep_their_order_and_cameras():
    parts = [recording(RIGS[1], 1, 3, 0), recording(RIGS[0], 0, 2, 1), recording(RIGS[1], 1, 4, 2)]
    found = assemble(HUMAN36M, RIGS, parts, ("a", "b", "c"))
    assert found.rig.tolist() == [1] * 3 + [0] * 2 + [1] * 4
    assert found.action.tolist() == [0] * 3 + [1] * 2 + [2] * 4
    assert found.subject.tolist() == [10] * 3 + [11] * 2 + [12] * 4
    torch.testing.assert_close(found.joints_mm, torch.cat([part.joints_mm for part in parts]))
    torch.testing.assert_close(found.points_px, found.truth_px, rtol=0, atol=1e-2)
    raw = torch.cat([part.points_px for part in parts])
    assert (found.points_px - raw).norm(dim=-1).max() > 1.0


def test_what_was_not_detected_stays_zero():
    part = recording(RIGS[0], 0, 2, 0)
    part.confidences[0, 1, 4] = 0
    part.points_px[1, 2, 3] = torch.nan
    found = assemble(HUMAN36M, RIGS[:1], [part], ("a",))
    missing = found.confidences == 0
    assert missing.nonzero().tolist() == [[0, 1, 4], [1, 2, 3]]
    assert (found.points_px[missing] == 0).all()


def test_detections_elsewhere_are_refused():
    found = assemble(HUMAN36M, RIGS[:1], [recording(RIGS[0], 0, 5, 0)], ("a",))
    check_fit(found.points_px + 20.0, found.confidences, found.truth_px, "here")
    with pytest.raises(
        ValueError, match="here: expected detections near the projected joints, found a median distance"
    ):
        check_fit(found.points_px + 60.0, found.confidences, found.truth_px, "here")
