"""How OpenPose errs on Shelf, beside a simulated detector that is measured in the same way before the same cameras.

People detected in the views are assigned to the actors by `core.tasks.shelf.match_by_truth`. Axis letters beyond the
usual: `F` frames, `A` actors, `N` actors in frames in which they are there.
"""

import math
from dataclasses import dataclass, field

import torch

from core.data.shelf import BODY_25, ShelfConfig, ShelfSequence, read_shelf
from core.geometry.rig import Rig, projections
from core.interfaces import Trial
from core.openpose import BODY_18
from core.simulator.detections import Detections, DetectorNoise, detect, draw_chance
from core.simulator.detector_fit import improve
from core.simulator.detector_fitted import FITTED
from core.simulator.detector_model import DetectorModel
from core.simulator.detector_statistics import MEASURED, PERCENTILES, DetectorStatistics, People, measure
from core.simulator.motion import simulate_motion
from core.simulator.observed import Scene
from core.simulator.occlusion import body_capsules, hidden_by
from core.simulator.openpose_body import openpose_body
from core.simulator.streams import stream
from core.simulator.subjects import draw_subjects
from core.skeleton import HUMAN36M, SHELF
from core.tasks.shelf import match_by_truth
from core.typing import Bool, Float, Tensor

FLOOR_MM = (2_200.0, 2_000.0)
FPS = 5.0
NUM_SUBJECTS = 6
FIT_SEED = 1_000
NUM_ROUNDS = 14
"""The fit rests after about eight."""
MATCH_PX = 80.0
"""Wider than for triangulation, so that people with grave errors stay in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelfDetectionsMethod:
    """The simulated detector that stands beside the real one.

    Attributes:
        noise: Its errors.
        num_frames: How many people it looks at, in five views each.
    """

    noise: DetectorNoise = field(default_factory=DetectorNoise)
    num_frames: int = 1_500


def run(*, method: ShelfDetectionsMethod, data: ShelfConfig, seed: int, trial: Trial) -> dict[str, float]:
    """Measure both detectors.

    Curves: at each percentile of the residual's length (percent of the body length) the real and the simulated value,
    by group of joints, visible and hidden by the own body.

    Returns:
        `quantiles/<group>` and `quantiles/<group>_hidden`: the largest |log ratio| of the two quantile functions from
        10 to 95 percent, and `quantiles/worst_factor`, `hidden/worst_factor`, the largest of them as factors.
        `missing`, `outliers` (percent points) and `rank_correlation` of confidence and residual: simulated less real,
        by group, and `.../worst`, the largest of the visible (`worst_hidden`: of the hidden).
        `real/...` and `simulated/...`: the values themselves.
    """
    sequence = read_shelf(data)
    real = measure(real_people(sequence, data.match_px))
    simulated = measure(simulated_people(sequence.rig, method.num_frames, seed, method.noise))
    for at, percentile in enumerate(PERCENTILES):
        trial.report(percentile, _point(real, "real", at) | _point(simulated, "simulated", at))
    return _compare(real, simulated)


def fit(
    sequence: ShelfSequence, *, start: DetectorModel = FITTED, num_rounds: int = NUM_ROUNDS, num_frames: int = 1_500
) -> DetectorModel:
    """Fit the detector's model to the sequence by rounds of indirect inference, from any start."""
    real = measure(real_people(sequence, MATCH_PX))
    model = start
    for _ in range(num_rounds):
        people = simulated_people(sequence.rig, num_frames, FIT_SEED, DetectorNoise(), model)
        model = improve(model, real, measure(people))
    return model


def real_people(sequence: ShelfSequence, match_px: float) -> People:
    """Give what was detected of every actor in every frame in which he is there."""
    matched = match_by_truth(sequence, match_px)
    is_there = sequence.truth_mm.isfinite().flatten(2).all(dim=-1)
    body_mm = _human36m(sequence.truth_mm)
    scene = _scene(body_mm[is_there].float(), sequence.rig)
    others = _hidden_by_others(body_mm.float(), is_there, sequence.rig)
    kept = [BODY_25.index(name) for name in BODY_18.names]
    found = Detections(
        points_px=matched.points_px[is_there][..., kept, :], confidences=matched.scores[is_there][..., kept]
    )
    return People(scene=scene, found=found, is_clear=~others)


def simulated_people(
    rig: Rig, num_frames: int, seed: int, noise: DetectorNoise, model: DetectorModel = FITTED
) -> People:
    """Let simulated players move where the actors did, each seen alone."""
    generator = stream(seed, "motion")
    subjects = draw_subjects(NUM_SUBJECTS, generator)
    motion = simulate_motion(subjects, -(-num_frames // NUM_SUBJECTS), fps=FPS, floor_mm=FLOOR_MM, generator=generator)
    body_mm = motion.joints_mm.transpose(0, 1).flatten(0, 1)[:num_frames] + torch.tensor([550.0, -150.0, 0.0])
    scene = _scene(body_mm, rig)
    views = [stream(seed, "detector", view) for view in range(len(rig))]
    chance = draw_chance(num_frames, BODY_18.num_joints, stream(seed, "detector"), views)
    found = detect(scene, noise, chance, model)
    return People(scene=scene, found=found, is_clear=torch.ones_like(found.confidences, dtype=torch.bool))


def _scene(body_mm: Float[Tensor, "N 17 3"], rig: Rig) -> Scene:
    return Scene(
        skeleton=BODY_18,
        joints_mm=openpose_body(body_mm),
        body_mm=body_mm,
        projections=projections(rig),
        size_px=torch.tensor([camera.size_px for camera in rig], dtype=torch.float32),
    )


def _human36m(joints_mm: Float[Tensor, "*batch 15 3"]) -> Float[Tensor, "*batch 17 3"]:
    """Annotated bodies in Human3.6M's joints, as far as outline, size and heading need them."""

    def middle(*names: str) -> Tensor:
        return joints_mm[..., [SHELF.index(name) for name in names], :].mean(dim=-2)

    pelvis, thorax = middle("Pelvis"), middle("LShoulder", "RShoulder")
    named = {"Hip": pelvis, "Thorax": thorax, "Spine": (pelvis + thorax) / 2}
    named |= {"Neck": middle("BottomHead"), "Head": middle("TopHead")}
    return torch.stack([named[name] if name in named else middle(name) for name in HUMAN36M.names], dim=-2)


def _hidden_by_others(
    body_mm: Float[Tensor, "F A 17 3"], is_there: Bool[Tensor, "F A"], rig: Rig
) -> Bool[Tensor, "N V 18"]:
    """Whether another actor is before a joint."""
    num_frames, num_actors = is_there.shape
    hidden = torch.zeros(num_frames, num_actors, len(rig), BODY_18.num_joints, dtype=torch.bool)
    for actor in range(num_actors):
        for other in set(range(num_actors)) - {actor}:
            both = is_there[:, actor] & is_there[:, other]
            capsules = body_capsules(body_mm[both, other])
            hidden[both, actor] |= hidden_by(capsules, openpose_body(body_mm[both, actor]), projections(rig).float())
    return hidden[is_there]


def _point(statistics: DetectorStatistics, name: str, at: int) -> dict[str, float]:
    groups = {f"{name}/{group}": values for group, values in statistics.visible.items()}
    groups |= {f"{name}/{group}_hidden": values for group, values in statistics.hidden.items()}
    return {group: float(values.residual_percent[at]) for group, values in groups.items()}


def _compare(real: DetectorStatistics, simulated: DetectorStatistics) -> dict[str, float]:
    """Set both side by side, and give the largest difference of each kind."""
    low, high = PERCENTILES.index(10), PERCENTILES.index(95) + 1
    differences: dict[str, dict[str, float]] = {"quantiles": {}, "missing": {}, "rank_correlation": {}, "outliers": {}}
    for suffix, first, second in (("", real.visible, simulated.visible), ("_hidden", real.hidden, simulated.hidden)):
        for group in MEASURED:
            ratios = (second[group].residual_percent[low:high] / first[group].residual_percent[low:high]).log()
            differences["quantiles"][f"{group}{suffix}"] = float(ratios.abs().max())
            for name, unit in (("missing", 100.0), ("outliers", 100.0), ("rank_correlation", 1.0)):
                difference = getattr(second[group], name) - getattr(first[group], name)
                differences[name][f"{group}{suffix}"] = unit * difference
    result = {
        "quantiles/worst_factor": math.exp(max(differences["quantiles"][group] for group in MEASURED)),
        "hidden/worst_factor": math.exp(max(differences["quantiles"][f"{group}_hidden"] for group in MEASURED)),
    }
    for name, values in differences.items():
        result |= {f"{name}/{group}": value for group, value in values.items()}
        if name != "quantiles":
            result[f"{name}/worst"] = max(abs(values[group]) for group in MEASURED)
    result["missing/worst_hidden"] = max(abs(differences["missing"][f"{group}_hidden"]) for group in MEASURED)
    return result | _shares("real", real) | _shares("simulated", simulated)


def _shares(name: str, statistics: DetectorStatistics) -> dict[str, float]:
    shares = {"swaps": 100.0 * statistics.swaps, "missed": 100.0 * statistics.missed}
    shares["view_correlation"] = statistics.view_correlation
    for group, values in statistics.visible.items():
        shares[f"missing/{group}"] = 100.0 * values.missing
        shares[f"outliers/{group}"] = 100.0 * values.outliers
        shares[f"rank_correlation/{group}"] = values.rank_correlation
        shares[f"missing/{group}_hidden"] = 100.0 * statistics.hidden[group].missing
    return {f"{name}/{key}": value for key, value in shares.items()}
