"""What the robust triangulation is told and what it gives (Roy et al. 2022, Eq. 4 to 6)."""

from dataclasses import dataclass
from typing import Literal

from core.geometry.median import EvenMedian
from core.typing import Bool, Float, Int, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class WssRule:
    """What happens to a joint whose pairs scatter (Eq. 6).

    The paper says "20 mm" of a mean squared distance, which can be read in three ways, and it both drops the joint
    (training) and falls back to equal weights (its Fig. 3). Results depend on the reading, so all of it is a setting.

    Attributes:
        statistic: Mean squared distance of the pairs' points from their centre in mm^2 or m^2, or its root in mm.
        threshold: In the statistic's unit; a joint above it is scattered.
        above: `keep` it as it is, triangulate it again with `equal_weights`, or `discard` it (`kept` is false).
    """

    statistic: Literal["mean_square_mm2", "rms_mm", "mean_square_m2"] = "rms_mm"
    threshold: float = 20.0
    above: Literal["keep", "equal_weights", "discard"] = "discard"

    def __post_init__(self) -> None:
        if not self.threshold >= 0:
            raise ValueError(f"WssRule.threshold must be >= 0, got {self.threshold}")

    @property
    def threshold_rms_mm(self) -> float:
        """The threshold as a root mean square distance in millimetres."""
        roots = {"rms_mm": self.threshold, "mean_square_mm2": self.threshold**0.5}
        return roots.get(self.statistic, 1_000.0 * self.threshold**0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustConfig:
    """Settings of the robust triangulation.

    Attributes:
        sigma_mm: Distance from the centre at which a pair's weight is 1/e (Eq. 5, no factor 2).
        wss: What to do with joints whose pairs scatter; `None`: nothing.
        even_median: Median of an even number of partners (Eq. 5; 3 or 5 views).
        weight_floor: Smallest weight of a visible view: where all weights vanish they are equal again. At 1e-4 such a
            view's rows count 1e-8 of a good one's.
        detach_weights: Whether weights are constants to autograd; else gradients also run through the pairs, the
            geometric median and the weights, where they are several times larger and favour w -> 0 in Eq. 3.
    """

    sigma_mm: float = 10.0
    wss: WssRule | None = None
    even_median: EvenMedian = "mean"
    weight_floor: float = 1e-4
    detach_weights: bool = True

    def __post_init__(self) -> None:
        if not self.sigma_mm > 0:
            raise ValueError(f"RobustConfig.sigma_mm must be > 0, got {self.sigma_mm}")
        if not 0 < self.weight_floor <= 1:
            raise ValueError(f"RobustConfig.weight_floor must be in (0, 1], got {self.weight_floor}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustTriangulation:
    """Joints and how much each view had to say.

    Attributes:
        points_mm: Triangulated joints; NaN (and zero gradient) where fewer than two visible views determine one.
        weights: Weight of each view (Eq. 5), in [weight_floor, 1]; 0 in views that are not visible and for lost joints.
        wss_mm: Root mean square distance of the pairs' points from their centre (the root of Eq. 6); a constant.
        kept: False for discarded and for lost joints.
    """

    points_mm: Float[Tensor, "*batch J 3"]
    weights: Float[Tensor, "*batch V J"]
    wss_mm: Float[Tensor, "*batch J"]
    kept: Bool[Tensor, "*batch J"]

    @property
    def num_lost(self) -> Int[Tensor, ""]:
        """How many joints could not be triangulated; on the device, so that asking waits for nothing."""
        return self.wss_mm.isnan().sum()
