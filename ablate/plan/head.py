"""The head of a plan: what lists of studies and versions show, read in a millisecond."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ablate.errors import StoreError
from ablate.ids import content_id
from ablate.store.files import read_json


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


def planned_studies(store_root: Path) -> list[str]:
    """List the studies that have a plan."""
    return sorted(path.parent.name for path in (store_root / "studies").glob("*/plan.json"))


def plan_path(store_root: Path, study_name: str) -> Path:
    """Give the place of a study's last plan."""
    return store_root / "studies" / study_name / "plan.json"


def version_path(store_root: Path, study_name: str, version: str) -> Path:
    """Give the place of a version of a study's plan."""
    return store_root / "studies" / study_name / "plans" / f"{version}.json"


def head_path(path: Path) -> Path:
    """Give the place of the head of the plan at `path`: `plan.head.json` beside `plan.json`."""
    return path.with_suffix(".head.json")


def plan_header(path: Path) -> PlanHead | None:
    """Give the head of the plan at `path`; made from the plan itself where an earlier ablate wrote it.

    Raises:
        StoreError: There is a plan, and it cannot be read.
    """
    return read_head(head_path(path)) or _made_head(path)


def plan_versions(store_root: Path, study_name: str) -> list[PlanHead]:
    """List the plans that a study was run with, the newest first."""
    folder = version_path(store_root, study_name, "").parent
    heads = [head for path in folder.glob("*.head.json") if (head := read_head(path))]
    return sorted(heads, key=lambda head: (head.first_used, head.version), reverse=True)


def read_head(path: Path) -> PlanHead | None:
    """Read a head; one that is not there or damaged is none, as it can be made anew."""
    try:
        content = read_json(path)
        if content is None:
            return None
        return PlanHead(**{**content, "code": tuple(content["code"]), "trial_ids": tuple(content["trial_ids"])})
    except (StoreError, KeyError, TypeError):
        return None


def _made_head(path: Path) -> PlanHead | None:
    content = read_json(path)
    if content is None:
        return None
    try:
        study, specs = content["study"], content["specs"]
        return PlanHead(
            version=content_id(sorted(specs))[:8],
            first_used=datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(),
            study=study["name"],
            title=study["title"],
            paper=study["paper"],
            scale=content["scale"],
            is_adaptive=study.get("adaptive") is not None,
            code=tuple(sorted({spec["code"] for spec in specs.values()})),
            trial_ids=tuple(specs),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: is damaged ({type(error).__name__}: {error}); run the study again") from error
