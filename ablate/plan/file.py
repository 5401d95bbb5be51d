"""The plans of a study in the store: written before anything runs, read back without importing a task.

`plan.json` is the last one, `plans/<version>.json` every one there was. Beside each lies a small head, which lists of
studies and of versions are made of.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter

from ablate.errors import Fault, StoreError, StudyError
from ablate.plan.grown import grown
from ablate.plan.head import PlanHead, head_name, plan_name, plan_versions, planned_studies, read_head, version_name
from ablate.plan.model import PlaceInPlan, Plan, PlannedSearch, PlannedTrial
from ablate.store import Store
from ablate.store.files import json_text, parse_json
from ablate.store.medium import Location, open_medium
from ablate.study.model import Study
from ablate.trial import Json, Resources, TrialSpec
from ablate.wording import expected_one_of

_SCHEMA = 1
_STUDY = TypeAdapter(Study)
_PREVIOUS = "previous"


def save_plan(location: Location, plan: Plan) -> None:
    """Write a plan as the study's last one and as one of its versions.

    Each file is the old one or the new one at every moment, and is left alone where nothing changes.

    Raises:
        StoreError: A file cannot be written.
    """
    text, medium = _text(plan), open_medium(location)
    version, last = version_name(plan.study.name, plan.version), plan_name(plan.study.name)
    known = read_head(medium, version)
    first_used = known.first_used if known else datetime.now(UTC).isoformat()
    head = json_text(asdict(_head(plan, first_used)))
    for name, content in ((version, text), (head_name(version), head), (last, text), (head_name(last), head)):
        if medium.read(name) != content:
            medium.write(name, content)


def load_plan(location: Location, study_name: str, version: str | None = None) -> Plan:
    """Read a plan of a study, with all that its searches have proposed.

    Args:
        location: Folder or URL of the store.
        study_name: Name of the study.
        version: The beginning of a version's name; `previous` for the newest that is not the last plan's, of the same
            scale if there is one; by default the last plan.

    Raises:
        StudyError: No study of that name was planned in this store, or it has no such version; names those there are.
        StoreError: The file is damaged, or was written by another version of the platform.
    """
    medium, name = open_medium(location), plan_name(study_name)
    if version is not None and medium.exists(name):
        name = _version_name(location, study_name, version)
    data, path = medium.read(name), medium.where(name)
    if data is None:
        known = planned_studies(location)
        rule = expected_one_of(study_name, known) if known else "it has none yet: `ablate run` plans and runs a study"
        where = medium.where("").rstrip("/")
        raise StudyError([Fault(message=f"the store {where} has no plan of study '{study_name}'; {rule}")])
    content = parse_json(data, path)
    if content.get("schema") != _SCHEMA:
        raise StoreError(f"{path}: expected schema {_SCHEMA}, found {content.get('schema')}: run the study again")
    try:
        return grown(_plan(content), Store(location))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StoreError(f"{path}: is damaged ({type(error).__name__}: {error}); run the study again") from error


def places_of_last_plan(
    location: Location, study_name: str, scale: str | None = None
) -> dict[PlaceInPlan, list[TrialSpec]]:
    """Give what the study's last plan had in each place; nothing where there is none that can be read.

    Args:
        location: Folder or URL of the store.
        study_name: Name of the study.
        scale: Asks for the last plan at this scale.
    """
    medium = open_medium(location)
    earlier = (head.version for head in plan_versions(location, study_name) if scale in {None, head.scale})
    found: dict[PlaceInPlan, list[TrialSpec]] = {}
    for name in (plan_name(study_name), *(version_name(study_name, version) for version in earlier)):
        try:
            data = medium.read(name)
            content = None if data is None else parse_json(data, name)
            if content is None or scale not in {None, content["scale"]}:
                continue
            for entry in content["trials"]:
                place = (entry["role"], entry["name"], entry["seed"])
                found.setdefault(place, []).append(_spec(content["specs"][entry["id"]]))
        except (StoreError, KeyError, TypeError):
            return {}
        return found
    return {}


def _version_name(location: Location, study_name: str, version: str) -> str:
    """Find the file of a version.

    Raises:
        StudyError: There is none, or there are several.
    """
    heads = plan_versions(location, study_name)
    last = read_head(open_medium(location), plan_name(study_name))
    if version == _PREVIOUS and last is not None:
        others = [head for head in heads if head.version != last.version]
        found = [head for head in others if head.scale == last.scale][:1] or others[:1]
    else:
        found = [head for head in heads if version and head.version.startswith(version)]
    if len(found) == 1:
        return version_name(study_name, found[0].version)
    shown = "; ".join(str(head) for head in found or heads) or "it was planned by an earlier ablate, which kept none"
    problem = f"several versions '{version}'" if found else f"no version '{version}'"
    raise StudyError([Fault(message=f"study '{study_name}' has {problem} of its plan; there are: {shown}")])


def _head(plan: Plan, first_used: str) -> PlanHead:
    return PlanHead(
        version=plan.version,
        first_used=first_used,
        study=plan.study.name,
        title=plan.study.title,
        paper=plan.study.paper,
        scale=plan.scale,
        is_adaptive=plan.study.adaptive is not None or bool(plan.searches),
        code=tuple(sorted({spec.code for spec in plan.specs.values()})),
        trial_ids=tuple(plan.specs),
    )


def _text(plan: Plan) -> bytes:
    """Write a plan as JSON with one line per trial: as quick to write as to read, and readable by people."""
    head = {
        "schema": _SCHEMA,
        "study": _STUDY.dump_python(plan.study, mode="json"),
        "scale": plan.scale,
        "seeds": list(plan.seeds),
        "configuration": dict(plan.configuration),
        "code": {digest: dict(files) for digest, files in plan.code.items()},
        "searches": [asdict(search) for search in plan.searches],
        "grown_from": plan.grown_from,
    }
    trials = [
        _json(
            {
                "id": trial.spec.id,
                "role": trial.role,
                "name": trial.name,
                "seed": trial.spec.seed,
                "label": trial.label,
            }
        )
        for trial in plan.trials
    ]
    specs = [
        f"{_json(id_)}: {_json(spec.content() | {'resources': asdict(spec.resources)})}"
        for id_, spec in plan.specs.items()
    ]
    lines = [f"{_json(key)}: {_json(value)}" for key, value in head.items()]
    lines.append(f'"trials": [\n{_LINES.join(trials)}\n]')
    lines.append(f'"specs": {{\n{_LINES.join(specs)}\n}}')
    return f"{{\n{_LINES.join(lines)}\n}}\n".encode()


_LINES = ",\n"


def _json(content: Json) -> str:
    return json.dumps(content, allow_nan=False, ensure_ascii=False)


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
        code=content.get("code", {}),
        searches=tuple(
            PlannedSearch(**{**search, "arms": tuple(search["arms"])}) for search in content.get("searches", ())
        ),
        grown_from=content.get("grown_from", ""),
    )


def _spec(entry: Mapping[str, Any]) -> TrialSpec:
    return TrialSpec(**{**entry, "resources": Resources(**entry["resources"])})
