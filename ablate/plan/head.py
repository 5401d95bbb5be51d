"""The head of a plan: what lists of studies and versions show, read in a millisecond."""

from dataclasses import dataclass
from datetime import UTC, datetime

from ablate.errors import StoreError
from ablate.ids import content_id
from ablate.store.files import parse_json
from ablate.store.medium import Location, Medium, open_medium


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanHead:
    """What a plan is, in short.

    Args:
        version: Name of this set of trials (`Plan.version`).
        first_used: When it was first carried out, ISO 8601 in UTC.
        study: Name of the study.
        title: Its title.
        paper: `<paper key>/<table id>` of the published table.
        scale: Name of the scale.
        is_adaptive: Whether results decide which of the trials run.
        code: The trials' code fingerprints.
        trial_ids: The trials, each once.
    """

    version: str
    first_used: str
    study: str
    title: str
    paper: str | None
    scale: str
    is_adaptive: bool
    code: tuple[str, ...]
    trial_ids: tuple[str, ...]

    @property
    def num_trials(self) -> int:
        """How many trials there are, at most where replication is adaptive."""
        return len(self.trial_ids)

    def __str__(self) -> str:
        return f"{self.version} ({self.scale}, {self.num_trials} trials, first run {self.first_used[:16]}Z)"


def planned_studies(location: Location) -> list[str]:
    """List the studies that have a plan in the store at a location."""
    medium = open_medium(location)
    return [name for name in medium.names("studies") if medium.exists(plan_name(name))]


def plan_name(study_name: str) -> str:
    """Name the study's last plan in a store."""
    return f"studies/{study_name}/plan.json"


def version_name(study_name: str, version: str) -> str:
    """Name a version of a study's plan in a store."""
    return f"studies/{study_name}/plans/{version}.json"


def head_name(name: str) -> str:
    """Name the head of a plan: `plan.head.json` beside `plan.json`."""
    return f"{name.removesuffix('.json')}.head.json"


def last_head(location: Location, study_name: str) -> PlanHead | None:
    """Give the head of a study's last plan; made from the plan itself where an earlier ablate wrote it.

    Raises:
        StoreError: There is a plan, and it cannot be read.
    """
    medium, name = open_medium(location), plan_name(study_name)
    return read_head(medium, name) or _made_head(medium, name)


def plan_versions(location: Location, study_name: str) -> list[PlanHead]:
    """List the plans that a study was run with, the newest first."""
    medium, suffix = open_medium(location), head_name(".json")
    folder = version_name(study_name, "").rpartition("/")[0]
    names = [name.removesuffix(suffix) for name in medium.names(folder) if name.endswith(suffix)]
    heads = [head for version in names if (head := read_head(medium, version_name(study_name, version)))]
    return sorted(heads, key=lambda head: (head.first_used, head.version), reverse=True)


def read_head(medium: Medium, name: str) -> PlanHead | None:
    """Read the head of a plan; one that is not there or damaged is none, as it can be made anew."""
    try:
        data = medium.read(head_name(name))
        if data is None:
            return None
        content = parse_json(data, name)
        return PlanHead(**{**content, "code": tuple(content["code"]), "trial_ids": tuple(content["trial_ids"])})
    except (StoreError, KeyError, TypeError):
        return None


def _made_head(medium: Medium, name: str) -> PlanHead | None:
    data = medium.read(name)
    if data is None:
        return None
    where = medium.where(name)
    content = parse_json(data, where)
    try:
        study, specs = content["study"], content["specs"]
        return PlanHead(
            version=content_id(sorted(specs))[:8],
            first_used=datetime.fromtimestamp(medium.modified(name) or 0.0, UTC).isoformat(),
            study=study["name"],
            title=study["title"],
            paper=study["paper"],
            scale=content["scale"],
            is_adaptive=study.get("adaptive") is not None,
            code=tuple(sorted({spec["code"] for spec in specs.values()})),
            trial_ids=tuple(specs),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{where}: is damaged ({type(error).__name__}: {error}); run the study again") from error
