"""Every arm's configuration bound to every task of the study, with all that is wrong in file and line."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ablate.errors import Fault, StudyError
from ablate.study.compose import Composition
from ablate.study.model import Stage, Study
from ablate.study.settings import study_spot
from ablate.target import BoundTask, Task, bind, code_fingerprint, load_task
from ablate.trial import Json
from ablate.wording import did_you_mean, dotted

MAIN = ""
"""Stands among the names of stages for the study's own task."""

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stage, or the study's own task, ready to be bound."""

    stage: Stage
    task: Task
    code: str


def load_steps(study: Study) -> dict[str, Step]:
    """Import the tasks of a study.

    Raises:
        StudyError: Every task that cannot be imported, or that drops the seed of a stage it needs.
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
    if faults:
        raise StudyError(faults)
    codes = {task.path: code_fingerprint(task).digest for task in tasks.values()}
    return {stage.name: Step(stage=stage, task=tasks[stage.name], code=codes[stage.task]) for stage in stages}


def bind_arms(composition: Composition, steps: Mapping[str, Step]) -> dict[str, dict[str, BoundTask]]:
    """Bind every arm's configuration to every task.

    Returns:
        What each task takes, by arm and by the stage's name.

    Raises:
        StudyError: Every key that no task declares, every wrong type, every data set that is not there.
    """
    bound: dict[str, dict[str, BoundTask]] = {}
    faults: list[Fault] = []
    tasks = {step.task.path: step.task for step in steps.values()}
    for arm, configuration in composition.arms.items():
        by_task: dict[str, BoundTask] = {}
        for path, task in tasks.items():
            try:
                by_task[path] = bind(task, configuration)
            except StudyError as error:
                faults += [_placed(composition, arm, fault, path) for fault in error.faults]
        faults += _unknown_keys(composition, arm, configuration, tasks.values())
        if len(by_task) == len(tasks):
            bound[arm] = {name: by_task[step.task.path] for name, step in steps.items()}
    if faults:
        raise StudyError(_distinct(faults))
    return bound


def _placed(composition: Composition, arm: str, fault: Fault, task: str) -> Fault:
    """Point a binding's fault to where its key was set."""
    message = f"missing: task {task} needs it" if fault.message.startswith("missing") else fault.message
    return composition.spot(arm, fault.key).fault(message)


def _distinct(faults: Iterable[Fault]) -> list[Fault]:
    """Tell each fault once, by place: arms share what the base sets, and stages share parameters."""
    return sorted(dict.fromkeys(faults), key=lambda fault: (str(fault.path or ""), fault.line or 0, fault.key))


def _unknown_keys(
    composition: Composition, arm: str, configuration: Mapping[str, Json], tasks: Iterable[Task]
) -> Iterator[Fault]:
    """Find what is in the configuration although no task declares it."""
    declaring = list(tasks)
    unknown = {_undeclared(leaf, declaring): leaf for leaf in _leaves(configuration, ())}
    for place, leaf in unknown.items():
        if not place:
            continue
        parent = place[:-1]
        known = sorted({key for task in declaring for key in task.keys_at(parent)})
        groups = "" if parent else f"; groups: {', '.join(composition.groups)}"
        allowed = f"expected one of {', '.join(known)}" if known else "the tasks take nothing here"
        near = did_you_mean(place[-1], [*known, *(() if parent else composition.groups)])
        message = f"unknown key: no task of the study has a parameter '{dotted(place)}'; {allowed}{groups}{near}"
        yield composition.spot(arm, dotted(leaf)).fault(message)


def _leaves(value: Json, place: Place) -> Iterator[Place]:
    """List the places of all values that are no mappings; an empty mapping says nothing and has none."""
    if isinstance(value, dict) or not place:
        for key, inner in value.items():
            yield from _leaves(inner, (*place, key))
    else:
        yield place


def _undeclared(place: Place, tasks: list[Task]) -> Place:
    """Give the shortest beginning of a place that no task declares, nothing where a task takes it."""
    lengths = [task.num_declared(place) for task in tasks]
    return () if max(lengths) == len(place) else place[: max(lengths) + 1]


def _key(stage: Stage, field: str) -> str:
    """Give the key of a stage's field in the study file."""
    return f"stages.{stage.name}.{field}" if stage.name else field
