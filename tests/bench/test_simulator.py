"""How many frames the simulator makes in a second: keypoints before a rig, crops of a court and of the halls."""

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from core.simulator.court import CourtConfig
from core.simulator.dataset import render_court
from core.simulator.keypoints import SimulatedKeypoints, simulate_keypoints
from core.simulator.pretraining import PretrainingConfig, PretrainingDomain, render_pretraining
from tests.bench.measuring import Contract, Peer

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

RIGS = {
    "human36m": SimulatedKeypoints(num_train=300, num_validation=50, num_test=50),
    "human36m, 18 joints": SimulatedKeypoints(skeleton="body", num_train=300, num_validation=50, num_test=50),
    "panoptic, 60 joints": SimulatedKeypoints(
        rig="panoptic", skeleton="body_and_hands", num_train=100, num_validation=20, num_test=20
    ),
}
COURT = CourtConfig(num_labelled=4, num_unlabelled=16, num_validation=2, num_test=4, num_frames=60)
HALLS = PretrainingDomain(pretraining=PretrainingConfig(num_crops=200, num_scenes=2))


@pytest.mark.parametrize("name", RIGS)
def test_keypoints(side_by_side, name):
    """A frame is one person, seen by all cameras of the rig."""
    seeds = itertools.count()

    def peers():
        config = RIGS[name]
        num_frames = config.num_train + config.num_validation + config.num_test
        assert len(simulate_keypoints(config, next(seeds)).train.joints_mm) == config.num_train
        return {"ablate": Peer(lambda: simulate_keypoints(config, next(seeds)), num_frames)}

    side_by_side(f"simulated keypoints, {name}", "ablate", peers, unit="frames")


def folders(root: Path) -> Iterator[Path]:
    """A new one for each call: what was rendered into a folder is not rendered again."""
    return (root / str(number) for number in itertools.count())


@pytest.mark.parametrize("name", ["court", "halls"])
def test_crops(side_by_side, tmp_path, name):
    """A crop is one person in one view, drawn, lit and cut to 64 x 48 pixels."""
    places = folders(tmp_path)
    render = {"court": partial(render_court, COURT, 0), "halls": partial(render_pretraining, HALLS)}[name]

    def peers():
        num_crops = render(next(places))["num_crops"]
        assert num_crops > 0
        return {"ablate": Peer(lambda: render(next(places)), num_crops)}

    side_by_side(f"rendered crops, {name}", "ablate", peers, unit="crops", contract=Contract(budget_s=5.0))
