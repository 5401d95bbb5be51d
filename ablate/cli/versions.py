"""What lies between two plans, or two arms: code, data, parameters, arms, seeds."""

from collections.abc import Iterator

from ablate.plan.causes import changed_files, changed_values, cut_list
from ablate.plan.model import PlaceInPlan, Plan
from ablate.trial import TrialSpec


def plan_changes(a: Plan, b: Plan) -> list[str]:
    """Say what is different in A, seen from B, as lines; one line if nothing is."""
    lines: list[str] = []
    if a.scale != b.scale:
        lines.append(f"scale: {b.scale} -> {a.scale}")
    if a.seeds != b.seeds:
        lines.append(f"seeds: {_seeds(b.seeds)} -> {_seeds(a.seeds)}")
    ours, theirs = _by_place(a), _by_place(b)
    by_change: dict[str, list[str]] = {}
    for place in ours:
        if place in theirs and ours[place].id != theirs[place].id:
            for change in _changes(ours[place], theirs[place], a, b):
                names = by_change.setdefault(change, [])
                if place[1] not in names:
                    names.append(place[1])
    num_names = len({place[1] for place in ours if place in theirs})
    for change, names in by_change.items():
        lines.append(change if len(names) == num_names else f"{change} (in {cut_list(names)})")
    return lines or ["code, data and parameters are the same"]


def arm_changes(a: Plan, arm_a: str, b: Plan, arm_b: str) -> list[str]:
    """Say what is different in arm A, seen from arm B, at their first seeds."""
    ours, theirs = _first(a, arm_a), _first(b, arm_b)
    if ours is None or theirs is None:
        return []
    lines = [] if a.scale == b.scale else [f"scale: {b.scale} -> {a.scale}"]
    return lines + list(_changes(ours, theirs, a, b))


def _changes(new: TrialSpec, old: TrialSpec, a: Plan, b: Plan) -> Iterator[str]:
    if new.task != old.task:
        yield f"task: {old.task} -> {new.task}"
    if new.code != old.code:
        files = changed_files(b.code.get(old.code), a.code.get(new.code))
        yield f"code changed: {cut_list(files)}" if files else "code changed: which files is not known any more"
    if new.data != old.data:
        keys = sorted(key for key in {**new.data, **old.data} if new.data.get(key) != old.data.get(key))
        yield f"data changed: {', '.join(keys)}"
    if new.parameters != old.parameters:
        yield f"parameters changed: {cut_list(changed_values(old.parameters, new.parameters))}"
    names = [name for name in {**new.needs, **old.needs} if (name in new.needs) != (name in old.needs)]
    if names:
        yield f"needs changed: {', '.join(names)}"


def _by_place(plan: Plan) -> dict[PlaceInPlan, TrialSpec]:
    """Give the first trial in each place; a stage that forks has several in one."""
    found: dict[PlaceInPlan, TrialSpec] = {}
    for trial in plan.trials:
        found.setdefault(trial.place, trial.spec)
    return found


def _first(plan: Plan, arm: str) -> TrialSpec | None:
    return next((trial.spec for trial in plan.trials if trial.role == "arm" and trial.name == arm), None)


def _seeds(seeds: tuple[int, ...]) -> str:
    if not seeds:
        return "none"
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
