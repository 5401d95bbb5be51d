"""A study file becomes a checked `Study`, or one error with all its faults."""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ablate.errors import Fault, StudyError
from ablate.search.model import Search
from ablate.study.arms import MOST_NAMES, Sets, inherited
from ablate.study.design import Made, make_arms
from ablate.study.model import Adaptive, Arm, Curve, Metric, Stage, Study
from ablate.study.schema import MEANINGS, ArmEntry, ReplicatesEntry, ResourcesEntry, StudyFile
from ablate.study.searching import IMPLIED_ARM, read_search
from ablate.study.yaml_file import YamlFile, read_yaml, shown_path
from ablate.trial import Json, Resources
from ablate.wording import Path as Place
from ablate.wording import dotted, expected_one_of, listed, quoted, worded

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
    if entry is None:
        raise StudyError(_distinct(faults))
    if entry.search is not None and entry.design is None and "arms" not in file.lines:
        entry = entry.model_copy(update={"arms": {IMPLIED_ARM: ArmEntry()}})
    named = inherited(entry, file, faults)
    made = make_arms(entry, named, file, faults) if entry.design is not None else None
    search = read_search(entry, file, faults) if entry.search is not None else None
    faults += _cross_faults(entry, file, path)
    faults += _arm_faults(entry, made, file)
    if faults:
        raise StudyError(_distinct(faults))
    return _study(entry, named, made, search=search, file=file, path=path, overrides=tuple(overrides))


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
        faults += [file.fault(dotted(place), message) for place, message in sentences.items()]
        return None


def _keys_at(place: Place) -> list[str]:
    """List the keys that the file's shape allows in the mapping at a place."""
    annotation: Any = StudyFile
    for part in place:
        model = next(_models(annotation), None)
        if model is None:
            inner = [option for option in get_args(_unwrapped(annotation)) if option is not type(None)]
            annotation = inner[-1] if inner else None
        else:
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            annotation = fields[str(part)].annotation if part in fields else None
    return [field.alias or name for model in _models(annotation) for name, field in model.model_fields.items()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Give the model that an annotation is, also where something else may stand instead."""
    annotation = _unwrapped(annotation)
    if get_origin(annotation) in {Union, UnionType}:
        for option in get_args(annotation):
            yield from _models(option)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def _unwrapped(annotation: Any) -> Any:
    return _unwrapped(get_args(annotation)[0]) if get_origin(annotation) is Annotated else annotation


def _distinct(faults: list[Fault]) -> list[Fault]:
    """Keep the first fault of each key, in the order of the file."""
    first: dict[tuple[int, int, str], Fault] = {}
    for fault in faults:
        first.setdefault((fault.line or 0, fault.column or 0, fault.key), fault)
    return [first[place] for place in sorted(first)]


def _cross_faults(entry: StudyFile, file: YamlFile, path: Path) -> Iterator[Fault]:
    """Find what is wrong between entries that are each well-formed."""
    yield from _stage_faults(entry, file)
    yield from _paper_faults(entry, file, path)
    yield from _plugin_faults(entry, file)
    yield from _replicate_faults(entry, file)
    seen: dict[str, int] = {}
    for index, metric in enumerate(entry.metrics):
        if metric.name in seen:
            message = f"metric '{metric.name}' is already listed as metrics.{seen[metric.name]}"
            yield file.fault(f"metrics.{index}.name", message)
        seen.setdefault(metric.name, index)


def _arm_faults(entry: StudyFile, made: Made | None, file: YamlFile) -> Iterator[Fault]:
    """Find names of arms that there are not, and what is missing of arms."""
    if not entry.arms and entry.design is None:
        rule = "name the variants here, or let a `design` make them"
        yield file.fault("arms", f"expected at least one arm: {rule}" if "arms" in file.lines else f"missing: {rule}")
        return
    if entry.design is not None and made is None:
        return
    templates = made.templates if made else ()
    arms = list(dict.fromkeys([*(name for name in entry.arms if name not in templates), *(made.arms if made else ())]))
    known = set(arms)
    named = {f"paper_rows.{arm}": arm for arm in entry.paper_rows} if entry.paper is not None else {}
    named |= {f"arms.{name}.against": arm.against for name, arm in entry.arms.items() if arm and arm.against}
    for index, curve in enumerate(entry.curves):
        named |= {f"curves.{index}.arms.{place}": arm for place, arm in enumerate(curve.arms)}
    if entry.reference is not None and entry.reference not in templates:
        named["reference"] = entry.reference
    for key, name in named.items():
        if name not in known:
            what = (
                f"arm '{name}' only starts the design's sweep"
                if name in templates
                else f"no arm is called {quoted(name)}"
            )
            yield file.fault(key, f"{what}; {expected_one_of(name, arms, most=MOST_NAMES)}")
    if entry.reference is None and len(arms) > 1 and _reference(entry, made) is None:
        message = f"missing: it names the arm that the others are compared to, one of {listed(arms, most=MOST_NAMES)}"
        yield file.fault("reference", message)


def _reference(entry: StudyFile, made: Made | None) -> str | None:
    """Give the arm that others are compared to, nothing where neither the file nor its design says."""
    if made is None or (entry.reference is not None and entry.reference not in made.templates):
        return entry.reference
    return made.reference if made.design.bases or not entry.arms else None


def _stage_faults(entry: StudyFile, file: YamlFile) -> Iterator[Fault]:
    """Find needs that name no stage, needs in a circle, and stages that nothing needs."""
    stages = list(entry.stages)
    needs = {"needs": entry.needs} | {f"stages.{name}.needs": stage.needs for name, stage in entry.stages.items()}
    for key, names in needs.items():
        for index, name in enumerate(names):
            if name not in stages:
                rule = expected_one_of(name, stages) if stages else "the study has no `stages`"
                yield file.fault(f"{key}.{index}", f"no stage is called {quoted(name)}; {rule}")
    try:
        TopologicalSorter({name: stage.needs for name, stage in entry.stages.items()}).prepare()
    except CycleError as error:
        circle = " needs ".join(reversed(error.args[1]))
        yield file.fault(f"stages.{error.args[1][0]}.needs", f"stages need each other in a circle: {circle}")
    needed = {name for names in needs.values() for name in names}
    for name in stages:
        if name not in needed:
            yield file.fault(f"stages.{name}", "nothing needs this stage: name it under `needs`, or take it out")


def _paper_faults(entry: StudyFile, file: YamlFile, path: Path) -> Iterator[Fault]:
    if entry.paper is None:
        if entry.paper_rows:
            yield file.fault("paper_rows", "the study names no published table: add `paper: <key>/<table>`")
        for index, metric in enumerate(entry.metrics):
            if metric.paper is not None:
                message = "the study names no published table: add `paper: <key>/<table>`"
                yield file.fault(f"metrics.{index}.paper", message)
        return
    folder = path.parent / "papers"
    paper = entry.paper.split("/")[0]
    if not (folder / f"{paper}.yaml").is_file():
        known = sorted(found.stem for found in folder.glob("*.yaml"))
        rule = expected_one_of(paper, known) if known else "that folder has no published tables"
        yield file.fault("paper", f"there is no {shown_path(folder / paper)}.yaml; {rule}")


def _plugin_faults(entry: StudyFile, file: YamlFile) -> Iterator[Fault]:
    """Find tasks in packages that the study does not allow: a file must not import what it pleases unannounced."""
    tasks = {"task": entry.task} | {f"stages.{name}.task": stage.task for name, stage in entry.stages.items()}
    for key, task in tasks.items():
        package = task.split(":")[0].split(".")[0]
        if package not in (OWN_PACKAGE, *entry.plugins):
            message = f"package '{package}' may not be imported; a study allows it with `plugins: [{package}]`"
            yield file.fault(key, message)


def _replicate_faults(entry: StudyFile, file: YamlFile) -> Iterator[Fault]:
    rule = entry.replicates
    if not isinstance(rule, ReplicatesEntry):
        return
    if rule.min > rule.max:
        yield file.fault("replicates.min", f"expected at most `max`, which is {rule.max}, got {rule.min}")
    metrics = list(dict.fromkeys(metric.name for metric in entry.metrics))
    if rule.metric is not None and rule.metric not in metrics:
        message = f"no metric is called {quoted(rule.metric)}; {expected_one_of(rule.metric, metrics)}"
        yield file.fault("replicates.metric", message)


def _study(
    entry: StudyFile,
    named: Mapping[str, Sets],
    made: Made | None,
    *,
    search: Search | None,
    file: YamlFile,
    path: Path,
    overrides: tuple[str, ...],
) -> Study:
    """Turn the checked entries into the study that the rest of the platform sees."""
    arms = _arms(entry, named, made)
    rule = entry.replicates
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
        reference=_reference(entry, made) or arms[0].name,
        num_replicates=rule.max if isinstance(rule, ReplicatesEntry) else rule,
        metrics=tuple(Metric(**_given(metric)) for metric in entry.metrics),
        curves=_curves(entry),
        resources=_resources(entry.resources),
        plugins=tuple(entry.plugins),
        lines=file.lines,
        columns=file.columns,
        notes=entry.notes,
        design=made.design if made else None,
        adaptive=_adaptive(rule, entry.metrics[0].name) if isinstance(rule, ReplicatesEntry) else None,
        search=search,
    )


def _arms(entry: StudyFile, named: Mapping[str, Sets], made: Made | None) -> tuple[Arm, ...]:
    """List the arms: the named ones in their order, then those that the design makes besides."""
    arms = {
        name: Arm(
            name=name,
            overrides=named[name].overrides,
            paper=entry.paper_rows.get(name),
            against=arm.against if arm else None,
            spots=named[name].spots,
        )
        for name, arm in entry.arms.items()
        if made is None or name not in made.templates
    }
    return tuple((arms | dict(made.arms if made else {})).values())


def _adaptive(rule: ReplicatesEntry, first_metric: str) -> Adaptive:
    return Adaptive(min=rule.min, max=rule.max, step=rule.step, metric=rule.metric or first_metric)


def _curves(entry: StudyFile) -> tuple[Curve, ...]:
    return tuple(
        Curve(**{**_given(curve), "metrics": tuple(curve.metrics), "arms": tuple(curve.arms)}) for curve in entry.curves
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
