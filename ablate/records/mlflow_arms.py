"""What tells a study's arms apart, as tags with short names: `arm.weighting = uniform`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ablate.records.mlflow_content import flat

if TYPE_CHECKING:
    from ablate.plan.model import Plan
    from ablate.trial import TrialSpec

ARM_PREFIX = "arm."


def arm_tags(plan: Plan) -> dict[str, dict[str, str]]:
    """Give each arm trial's tags by its id: the parameters in which the arms of the study differ.

    What the stages before it were told counts as told to a trial. Names are cut to their shortest unambiguous end.
    """
    told: dict[str, dict[str, str]] = {}
    effective = {trial.spec.id: _effective(plan, trial.spec, told) for trial in plan.trials if trial.role == "arm"}
    values: dict[str, set[str | None]] = {}
    for name in {name for parameters in effective.values() for name in parameters}:
        values[name] = {parameters.get(name) for parameters in effective.values()}
    short = short_names(sorted(name for name, found in values.items() if len(found) > 1))
    return {
        trial_id: {f"{ARM_PREFIX}{short[name]}": value for name, value in parameters.items() if name in short}
        for trial_id, parameters in effective.items()
    }


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Cut dotted names to the shortest end that no other of them has: `method.loss.weighting` to `weighting`."""
    ends: dict[str, int] = {}
    parts = {name: name.split(".") for name in names}
    for one in parts.values():
        for length in range(1, len(one) + 1):
            end = ".".join(one[-length:])
            ends[end] = ends.get(end, 0) + 1
    return {name: _shortest(one, ends) for name, one in parts.items()}


def _shortest(parts: list[str], ends: Mapping[str, int]) -> str:
    candidates = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
    return next((end for end in candidates if ends[end] == 1), ".".join(parts))


def _effective(plan: Plan, spec: TrialSpec, told: dict[str, dict[str, str]]) -> dict[str, str]:
    """Flatten a trial's parameters over those of the stages it needs; `told` keeps what is done."""
    if spec.id not in told:
        found: dict[str, str] = {}
        for needed in spec.needs.values():
            if needed in plan.specs:
                found |= _effective(plan, plan.specs[needed], told)
        told[spec.id] = found | dict(flat(spec.parameters))
    return told[spec.id]
