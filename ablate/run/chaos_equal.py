"""Whether two stores hold the same outcome of a plan: records, curves, files and reports byte for byte, and MLflow.

Left out is what two undisturbed runs differ in: of a record, `run` (times, host, attempt); of a point, its attempt; of
`report.md` and `report.html`, the sections Cost and What ran; of `report.json`, `cost` and the times and hosts under
`versions`; of `summary.json`, when it was written; of MLflow, times, tags, and the samples of the machine. A file that
a killed attempt left half written beside those of the trial (under a name of its own) is counted, and is no difference.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ablate.plan.model import Plan
from ablate.run.chaos_mlflow import mlflow_differences
from ablate.store import CurvePoint, Store
from ablate.store.files import encode_metrics
from ablate.trial import Json, Status

REPORT_FILES = (
    *("report.md", "report.html", "report.tex", "report.json", "summary.json"),
    *("results.csv", "contrasts.csv", "table.tex", "plan.json"),
)
_MARKDOWN_SECTIONS = re.compile(r"^## (?:Cost|What ran)\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_PAGE_SECTIONS = re.compile(r'<section id="(?:cost|what)">.*?</section>', re.DOTALL)
_MAX_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which a disturbed run came out otherwise: what it is, and both sides of it."""

    where: str
    disturbed: str
    undisturbed: str

    def __str__(self) -> str:
        return f"{self.where}: {self.disturbed}; undisturbed: {self.undisturbed}"


def find_differences(plan: Plan, disturbed: Store, undisturbed: Store) -> list[Difference]:
    """Compare what two runs of a plan left, in the plan's order; empty where they are equal."""
    found: list[Difference] = []
    for trial_id, label in plan.labels.items():
        found += _trial_differences(trial_id, label, disturbed, undisturbed)
    folders = [store.root / "studies" / plan.study.name for store in (disturbed, undisturbed)]
    figures = {f"figures/{path.name}" for folder in folders for path in folder.glob("figures/*")}
    for name in (*REPORT_FILES, *sorted(figures)):
        found += _difference(name, *(_report(folder / name) for folder in folders))
    found += _doubled(plan, disturbed)
    sides = mlflow_differences(disturbed.root, undisturbed.root)
    return found + [Difference(where=f"MLflow: {where}", disturbed=a, undisturbed=b) for where, a, b in sides]


def _trial_differences(trial_id: str, label: str, disturbed: Store, undisturbed: Store) -> Iterator[Difference]:
    stores = (disturbed, undisturbed)
    yield from _difference(f"{label} ({trial_id}): record", *(_record(store, trial_id) for store in stores))
    yield from _difference(f"{label} ({trial_id}): curves", *(_curves(store, trial_id) for store in stores))
    files = [_files(store.artifacts(trial_id)) for store in stores]
    for name in sorted(files[1]):
        yield from _difference(f"{label} ({trial_id}): file {name}", *(found.get(name, "") for found in files))


def leftover_files(plan: Plan, disturbed: Store, undisturbed: Store) -> list[str]:
    """Give the files of trials that only the disturbed run has."""
    found = []
    for trial_id, label in plan.labels.items():
        more = _files(disturbed.artifacts(trial_id)).keys() - _files(undisturbed.artifacts(trial_id)).keys()
        found += [f"{label} ({trial_id}): {name}" for name in sorted(more)]
    return found


def _difference(where: str, disturbed: str, undisturbed: str) -> Iterator[Difference]:
    """Tell of two texts that differ: the first lines in which they do."""
    if disturbed == undisturbed:
        return
    sides = [text.splitlines() for text in (disturbed, undisturbed)]
    place = next((number for number, pair in enumerate(zip(*sides, strict=False)) if pair[0] != pair[1]), None)
    if place is None:
        place = min(map(len, sides))
    shown = [(lines[place] if place < len(lines) else "nothing")[:_MAX_SHOWN] for lines in sides]
    yield Difference(where=f"{where}, line {place + 1}", disturbed=shown[0], undisturbed=shown[1])


def _record(store: Store, trial_id: str) -> str:
    record = store.record(trial_id)
    if record is None:
        return "no record"
    content = {key: value for key, value in asdict(record).items() if key not in ("run", "metrics")}
    # A number that JSON lacks is not equal to itself; its text is.
    return json.dumps({**content, "metrics": encode_metrics(record.metrics)}, sort_keys=True)


def _curves(store: Store, trial_id: str) -> str:
    return "\n".join(_point(point) for point in store.curves(trial_id))


def _point(point: CurvePoint) -> str:
    return json.dumps({"step": point.step, "metrics": encode_metrics(point.metrics)})


def _files(folder: Path) -> dict[str, str]:
    """Give the digest of each file, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _report(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return "no such file"
    if path.suffix == ".md":
        return _MARKDOWN_SECTIONS.sub("", text)
    if path.suffix == ".html":
        return _PAGE_SECTIONS.sub("", text)
    if path.name in ("report.json", "summary.json"):
        return json.dumps(_without_times(json.loads(text)), indent=1, sort_keys=True)
    return text


def _without_times(content: Mapping[str, Json]) -> dict[str, Json]:
    kept = {key: value for key, value in content.items() if key not in ("cost", "written")}
    if "versions" in kept:
        kept["versions"] = {
            key: value for key, value in kept["versions"].items() if key not in ("hosts", "first", "last")
        }
    return kept


def _doubled(plan: Plan, disturbed: Store) -> Iterator[Difference]:
    """Tell of trials with more than one finished record."""
    for trial_id, label in plan.labels.items():
        record = disturbed.record(trial_id)
        num_replaced = len(list(disturbed.folder(trial_id).glob("replaced-*.json")))
        num_finished = num_replaced + int(record is not None and record.status is Status.FINISHED)
        if num_finished > 1:
            yield Difference(
                where=f"{label} ({trial_id})", disturbed=f"{num_finished} finished records", undisturbed="one"
            )
