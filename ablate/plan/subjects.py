"""A trial's subject: what it is apart from its code and data, so that earlier versions of it are found again."""

from collections.abc import Mapping

from ablate.ids import content_id
from ablate.plan.model import Plan
from ablate.trial import TrialSpec


def subjects(plan: Plan) -> dict[str, str]:
    """Give the subject of each trial of a plan, by trial id."""
    found: dict[str, str] = {}
    for id_, spec in plan.specs.items():
        found[id_] = subject(spec, found)
    return found


def subject(spec: TrialSpec, of_needs: Mapping[str, str]) -> str:
    """Hash a trial without its code and data.

    Args:
        spec: The trial.
        of_needs: Subject of each trial that it needs, by trial id.
    """
    return content_id(_content(spec, of_needs))


def subject_with_data(spec: TrialSpec, of_needs: Mapping[str, str]) -> str:
    """Hash a trial without its code, but with the fingerprints of its data.

    Args:
        spec: The trial.
        of_needs: The same of each trial that it needs, by trial id.
    """
    return content_id(_content(spec, of_needs) | {"data": dict(spec.data)})


def _content(spec: TrialSpec, of_needs: Mapping[str, str]) -> dict[str, object]:
    return {
        "task": spec.task,
        "parameters": spec.parameters,
        "seed": spec.seed,
        "needs": {name: of_needs[need] for name, need in spec.needs.items()},
    }
