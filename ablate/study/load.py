"""A study file becomes a checked `Study`, or one error with all its faults."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ablate.errors import Fault, StudyError
from ablate.study.model import Arm, Curve, Metric, Stage, Study
from ablate.study.schema import MEANINGS, ResourcesEntry, StudyFile
from ablate.study.yaml_file import YamlFile, read_yaml, shown_path
from ablate.trial import Json, Resources
from ablate.wording import Path as Place
from ablate.wording import dotted, expected_one_of, quoted, worded

OWN_PACKAGE = "core"
"""The package whose tasks a study may name without listing it under `plugins`."""


def load_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check a study file.

    The configuration is not looked at: that is `ablate.study.compose`, and the tasks' parameters are
    `ablate.plan.expand`.

    Args:
        path: The file.
        overrides: Hydra overrides from the command line.

    Raises:
        StudyError: Carries every fault of the file, with its line and key.
    """
    file = read_yaml(path)
    faults = list(file.faults)
    entry = _validated(file, faults)
    if entry is not None:
        faults += _cross_faults(entry, file, path)
    if faults or entry is None:
        raise StudyError(_distinct(faults))
    return _study(entry, file, path, tuple(overrides))


def _validated(file: YamlFile, faults: list[Fault]) -> StudyFile | None:
    """Check the file's shape; add what is wrong to `faults`."""
    if not isinstance(file.data, dict):
        found = "is empty" if file.data is None else f"expected keys with values, got {quoted(file.data)}"
        faults.append(Fault(message=f"{found}; a study begins with `study: <name>`", path=file.path))
        return None
    try:
        return StudyFile.model_validate(file.data)
    except ValidationError as error:
        sentences = worded(error.errors(), file.data, keys_at=_keys_at, meanings=MEANINGS)
        faults += [_fault(file, dotted(place), message) for place, message in sentences.items()]
        return None


def _keys_at(place: Place) -> list[str]:
    """List the keys that the file's shape allows in the mapping at a place."""
    annotation: Any = StudyFile
    for part in place:
        model = next(_models(annotation), None)
        if model is None:
            inner = [option for option in get_args(annotation) if option is not type(None)]
            annotation = inner[-1] if inner else None
        else:
            field = model.model_fields.get(str(part))
            annotation = field.annotation if field else None
    return [name for model in _models(annotation) for name in model.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Give the model that an annotation is, also where it may be null instead."""
    options = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    yield from (option for option in options if isinstance(option, type) and issubclass(option, BaseModel))


def _fault(file: YamlFile, key: str, message: str) -> Fault:
    return Fault(message=message, path=file.path, line=file.line_of(key), key=key)


def _distinct(faults: list[Fault]) -> list[Fault]:
    """Keep the first fault of each key, in the order of the file."""
    first: dict[tuple[int, str], Fault] = {}
    for fault in faults:
        first.setdefault((fault.line or 0, fault.key), fault)
    return [first[place] for place in sorted(first)]


def _cross_faults(entry: StudyFile, file: YamlFile, path: Path) -> Iterator[Fault]:
    """Find what is wrong between entries that are each well-formed."""
    yield from _reference_faults(entry, file)
    yield from _stage_faults(entry, file)
    yield from _paper_faults(entry, file, path)
    yield from _plugin_faults(entry, file)
    yield from _curve_faults(entry, file)
    seen: dict[str, int] = {}
    for index, metric in enumerate(entry.metrics):
        if metric.name in seen:
            message = f"metric '{metric.name}' is already listed as metrics.{seen[metric.name]}"
            yield _fault(file, f"metrics.{index}.name", message)
        seen.setdefault(metric.name, index)


def _reference_faults(entry: StudyFile, file: YamlFile) -> Iterator[Fault]:
    arms = list(entry.arms)
    if entry.reference is None and len(arms) > 1:
        yield _fault(file, "reference", f"missing: it names the arm that the others are compared to, {_choice(arms)}")
    if entry.reference is not None and entry.reference not in arms:
        message = f"no arm is called {quoted(entry.reference)}; {expected_one_of(entry.reference, arms)}"
        yield _fault(file, "reference", message)


def _stage_faults(entry: StudyFile, file: YamlFile) -> Iterator[Fault]:
    """Find needs that name no stage, needs in a circle, and stages that nothing needs."""
    stages = list(entry.stages)
    needs = {"needs": entry.needs} | {f"stages.{name}.needs": stage.needs for name, stage in entry.stages.items()}
    for key, names in needs.items():
        for index, name in enumerate(names):
            if name not in stages:
                rule = expected_one_of(name, stages) if stages else "the study has no `stages`"
                yield _fault(file, f"{key}.{index}", f"no stage is called {quoted(name)}; {rule}")
    try:
        TopologicalSorter({name: stage.needs for name, stage in entry.stages.items()}).prepare()
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        yield _fault(file, f"stages.{error.args[1][0]}.needs", f"stages need each other in a circle: {circle}")
    needed = {name for names in needs.values() for name in names}
    for name in stages:
        if name not in needed:
            yield _fault(file, f"stages.{name}", "nothing needs this stage: name it under `needs`, or take it out")


def _paper_faults(entry: StudyFile, file: YamlFile, path: Path) -> Iterator[Fault]:
    if entry.paper is None:
        if entry.paper_rows:
            yield _fault(file, "paper_rows", "the study names no published table: add `paper: <key>/<table>`")
        for index, metric in enumerate(entry.metrics):
            if metric.paper is not None:
                message = "the study names no published table: add `paper: <key>/<table>`"
                yield _fault(file, f"metrics.{index}.paper", message)
        return
    folder = path.parent / "papers"
    paper = entry.paper.split("/")[0]
    if not (folder / f"{paper}.yaml").is_file():
        known = sorted(found.stem for found in folder.glob("*.yaml"))
        rule = expected_one_of(paper, known) if known else "that folder has no published tables"
        yield _fault(file, "paper", f"there is no {shown_path(folder / paper)}.yaml; {rule}")
    for arm in entry.paper_rows:
        if arm not in entry.arms:
            message = f"no arm is called {quoted(arm)}; {expected_one_of(arm, list(entry.arms))}"
            yield _fault(file, f"paper_rows.{arm}", message)


def _curve_faults(entry: StudyFile, file: YamlFile) -> Iterator[Fault]:
    for index, curve in enumerate(entry.curves):
        for place, arm in enumerate(curve.arms):
            if arm not in entry.arms:
                message = f"no arm is called {quoted(arm)}; {expected_one_of(arm, list(entry.arms))}"
                yield _fault(file, f"curves.{index}.arms.{place}", message)


def _plugin_faults(entry: StudyFile, file: YamlFile) -> Iterator[Fault]:
    """Find tasks in packages that the study does not allow: a file must not import what it pleases unannounced."""
    tasks = {"task": entry.task} | {f"stages.{name}.task": stage.task for name, stage in entry.stages.items()}
    for key, task in tasks.items():
        package = task.split(":")[0].split(".")[0]
        if package not in (OWN_PACKAGE, *entry.plugins):
            message = f"package '{package}' may not be imported; a study allows it with `plugins: [{package}]`"
            yield _fault(file, key, message)


def _choice(names: Sequence[str]) -> str:
    """Write a closed choice: `one of a, b`."""
    return f"one of {', '.join(names)}"


def _study(entry: StudyFile, file: YamlFile, path: Path, overrides: tuple[str, ...]) -> Study:
    """Turn the checked entries into the study that the rest of the platform sees."""
    arms = tuple(
        Arm(name=name, overrides=settings or {}, paper=entry.paper_rows.get(name))
        for name, settings in entry.arms.items()
    )
    return Study(
        path=path.resolve(),
        source=file.text,
        name=entry.study,
        title=entry.title,
        paper=entry.paper,
        base=tuple(entry.base),
        overrides=overrides,
        stages=_stages(entry),
        task=entry.task,
        needs=tuple(entry.needs),
        arms=arms,
        reference=entry.reference or arms[0].name,
        num_replicates=entry.replicates,
        metrics=tuple(Metric(**_given(metric)) for metric in entry.metrics),
        curves=tuple(
            Curve(**{**_given(curve), "metrics": tuple(curve.metrics), "arms": tuple(curve.arms)})
            for curve in entry.curves
        ),
        resources=_resources(entry.resources),
        plugins=tuple(entry.plugins),
        lines=file.lines,
        notes=entry.notes,
    )


def _stages(entry: StudyFile) -> Mapping[str, Stage]:
    return {
        name: Stage(
            name=name,
            task=stage.task,
            needs=tuple(stage.needs),
            resources=_resources(stage.resources or entry.resources),
        )
        for name, stage in entry.stages.items()
    }


def _given(model: BaseModel) -> dict[str, Json]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _resources(entry: ResourcesEntry) -> Resources:
    return Resources(**_given(entry))
