"""Choosing a detector's model such that, simulated, it measures like a real detector (indirect inference)."""

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType

from core.simulator.detector_model import DetectorModel, JointNoise
from core.simulator.detector_statistics import (
    LIMB_GROUPS,
    MEASURED,
    PERCENTILES,
    DetectorStatistics,
    GroupStatistics,
)

ANNOTATION_SHARE = 0.5
"""Part of the variance of the scatter between reconstructions and annotations that is laid to the annotations. Nothing
in the data tells the two apart: half is an assumption, not a measurement."""


def parameters(model: DetectorModel) -> Mapping[str, float]:
    """Every number of a model, by name."""
    flat = {field.name: getattr(model, field.name) for field in fields(model) if field.name != "groups"}
    for group, noise in model.groups.items():
        for field in fields(noise):
            value = getattr(noise, field.name)
            parts = dict(enumerate(value)) if field.name == "bias" else {"": value}
            flat |= {f"{group}/{field.name}{part}": number for part, number in parts.items()}
    return flat


def improve(model: DetectorModel, real: DetectorStatistics, simulated: DetectorStatistics) -> DetectorModel:
    """Move every parameter by what its own statistic lacks; repeated, it comes to rest where all agree."""
    groups = {name: _improve_group(model.groups[name], name, real, simulated) for name in MEASURED}
    groups["hand"] = hand_like(groups["wrist"])
    furthest = [_ratio(real.visible[group], simulated.visible[group], 99) for group in LIMB_GROUPS]
    return DetectorModel(
        groups=MappingProxyType(groups),
        correlation=min(max(model.correlation + real.view_correlation - simulated.view_correlation, 0.0), 1.0),
        outlier_spread=model.outlier_spread * math.prod(furthest) ** (0.5 / len(furthest)),
        swaps=_moved(model.swaps, real.swaps, simulated.swaps),
        missed=_moved(model.missed, real.missed, simulated.missed),
    )


def hand_like(wrist: JointNoise) -> JointNoise:
    """Assume for hands, which are not measured: as the wrist, half the scatter, twice the missing, less sure."""
    return replace(
        wrist,
        spread=wrist.spread / 2,
        hidden_spread=wrist.hidden_spread / 2,
        missing=2 * wrist.missing,
        confidence=0.6,
        hidden_confidence=0.4,
    )


def _improve_group(
    noise: JointNoise, group: str, real: DetectorStatistics, simulated: DetectorStatistics
) -> JointNoise:
    seen, seen_now = real.visible[group], simulated.visible[group]
    hidden, hidden_now = real.hidden[group], simulated.hidden[group]
    return replace(
        noise,
        spread=noise.spread * _ratio(seen, seen_now, 50),
        tail=_steeper(noise.tail, seen, seen_now),
        outliers=_moved(noise.outliers, seen.outliers, seen_now.outliers),
        missing=_moved(noise.missing, seen.missing, seen_now.missing),
        hidden_spread=noise.hidden_spread * _ratio(hidden, hidden_now, 50),
        hidden_tail=_steeper(noise.hidden_tail, hidden, hidden_now),
        hidden_outliers=_moved(noise.hidden_outliers, hidden.outliers, hidden_now.outliers),
        hidden_missing=_moved(noise.hidden_missing, hidden.missing, hidden_now.missing),
        common=_common(noise.common, group, real, simulated),
        confidence=_moved(noise.confidence, seen.confidence, seen_now.confidence),
        hidden_confidence=_moved(noise.hidden_confidence, hidden.confidence, hidden_now.confidence),
        doubt=max(noise.doubt + seen_now.rank_correlation - seen.rank_correlation, 0.0),
        jitter=max(noise.jitter + seen.jitter - seen_now.jitter, 0.05),
        bias=_bias(noise.bias, group, real, simulated),
    )


def _ratio(real: GroupStatistics, simulated: GroupStatistics, percentile: int) -> float:
    at = PERCENTILES.index(percentile)
    return float(real.residual_percent[at] / simulated.residual_percent[at])


def _moved(parameter: float, real: float, simulated: float) -> float:
    return min(max(parameter + real - simulated, 0.0), 0.95)


def _steeper(tail: float, real: GroupStatistics, simulated: GroupStatistics) -> float:
    """Move the tail by the ratio of the 90th percentile to the median; a normal's 90th is 1.28 deviations out."""
    return max(tail + math.log(_ratio(real, simulated, 90) / _ratio(real, simulated, 50)) / 1.28, 0.0)


def _common(common: float, group: str, real: DetectorStatistics, simulated: DetectorStatistics) -> float:
    """Move the common scatter until the simulated one is the detector's part of the real one."""
    if group not in LIMB_GROUPS:
        return common
    wanted = (1.0 - ANNOTATION_SHARE) * real.scatter_percent[group] ** 2
    return max(common**2 + wanted - simulated.scatter_percent[group] ** 2, 0.0) ** 0.5


def _bias(
    bias: tuple[float, float, float], group: str, real: DetectorStatistics, simulated: DetectorStatistics
) -> tuple[float, float, float]:
    if group not in LIMB_GROUPS:
        return bias
    lacking = zip(real.bias_percent[group], simulated.bias_percent[group], strict=True)
    forward, outward, up = (old + wanted - now for old, (wanted, now) in zip(bias, lacking, strict=True))
    return forward, outward, up
