"""Measuring a keypoint detector on people before a rig, real or simulated.

The reference is the people's own detections, triangulated robustly from all views: it knows nothing of an annotation's
errors, but takes up a part of the scatter. Therefore nothing is corrected in closed form: a simulated detector is
measured in the same way before the same cameras (`core.simulator.detector_fit`). Quantiles and shares are taken, so
that nothing hangs on the extremes.

Against an annotation only two things are measured: the constant offset of a joint, and the scatter around it, which is
slow (neighbouring frames differ little) and is the annotation's as well as the detector's. `Q` percentiles.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from core.geometry.triangulation import RobustConfig, triangulate_robust
from core.openpose import BODY_18
from core.simulator.detections import Detections
from core.simulator.detector_model import GROUPS, body_length_mm, group_indices
from core.simulator.observed import Scene
from core.typing import Bool, Float, Tensor

MEASURED = GROUPS[:-1]
"""Groups that a body has; hands are not measured."""
LIMB_GROUPS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
PERCENTILES = (*range(5, 100, 5), 97, 99)
OUTLIER_PERCENT = 8.0
"""Residuals above count as outliers."""
APART_PERCENT = 4.0
"""Left and right are told apart only where they are this far from each other."""
MIN_VIEWS = 3
_ROBUST = RobustConfig(sigma_mm=50.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class People:
    """People whose joints were detected.

    Attributes:
        scene: Where they are (for annotated people: as annotated).
        found: What was detected of them, in the joints of `BODY_18`.
        is_clear: Whether nobody else is before a joint.
    """

    scene: Scene
    found: Detections
    is_clear: Bool[Tensor, "N V J"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupStatistics:
    """Of one group of joints, visible or hidden.

    Attributes:
        residual_percent: Quantiles of the distance to the own reconstruction, in percent of the body length.
        outliers: Share of residuals above `OUTLIER_PERCENT`.
        missing: Share of joints inside the image that were not found.
        confidence: Median.
        jitter: Half the range of the middle 68 percent of the confidence's logit.
        rank_correlation: Spearman's, of residual and confidence.
        count: Number of joints measured.
    """

    residual_percent: Float[Tensor, " Q"]
    outliers: float
    missing: float
    confidence: float
    jitter: float
    rank_correlation: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectorStatistics:
    """Of a detector.

    Attributes:
        visible: By group.
        hidden: By group, where the own body is before the joint.
        view_correlation: Mean over the limbs' groups of the correlation of log residuals between views.
        swaps: Share of limbs with left and right exchanged.
        missed: Share of views without the person.
        bias_percent: Mean offset of the reconstruction from the annotation: forward, outward, up, by group.
        scatter_percent: Robust standard deviation around it, along each axis of space.
    """

    visible: Mapping[str, GroupStatistics]
    hidden: Mapping[str, GroupStatistics]
    view_correlation: float
    swaps: float
    missed: float
    bias_percent: Mapping[str, tuple[float, float, float]]
    scatter_percent: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Measured:
    residual: Float[Tensor, "N V J"]
    crossed: Float[Tensor, "N V J"]
    confidence: Float[Tensor, "N V J"]
    is_found: Bool[Tensor, "N V J"]
    is_sure: Bool[Tensor, "N V J"]
    is_asked: Bool[Tensor, "N V J"]
    hidden: Bool[Tensor, "N V J"]
    group: Tensor


def measure(people: People) -> DetectorStatistics:
    """Take all statistics of a detector."""
    scene, found = people.scene, people.found
    is_found = found.confidences > 0
    own_mm = triangulate_robust(
        scene.projections.expand(len(is_found), -1, -1, -1), found.points_px.double(), _ROBUST, visible=is_found
    ).points_mm
    measured = _measured(people, own_mm)
    is_whole = _inside(scene).all(dim=-1) & (people.is_clear.double().mean(dim=-1) > 0.8)
    bias, scatter = _offsets(scene, own_mm, measured.is_sure.any(dim=1))
    by_sight = {}
    for name, hidden in (("visible", ~measured.hidden), ("hidden", measured.hidden)):
        by_sight[name] = {group: _group(measured, hidden, number) for number, group in enumerate(MEASURED)}
    return DetectorStatistics(
        visible=by_sight["visible"],
        hidden=by_sight["hidden"],
        view_correlation=_view_correlation(measured),
        swaps=_swaps(measured),
        missed=1.0 - float(is_found.any(dim=-1)[is_whole].double().mean()),
        bias_percent=bias,
        scatter_percent=scatter,
    )


def _inside(scene: Scene) -> Bool[Tensor, "N V J"]:
    points_px = scene.images_px(scene.joints_mm)
    return ((points_px >= 0) & (points_px <= scene.size_px[:, None] - 1)).all(dim=-1)


def _measured(people: People, own_mm: Float[Tensor, "N J 3"]) -> _Measured:
    scene, found = people.scene, people.found
    is_found = found.confidences > 0
    own_px = scene.images_px(own_mm)
    percent_px = scene.body_length_px()[..., None] / 100.0
    is_asked = _inside(scene) & is_found.any(dim=-1, keepdim=True) & people.is_clear
    enough = ((is_found & people.is_clear).sum(dim=1) >= MIN_VIEWS)[:, None]
    return _Measured(
        residual=(found.points_px - own_px).norm(dim=-1) / percent_px,
        crossed=(found.points_px - own_px[..., list(BODY_18.mirror), :]).norm(dim=-1) / percent_px,
        confidence=found.confidences.double(),
        is_found=is_found,
        is_sure=is_found & is_asked & enough & own_px.isfinite().all(dim=-1),
        is_asked=is_asked,
        hidden=scene.hidden(),
        group=group_indices(BODY_18.names),
    )


def _group(measured: _Measured, where: Bool[Tensor, "N V J"], number: int) -> GroupStatistics:
    of_group = where & (measured.group == number)
    sure = measured.is_sure & of_group
    residual, confidence = measured.residual[sure].double(), measured.confidence[sure]
    low_high = confidence.clamp(0.01, 0.99).logit().quantile(confidence.new_tensor([0.16, 0.84]))
    levels = torch.tensor(PERCENTILES, dtype=torch.float64) / 100.0
    return GroupStatistics(
        residual_percent=residual.quantile(levels),
        outliers=float((residual > OUTLIER_PERCENT).double().mean()),
        missing=1.0 - float(measured.is_found[measured.is_asked & of_group].double().mean()),
        confidence=float(confidence.median()),
        jitter=float(low_high[1] - low_high[0]) / 2,
        rank_correlation=_rank_correlation(residual, confidence),
        count=len(residual),
    )


def _rank_correlation(first: Float[Tensor, " N"], second: Float[Tensor, " N"]) -> float:
    ranks = torch.stack([values.argsort().argsort().double() for values in (first, second)])
    return float(torch.corrcoef(ranks)[0, 1])


def _view_correlation(measured: _Measured) -> float:
    """Correlation of log residuals of a joint in two views of a frame, about the mean of its group, sight and view."""
    level = measured.residual.nan_to_num(nan=1.0).clamp(min=1e-2).log()
    usable = measured.is_sure & (measured.residual < OUTLIER_PERCENT)
    correlations = []
    for group in LIMB_GROUPS:
        of_group = measured.group == GROUPS.index(group)
        deviation = torch.zeros_like(level)
        for where in (measured.hidden, ~measured.hidden):
            chosen = usable & of_group & where
            mean = (level * chosen).sum(dim=(0, 2), keepdim=True) / chosen.sum(dim=(0, 2), keepdim=True).clamp(min=1)
            deviation = torch.where(chosen, level - mean, deviation)
        chosen = usable & of_group
        pairs = (chosen.sum(dim=1).square() - chosen.sum(dim=1)).sum()
        products = (deviation.sum(dim=1).square() - deviation.square().sum(dim=1)).sum()
        correlations.append(float(products / pairs / deviation[chosen].square().mean()))
    return sum(correlations) / len(correlations)


def _swaps(measured: _Measured) -> float:
    """Share of limbs whose lower two joints lie at half the distance from the other side's, where sides are apart."""
    swapped = asked = 0
    for upper, lower in (("Elbow", "Wrist"), ("Knee", "Ankle")):
        joints = [BODY_18.index(f"{side}{name}") for side in "LR" for name in (upper, lower)]
        straight, crossed = measured.residual[..., joints].mean(dim=-1), measured.crossed[..., joints].mean(dim=-1)
        is_clear = measured.is_sure[..., joints].all(dim=-1) & (torch.maximum(straight, crossed) > APART_PERCENT)
        swapped += int((is_clear & (crossed < 0.5 * straight)).sum())
        asked += int(is_clear.sum())
    return swapped / max(asked, 1)


def _offsets(
    scene: Scene, own_mm: Float[Tensor, "N J 3"], is_sure: Bool[Tensor, "N J"]
) -> tuple[dict[str, tuple[float, float, float]], dict[str, float]]:
    """Bias and scatter of the reconstruction about the scene's joints, in the body's frame; medians throughout."""
    offset = (own_mm - scene.joints_mm) @ scene.body_frames().to(own_mm) / body_length_mm(scene.body_mm)[:, None, None]
    bias, scatter = {}, {}
    for group in LIMB_GROUPS:
        centred, medians = [], []
        for joint, name in enumerate(BODY_18.names):
            if GROUPS[int(group_indices(BODY_18.names)[joint])] == group and name != "Neck":
                values = 100.0 * offset[is_sure[:, joint], joint]
                values = values * values.new_tensor([1.0, 1.0 if name[0] == "L" else -1.0, 1.0])
                medians.append(values.median(dim=0).values)
                centred.append(values - medians[-1])
        forward, outward, up = torch.stack(medians).mean(dim=0).tolist()
        bias[group] = (forward, outward, up)
        scatter[group] = 1.4826 * float(torch.cat(centred).abs().median(dim=0).values.square().mean().sqrt())
    return bias, scatter
