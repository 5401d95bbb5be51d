"""Whether the MLflow databases of two stores show the same: one run per trial, the same values, each step once."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

_DATABASE = "mlflow.db"
_SAMPLES = "system/%"
_TRIALS = (
    "SELECT runs.run_uuid, tags.value, runs.status FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
    "WHERE tags.key = 'ablate.trial_id' AND runs.lifecycle_stage = 'active'"
)
_POINTS = "SELECT run_uuid, key, step, is_nan, value FROM metrics WHERE key NOT LIKE ?"
_PARAMETERS = "SELECT run_uuid, key, value FROM params"


@dataclass(slots=True)
class _Shown:
    """What MLflow shows of one trial."""

    status: str
    points: Counter[tuple[str, int, int, float]] = field(default_factory=Counter)
    parameters: dict[str, str] = field(default_factory=dict)


def mlflow_differences(disturbed: Path, undisturbed: Path) -> Iterator[tuple[str, str, str]]:
    """Compare the databases under two stores' roots, if there are any: where they differ, and both sides.

    Points are counted, so that one that stands twice on one side only is a difference too.
    """
    paths = [root / _DATABASE for root in (disturbed, undisturbed)]
    if not any(path.is_file() for path in paths):
        return
    found = ["there" if path.is_file() else "missing" for path in paths]
    if found != ["there", "there"]:
        yield (_DATABASE, found[0], found[1])
        return
    ours, theirs = (_shown(path) for path in paths)
    for trial_id in sorted(ours.keys() | theirs.keys()):
        counts = [len(side.get(trial_id, ())) for side in (ours, theirs)]
        if counts != [1, 1]:
            yield (f"trial {trial_id}", f"{counts[0]} runs", f"{counts[1]}")
            continue
        yield from _trial_differences(trial_id, ours[trial_id][0], theirs[trial_id][0])


def _trial_differences(trial_id: str, ours: _Shown, theirs: _Shown) -> Iterator[tuple[str, str, str]]:
    where = f"trial {trial_id}"
    if ours.status != theirs.status:
        yield (f"{where}: status", ours.status, theirs.status)
    if ours.parameters != theirs.parameters:
        yield (f"{where}: parameters", str(ours.parameters)[:200], str(theirs.parameters)[:200])
    if ours.points != theirs.points:
        more, less = ours.points - theirs.points, theirs.points - ours.points
        yield (f"{where}: values", _first(more), _first(less))


def _first(points: "Counter[tuple[str, int, int, float]]") -> str:
    if not points:
        return "nothing"
    key, step, _, value = min(points)
    return f"{sum(points.values())} values of its own, first {key} = {value!r} at step {step}"


def _shown(path: Path) -> dict[str, list[_Shown]]:
    """Read the runs of every trial."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        by_run: dict[str, _Shown] = {}
        found: dict[str, list[_Shown]] = defaultdict(list)
        for run, trial_id, status in database.execute(_TRIALS):
            by_run[run] = _Shown(status)
            found[trial_id].append(by_run[run])
        for run, key, step, is_nan, value in database.execute(_POINTS, (_SAMPLES,)):
            if run in by_run:
                by_run[run].points[key, step, is_nan, value] += 1
        for run, key, value in database.execute(_PARAMETERS):
            if run in by_run:
                by_run[run].parameters[key] = value
    return dict(found)
