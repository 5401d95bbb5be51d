"""The plan of a study in the store: written before anything runs, read back without importing a task."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ablate.errors import Fault, StoreError, StudyError
from ablate.plan.model import Plan, PlannedTrial
from ablate.store.files import read_json, write_json
from ablate.study.model import Study
from ablate.trial import Json, Resources, TrialSpec
from ablate.wording import expected_one_of

_SCHEMA = 1
_STUDY = TypeAdapter(Study)


def plan_path(store_root: Path, study_name: str) -> Path:
    """Give the place of a study's plan."""
    return store_root / "studies" / study_name / "plan.json"


def planned_studies(store_root: Path) -> list[str]:
    """List the studies that have a plan."""
    return sorted(path.parent.name for path in (store_root / "studies").glob("*/plan.json"))


def save_plan(store_root: Path, plan: Plan) -> None:
    """Write a plan; the file is the old one or the new one at every moment.

    Raises:
        StoreError: The file cannot be written.
    """
    content = {
        "schema": _SCHEMA,
        "study": _STUDY.dump_python(plan.study, mode="json"),
        "scale": plan.scale,
        "seeds": list(plan.seeds),
        "configuration": dict(plan.configuration),
        "trials": [
            {
                "id": trial.spec.id,
                "role": trial.role,
                "name": trial.name,
                "seed": trial.spec.seed,
                "label": trial.label,
            }
            for trial in plan.trials
        ],
        "specs": {id_: spec.content() | {"resources": asdict(spec.resources)} for id_, spec in plan.specs.items()},
    }
    write_json(plan_path(store_root, plan.study.name), content)


def load_plan(store_root: Path, study_name: str) -> Plan:
    """Read the plan of a study.

    Raises:
        StudyError: No study of that name was planned in this store; names those that were.
        StoreError: The file is damaged, or was written by another version.
    """
    path = plan_path(store_root, study_name)
    content = read_json(path)
    if content is None:
        known = planned_studies(store_root)
        rule = expected_one_of(study_name, known) if known else "it has none yet: `ablate run` plans and runs a study"
        raise StudyError([Fault(message=f"the store {store_root} has no plan of study '{study_name}'; {rule}")])
    if content.get("schema") != _SCHEMA:
        raise StoreError(f"{path}: expected schema {_SCHEMA}, found {content.get('schema')}: run the study again")
    try:
        return _plan(content)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StoreError(f"{path}: is damaged ({type(error).__name__}: {error}); run the study again") from error


def _plan(content: Mapping[str, Json]) -> Plan:
    specs = {id_: _spec(entry) for id_, entry in content["specs"].items()}
    for id_, spec in specs.items():
        if spec.id != id_:
            raise ValueError(f"trial {id_} hashes to {spec.id}")
    return Plan(
        study=_STUDY.validate_json(json.dumps(content["study"])),
        scale=content["scale"],
        seeds=tuple(content["seeds"]),
        trials=tuple(
            PlannedTrial(spec=specs[entry["id"]], role=entry["role"], name=entry["name"]) for entry in content["trials"]
        ),
        configuration=content["configuration"],
    )


def _spec(entry: Mapping[str, Any]) -> TrialSpec:
    return TrialSpec(**{**entry, "resources": Resources(**entry["resources"])})
