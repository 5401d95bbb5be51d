"""Every arm's configuration bound to every task of the study, with all that is wrong in file and line."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ablate.errors import Fault, StudyError
from ablate.ids import canonical_json
from ablate.study.compose import Composition
from ablate.study.model import Stage, Study
from ablate.study.settings import study_spot
from ablate.target import BoundTask, CodeFingerprint, Task, bind, code_fingerprint, load_companion, load_task, prune
from ablate.trial import Json
from ablate.wording import did_you_mean, dotted, expected_one_of

MAIN = ""
"""Stands among the names of stages for the study's own task."""

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stage, or the study's own task, ready to be bound."""

    stage: Stage
    task: Task
    code: CodeFingerprint


def load_steps(study: Study) -> dict[str, Step]:
    """Import the tasks of a study.

    Raises:
        StudyError: Every task that cannot be imported, that drops the seed of a stage it needs, or whose seeds cannot
            be stacked although they should, and every metric that the study's task declares not to return.
    """
    main = Stage(name=MAIN, task=study.task, needs=study.needs, resources=study.resources)
    stages = [*study.stages.values(), main]
    tasks: dict[str, Task] = {}
    faults: list[Fault] = []
    for stage in stages:
        try:
            tasks[stage.name] = load_task(stage.task)
        except StudyError as error:
            spot = study_spot(study, _key(stage, "task"))
            faults += [spot.fault(fault.message) for fault in error.faults]
    if faults:
        raise StudyError(faults)
    for stage in stages:
        seeded = [name for name in stage.needs if tasks[name].takes_seed]
        if seeded and not tasks[stage.name].takes_seed:
            message = f"task {stage.task} takes no seed but needs stage '{seeded[0]}', which does: give it `seed: int`"
            faults.append(study_spot(study, _key(stage, "needs")).fault(message))
        faults += _stack_faults(study, stage, tasks[stage.name])
    faults += _metric_faults(study, tasks[MAIN])
    if faults:
        raise StudyError(faults)
    codes = {task.path: code_fingerprint(task) for task in tasks.values()}
    return {stage.name: Step(stage=stage, task=tasks[stage.name], code=codes[stage.task]) for stage in stages}


def _metric_faults(study: Study, task: Task) -> Iterator[Fault]:
    """Find metrics that the task does not return, where its signature says what it returns."""
    if task.metrics is None:
        return
    for index, metric in enumerate(study.metrics):
        if metric.name not in task.metrics:
            message = f"task {task.path} returns no '{metric.name}'; {expected_one_of(metric.name, task.metrics)}"
            yield study_spot(study, f"metrics.{index}.name").fault(message)


def _stack_faults(study: Study, stage: Stage, task: Task) -> Iterator[Fault]:
    """Find out whether a task whose seeds are to be stacked can run them; one without a seed need not, unless asked."""
    if stage.resources.stack_seeds == 1:
        return
    is_own = _key(stage, "resources") in study.lines
    if not is_own and not task.takes_seed:
        return
    try:
        load_companion(task)
    except StudyError as error:
        spot = study_spot(study, _key(stage, "resources.stack_seeds") if is_own else "resources.stack_seeds")
        why = "" if is_own else f"; stage '{stage.name}' takes the study's resources, as it has none of its own"
        yield from (spot.fault(fault.message + why) for fault in error.faults)


def bind_arms(
    composition: Composition, steps: Mapping[str, Step], binder: "Binder | None" = None
) -> dict[str, dict[str, BoundTask]]:
    """Bind every arm's configuration to every task.

    Args:
        composition: The arms.
        steps: The tasks.
        binder: Remembers what was bound and which data was looked at; for one call without.

    Returns:
        What each task takes, by arm and by the stage's name.

    Raises:
        StudyError: Every key that no task declares, every wrong type, every data set that is not there.
    """
    bound: dict[str, dict[str, BoundTask]] = {}
    faults: list[Fault] = []
    tasks = {step.task.path: step.task for step in steps.values()}
    binder, undeclared = binder or Binder(), _Undeclared(tuple(tasks.values()))
    for arm, configuration in composition.arms.items():
        by_task: dict[str, BoundTask] = {}
        for path, task in tasks.items():
            try:
                by_task[path] = binder.bind(task, configuration)
            except StudyError as error:
                faults += [_placed(composition, arm, fault, path) for fault in error.faults]
        faults += _unknown_keys(composition, arm, configuration, undeclared)
        if len(by_task) == len(tasks):
            bound[arm] = {name: by_task[step.task.path] for name, step in steps.items()}
    if faults:
        raise StudyError(_distinct(faults))
    return bound


class Binder:
    """Binds equal configurations once: of a thousand arms, most stages see the same one. Looks at data once, too."""

    def __init__(self) -> None:
        self._bound: dict[tuple[str, str], BoundTask] = {}
        self._fingerprints: dict[object, str] = {}

    def bind(self, task: Task, configuration: Mapping[str, Json]) -> BoundTask:
        """Bind a configuration to a task, unless an equal one was bound before."""
        given = prune(task.parameters, configuration)
        key = (task.path, canonical_json(given))
        if key not in self._bound:
            self._bound[key] = bind(task, given, fingerprints=self._fingerprints)
        return self._bound[key]


def _placed(composition: Composition, arm: str, fault: Fault, task: str) -> Fault:
    """Point a binding's fault to where its key was set."""
    message = f"missing: task {task} needs it" if fault.message.startswith("missing") else fault.message
    return composition.spot(arm, fault.key).fault(message)


def _distinct(faults: Iterable[Fault]) -> list[Fault]:
    """Tell each fault once, by place: arms share what the base sets, and stages share parameters."""

    def place(fault: Fault) -> tuple[str, int, int, str]:
        return str(fault.path or ""), fault.line or 0, fault.column or 0, fault.key

    return sorted(dict.fromkeys(faults), key=place)


def _unknown_keys(
    composition: Composition, arm: str, configuration: Mapping[str, Json], undeclared: "_Undeclared"
) -> Iterator[Fault]:
    """Find what is in the configuration although no task declares it."""
    unknown = {undeclared.part_of(leaf): leaf for leaf in _leaves(configuration, ())}
    for place, leaf in unknown.items():
        if not place:
            continue
        parent = place[:-1]
        known = sorted({key for task in undeclared.tasks for key in task.keys_at(parent)})
        groups = "" if parent else f"; groups: {', '.join(composition.groups)}"
        allowed = f"expected one of {', '.join(known)}" if known else "the tasks take nothing here"
        near = did_you_mean(place[-1], [*known, *(() if parent else composition.groups)])
        message = f"unknown key: no task of the study has a parameter '{dotted(place)}'; {allowed}{groups}{near}"
        yield composition.spot(arm, dotted(leaf)).fault(message)


class _Undeclared:
    """Knows what the tasks declare; arms mostly have the same keys, so each place is looked at once."""

    def __init__(self, tasks: tuple[Task, ...]) -> None:
        self.tasks = tasks
        self._parts: dict[Place, Place] = {}

    def part_of(self, place: Place) -> Place:
        """Give the shortest beginning of a place that no task declares, nothing where a task takes it."""
        if place not in self._parts:
            length = max(task.num_declared(place) for task in self.tasks)
            self._parts[place] = () if length == len(place) else place[: length + 1]
        return self._parts[place]


def _leaves(value: Json, place: Place) -> Iterator[Place]:
    """List the places of all values that are no mappings; an empty mapping says nothing and has none."""
    if isinstance(value, dict) or not place:
        for key, inner in value.items():
            yield from _leaves(inner, (*place, key))
    else:
        yield place


def _key(stage: Stage, field: str) -> str:
    """Give the key of a stage's field in the study file."""
    return f"stages.{stage.name}.{field}" if stage.name else field
