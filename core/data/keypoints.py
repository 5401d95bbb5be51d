"""Where multi-view keypoints come from: simulated, Human3.6M or Panoptic Studio, behind one configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from core.data.human36m import Human36mConfig, load_human36m
from core.data.multiview_keypoints import KeypointSplits, MultiViewKeypoints
from core.data.panoptic import PanopticConfig, load_panoptic
from core.data.statistics import keypoint_statistics
from core.simulator.keypoints import SimulatedKeypoints, simulate_keypoints

__all__ = ["KeypointSplits", "KeypointsConfig", "MultiViewKeypoints", "load_keypoints"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeypointsConfig:
    """A source and its settings; those of the other sources are not looked at.

    Attributes:
        source: Where the frames come from.
        simulated: The simulator's settings.
        human36m: Where the archives of VideoPose3D lie, and what of them is used.
        panoptic: Where the sequences of Panoptic Studio lie, and what of them is used.
    """

    source: Literal["simulated", "human36m", "panoptic"] = "simulated"
    simulated: SimulatedKeypoints = field(default_factory=SimulatedKeypoints)
    human36m: Human36mConfig = field(default_factory=Human36mConfig)
    panoptic: PanopticConfig = field(default_factory=PanopticConfig)

    def fingerprint(self) -> str:
        """Identify the files that are read; a constant where there are none.

        Raises:
            FileNotFoundError: They are not there.
        """
        if self.source == "human36m":
            return self.human36m.files_fingerprint()
        if self.source == "panoptic":
            return self.panoptic.files_fingerprint()
        return self.simulated.files_fingerprint()

    def statistics(self) -> Mapping[str, Mapping[str, float]]:
        """Count frames, views and individuals of each split (Rochette et al. 2019, table 1): rows of columns."""
        return keypoint_statistics(load_keypoints(self, seed=0))


def load_keypoints(config: KeypointsConfig, seed: int) -> KeypointSplits:
    """Load or simulate the splits.

    Args:
        config: What to load.
        seed: Decides everything of simulated frames; of real ones, which are taken where their number is limited.
    """
    if config.source == "human36m":
        return load_human36m(config.human36m, seed)
    if config.source == "panoptic":
        return load_panoptic(config.panoptic, seed)
    return simulate_keypoints(config.simulated, seed)
