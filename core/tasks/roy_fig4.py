"""Roy et al. 2022, Fig. 4: which gradient path of the triangulation loss moves noisy image points towards the truth.

Random points are seen by three cameras at the sides of the court; every image point has Gaussian noise of 1 px, those
of one view of 10 px instead. Eq. 8 is then minimised over the image points themselves, with plain DLT and no network:
alpha = 1 pulls them to their own reprojection, alpha = 0 moves them only through the triangulation.

The paper names no cameras, optimiser, step size or coordinates, and these decide the outcome (papers' index, A3). The
layout and the bad view are the same for every seed; points and noise are the seed's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from core.geometry.projection import project_points
from core.geometry.rig import court_rig, projections
from core.geometry.triangulation import triangulate_dlt
from core.interfaces import Trial
from core.losses.triangulation import blended_triangulation_loss
from core.typing import Float, Tensor

VOLUME_MM = ((-4_500.0, -3_200.0, 0.0), (4_500.0, 3_200.0, 2_000.0))
"""Lowest and highest corner of the box of points: the floor that players use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fig4Config:
    """The scene, the noise and the optimisation.

    Attributes:
        alpha: Part of the direct gradient path in Eq. 8.
        optimiser: Plain gradient descent, or Adam with torch's defaults.
        space: Coordinates in which the loss is taken and points are moved: `pixel`, or `box`: in each view the square
            box around the observed points is [-1, 1], as the paper scales a person's joints.
        step_size: Learning rate, in units of `space`. The loss is summed over points and views (Eq. 1), so that with
            gradient descent on pixels each point moves by `2 step_size` of its distance for alpha = 1.
        cameras: Three cameras of `court_rig`.
        bad_view: Index of the bad view among them.
        good_px: Standard deviation of the noise on each coordinate.
        bad_px: The same in the bad view.
        num_points: Points in the scene.
        num_steps: Steps of the optimiser.
        report_every: Steps between two points of the curves.
    """

    alpha: float = 0.5
    optimiser: Literal["gradient_descent", "adam"] = "gradient_descent"
    space: Literal["pixel", "box"] = "pixel"
    step_size: float = 0.05
    cameras: tuple[str, ...] = ("side_0", "side_1", "side_2")
    bad_view: int = 0
    good_px: float = 1.0
    bad_px: float = 10.0
    num_points: int = 100
    num_steps: int = 400
    report_every: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {self.alpha}")
        if len(self.cameras) < 2 or not 0 <= self.bad_view < len(self.cameras):
            raise ValueError(f"bad_view must be the index of one of at least 2 cameras, got {self.bad_view}")
        if not (self.step_size > 0 and min(self.num_points, self.num_steps, self.report_every) >= 1):
            raise ValueError("step_size must be > 0, and num_points, num_steps and report_every >= 1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """Points and what the cameras saw of them.

    Attributes:
        matrices: Projection matrices.
        points_mm: The points.
        points_px: Their noisy projections.
    """

    matrices: Float[Tensor, "V 3 4"]
    points_mm: Float[Tensor, "N 3"]
    points_px: Float[Tensor, "V N 2"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coordinates:
    """The space of the loss: `x = (x_px - centre_px) / half_px`, for each view."""

    centre_px: Float[Tensor, "V 1 2"]
    half_px: Float[Tensor, "V 1 1"]

    @classmethod
    def choose(cls, space: Literal["pixel", "box"], points_px: Float[Tensor, "V N 2"]) -> "Coordinates":
        """Pixels as they are, or the square box around the points of each view as [-1, 1]."""
        if space == "pixel":
            zero = torch.zeros_like(points_px[:, :1])
            return cls(centre_px=zero, half_px=torch.ones_like(zero[..., :1]))
        low, high = points_px.amin(dim=1, keepdim=True), points_px.amax(dim=1, keepdim=True)
        longest_px = (high - low).amax(dim=-1, keepdim=True)
        return cls(centre_px=(low + high) / 2, half_px=longest_px / 2)

    def of(self, points_px: Float[Tensor, "V N 2"]) -> Float[Tensor, "V N 2"]:
        """Pixels to this space."""
        return (points_px - self.centre_px) / self.half_px

    def to_px(self, points: Float[Tensor, "V N 2"]) -> Float[Tensor, "V N 2"]:
        """This space to pixels."""
        return points * self.half_px + self.centre_px


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Where the optimisation stands: error of the triangulated points, and L_tri per image point in squared pixels."""

    mpjpe_mm: float
    loss_px2: float


def run(*, method: Fig4Config, seed: int, trial: Trial) -> dict[str, float]:
    """Move the image points and watch the triangulated points.

    Reports `mpjpe`, mm, and `loss_tri`, px^2 per image point whatever `space`, every `report_every` steps.

    Returns:
        `mpjpe/start`, `mpjpe/minimum`, `mpjpe/final`; `mpjpe/dip`, start minus minimum, and `mpjpe/change`, final minus
        start; `loss_tri/start`, `loss_tri/final`.
    """
    observed = observe(method, torch.Generator().manual_seed(seed))
    course: list[Measured] = []
    for step, measured in enumerate(optimise(observed, method)):
        course.append(measured)
        if step % method.report_every == 0 or step == method.num_steps:
            trial.report(step, {"mpjpe": measured.mpjpe_mm, "loss_tri": measured.loss_px2})
    start, final = course[0], course[-1]
    minimum_mm = min(measured.mpjpe_mm for measured in course)
    return {
        "mpjpe/start": start.mpjpe_mm,
        "mpjpe/minimum": minimum_mm,
        "mpjpe/final": final.mpjpe_mm,
        "mpjpe/dip": start.mpjpe_mm - minimum_mm,
        "mpjpe/change": final.mpjpe_mm - start.mpjpe_mm,
        "loss_tri/start": start.loss_px2,
        "loss_tri/final": final.loss_px2,
    }


def observe(config: Fig4Config, generator: torch.Generator) -> Observed:
    """Draw points and noise."""
    low_mm, high_mm = torch.tensor(VOLUME_MM, dtype=torch.float64)
    uniform = torch.rand(config.num_points, 3, generator=generator, dtype=torch.float64)
    points_mm = low_mm + (high_mm - low_mm) * uniform
    matrices = projections(court_rig().subset(config.cameras))
    exact_px = project_points(matrices, points_mm)
    sigma_px = torch.full((len(matrices), 1, 1), config.good_px, dtype=torch.float64)
    sigma_px[config.bad_view] = config.bad_px
    noise = torch.randn(exact_px.shape, generator=generator, dtype=torch.float64)
    return Observed(matrices=matrices, points_mm=points_mm, points_px=exact_px + sigma_px * noise)


def optimise(observed: Observed, config: Fig4Config) -> Iterator[Measured]:
    """Minimise Eq. 8 over the image points, giving the state before each step and after the last."""
    coordinates = Coordinates.choose(config.space, observed.points_px)
    points = coordinates.of(observed.points_px).requires_grad_()
    optimiser: torch.optim.Optimizer
    if config.optimiser == "adam":
        optimiser = torch.optim.Adam([points], lr=config.step_size)
    else:
        optimiser = torch.optim.SGD([points], lr=config.step_size)
    num_detections = points.shape[0] * points.shape[1]
    for step in range(config.num_steps + 1):
        points_px = coordinates.to_px(points)
        found_mm = triangulate_dlt(observed.matrices, points_px)
        reprojected_px = project_points(observed.matrices, found_mm)
        yield _measure(points_px.detach(), reprojected_px.detach(), found_mm.detach(), observed)
        if step < config.num_steps:
            optimiser.zero_grad()
            loss = blended_triangulation_loss(points, coordinates.of(reprojected_px), config.alpha)
            torch.autograd.backward(num_detections * loss)
            optimiser.step()


def _measure(
    points_px: Float[Tensor, "V N 2"],
    reprojected_px: Float[Tensor, "V N 2"],
    found_mm: Float[Tensor, "N 3"],
    observed: Observed,
) -> Measured:
    return Measured(
        mpjpe_mm=float((found_mm - observed.points_mm).norm(dim=-1).mean()),
        loss_px2=float((points_px - reprojected_px).square().sum(dim=-1).mean()),
    )
