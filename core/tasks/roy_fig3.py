"""Roy et al. 2022, Fig. 3: weighted triangulation of random points, some of whose six views are noisy.

Each point has its own random order of the views; the first `k` of them are noisy: their image points move by `r`
pixels in a random direction (or to a random place within `r` pixels). Order, directions and points are those of the
seed whatever the arm, `k` and `r`, so that arms are compared on the same noise, and curves are smooth.

The paper leaves open how its threshold "20 mm" of a mean squared distance is meant; `RobustConfig.wss` has every
reading. Plain DLT of the same image points is computed along with every arm, and errors are also given as ratios to
its error.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from core.geometry.projection import project_points
from core.geometry.rig import Rig, court_rig, projections, ring_rig
from core.geometry.triangulation import RobustConfig, triangulate_dlt, triangulate_robust
from core.interfaces import Trial
from core.typing import Float, Tensor

NUM_VIEWS = 6
GROUPS = {"minority": (1, 2), "half": (3,), "majority": (4, 5, 6)}
"""Numbers of noisy views of six that are fewer than half, half and most of them."""

CLAIM_PX = (2, 10)
"""Smallest and largest radius over which ratios are summarised."""

GAIN_RATIO, PAR_RATIO = 0.6, 1.1
"""Weights gain where the error is at most this part of plain DLT's; they do no harm up to that part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fig3Config:
    """The scene, the noise, and how it is triangulated.

    Attributes:
        rig: The six cameras at the sides of the court, or six on a ring of 5 m radius.
        weighting: Plain DLT, or weights by the agreement of the view pairs.
        robust: Settings of the geometric weights.
        noise: Noisy image points lie on the `circle` of radius `r` around the true ones, or anywhere in the `disc`.
        radii_px: Noise radii.
        num_points: Points for each number of noisy views and each radius.
    """

    rig: Literal["court", "ring"] = "court"
    weighting: Literal["uniform", "geometric"] = "geometric"
    robust: RobustConfig = field(default_factory=RobustConfig)
    noise: Literal["circle", "disc"] = "circle"
    radii_px: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30)
    num_points: int = 200

    def __post_init__(self) -> None:
        if self.num_points < 1:
            raise ValueError(f"num_points must be >= 1, got {self.num_points}")
        if sorted(set(self.radii_px)) != list(self.radii_px) or min(self.radii_px, default=-1) < 0:
            raise ValueError(f"radii_px must be whole numbers >= 0 in increasing order, got {self.radii_px}")
        if not any(CLAIM_PX[0] <= radius_px <= CLAIM_PX[1] for radius_px in self.radii_px):
            raise ValueError(f"radii_px needs one in {CLAIM_PX[0]} to {CLAIM_PX[1]} px, got {self.radii_px}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoisyScene:
    """Points, their exact projections, and the unit noise of a seed.

    Attributes:
        matrices: Projection matrices.
        points_mm: The points.
        points_px: Their projections.
        directions: Offsets of the image points at a radius of 1 px.
        ranks: Place of each view in the point's own order; the views of rank < k are noisy.
    """

    matrices: Float[Tensor, "V 3 4"]
    points_mm: Float[Tensor, "N 3"]
    points_px: Float[Tensor, "V N 2"]
    directions: Float[Tensor, "V N 2"]
    ranks: Float[Tensor, "V N"]

    def observed_px(self, num_noisy: int, radius_px: float) -> Float[Tensor, "V N 2"]:
        """Image points with `num_noisy` noisy views at this radius."""
        is_noisy = self.ranks < num_noisy
        return self.points_px + torch.where(is_noisy[..., None], radius_px * self.directions, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Result for one number of noisy views at one radius."""

    mpjpe_mm: float
    plain_mpjpe_mm: float
    scattered_percent: float

    @property
    def ratio(self) -> float:
        """Error over that of plain DLT on the same image points; 1 where both vanish."""
        return self.mpjpe_mm / self.plain_mpjpe_mm if self.plain_mpjpe_mm > 1e-6 else 1.0


def run(*, method: Fig3Config, seed: int, trial: Trial) -> dict[str, float]:
    """Triangulate at every radius with 1 to 6 noisy views.

    Reports at each radius (the step) `noisy_<k>/mpjpe`, mm; `noisy_<k>/ratio_to_plain`; and
    `noisy_<k>/scattered`: percent of points above the WSS threshold (0 without one).

    Returns:
        `noisy_<k>/radius_<r>/mpjpe` for the radii in `CLAIM_PX`, and for each of `GROUPS` the smallest, mean and
        largest `ratio_to_plain` over its numbers of views and these radii (`minority/ratio_to_plain/max` and so on),
        and `scattered`, the percentage of points above the threshold. Three claims, 1 where they hold and else 0:
        `claim/gain_in_minority` (every ratio at most `GAIN_RATIO`), `claim/no_harm_from_half` (every ratio at half
        and in the majority at most `PAR_RATIO`), `claim/harm_in_majority` (the mean ratio above `PAR_RATIO`).
    """
    scene = make_scene(method, torch.Generator().manual_seed(seed))
    table: dict[tuple[int, int], Cell] = {}
    for radius_px in method.radii_px:
        curves: dict[str, float] = {}
        for num_noisy in range(1, NUM_VIEWS + 1):
            cell = evaluate(scene, num_noisy, float(radius_px), method)
            table[num_noisy, radius_px] = cell
            curves |= {
                f"noisy_{num_noisy}/mpjpe": cell.mpjpe_mm,
                f"noisy_{num_noisy}/ratio_to_plain": cell.ratio,
                f"noisy_{num_noisy}/scattered": cell.scattered_percent,
            }
        trial.report(radius_px, curves)
    return summarise(table)


def make_scene(config: Fig3Config, generator: torch.Generator) -> NoisyScene:
    """Draw points in the volume that people fill in front of the rig's cameras, and the noise."""
    rig, low_mm, high_mm = _rig_and_volume(config.rig)
    extent_mm = torch.tensor(high_mm, dtype=torch.float64) - torch.tensor(low_mm, dtype=torch.float64)
    uniform = torch.rand(config.num_points, 3, generator=generator, dtype=torch.float64)
    points_mm = torch.tensor(low_mm, dtype=torch.float64) + extent_mm * uniform
    shape = (NUM_VIEWS, config.num_points)
    angles_rad = 2 * torch.pi * torch.rand(shape, generator=generator, dtype=torch.float64)
    lengths = torch.rand(shape, generator=generator, dtype=torch.float64).sqrt()
    directions = torch.stack([angles_rad.cos(), angles_rad.sin()], dim=-1)
    ranks = torch.rand(shape, generator=generator, dtype=torch.float64).argsort(dim=0).argsort(dim=0).double()
    matrices = projections(rig)
    return NoisyScene(
        matrices=matrices,
        points_mm=points_mm,
        points_px=project_points(matrices, points_mm),
        directions=directions if config.noise == "circle" else lengths[..., None] * directions,
        ranks=ranks,
    )


def _rig_and_volume(name: str) -> tuple[Rig, tuple[float, float, float], tuple[float, float, float]]:
    """Cameras, and the lowest and highest corner of the box of points, millimetres."""
    if name == "court":
        sides = tuple(f"side_{view}" for view in range(NUM_VIEWS))
        return court_rig().subset(sides), (-4_500.0, -3_200.0, 0.0), (4_500.0, 3_200.0, 2_000.0)
    return ring_rig(NUM_VIEWS), (-1_000.0, -1_000.0, 0.0), (1_000.0, 1_000.0, 2_000.0)


def evaluate(scene: NoisyScene, num_noisy: int, radius_px: float, config: Fig3Config) -> Cell:
    """Triangulate all points once, plainly and as configured."""
    observed_px = scene.observed_px(num_noisy, radius_px)
    plain_mm = _mean_error_mm(triangulate_dlt(scene.matrices, observed_px), scene)
    if config.weighting == "uniform":
        return Cell(mpjpe_mm=plain_mm, plain_mpjpe_mm=plain_mm, scattered_percent=0.0)
    found = triangulate_robust(scene.matrices, observed_px, config.robust)
    threshold_mm = config.robust.wss.threshold_rms_mm if config.robust.wss is not None else torch.inf
    return Cell(
        mpjpe_mm=_mean_error_mm(found.points_mm, scene),
        plain_mpjpe_mm=plain_mm,
        scattered_percent=100.0 * float((found.wss_mm > threshold_mm).double().mean()),
    )


def _mean_error_mm(points_mm: Float[Tensor, "N 3"], scene: NoisyScene) -> float:
    return float((points_mm - scene.points_mm).norm(dim=-1).mean())


def summarise(table: dict[tuple[int, int], Cell]) -> dict[str, float]:
    """Read the trial's metrics off the table of (number of noisy views, radius)."""
    cells = {key: cell for key, cell in table.items() if CLAIM_PX[0] <= key[1] <= CLAIM_PX[1]}
    groups: dict[str, float] = {}
    for group, numbers in GROUPS.items():
        members = [cell for (num_noisy, _), cell in cells.items() if num_noisy in numbers]
        ratios = [cell.ratio for cell in members]
        groups |= {
            f"{group}/ratio_to_plain/min": min(ratios),
            f"{group}/ratio_to_plain/mean": sum(ratios) / len(ratios),
            f"{group}/ratio_to_plain/max": max(ratios),
            f"{group}/scattered": sum(cell.scattered_percent for cell in members) / len(members),
        }
    largest = max(groups["half/ratio_to_plain/max"], groups["majority/ratio_to_plain/max"])
    claims = {
        "claim/gain_in_minority": float(groups["minority/ratio_to_plain/max"] <= GAIN_RATIO),
        "claim/no_harm_from_half": float(largest <= PAR_RATIO),
        "claim/harm_in_majority": float(groups["majority/ratio_to_plain/mean"] > PAR_RATIO),
    }
    return (
        claims | groups | {f"noisy_{num}/radius_{radius}/mpjpe": cell.mpjpe_mm for (num, radius), cell in cells.items()}
    )
