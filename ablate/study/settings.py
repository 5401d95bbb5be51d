"""What a study sets over `conf/`, and where it was said: entries of `base:`, the command line, arms."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.errors import Fault, StudyError
from ablate.study.model import Study
from ablate.study.yaml_file import YamlFile, shown_path
from ablate.trial import Json
from ablate.wording import expected_one_of, quoted

PLATFORM_KEYS = ("scale", "replicates", "first_seed")
"""Top-level keys of a configuration that belong to the platform; every other is a parameter of the tasks."""

_KEY = re.compile(r"[A-Za-z_][\w-]*([./][\w-]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A place that a fault points to: a key in a file, or on the command line where `path` is `None`."""

    path: Path | None
    line: int | None
    key: str
    column: int | None = None

    def fault(self, message: str) -> Fault:
        """Make a fault here."""
        return Fault(message=message, path=self.path, line=self.line, column=self.column, key=self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One override: a group's option (`method: triangulation_ssl`) or a value (`method.sigma_mm: 20`)."""

    key: str
    value: Json
    spot: Spot
    is_choice: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All overrides of a study, each list in the order in which it is applied."""

    base: tuple[Setting, ...]
    command: tuple[Setting, ...]
    arms: dict[str, tuple[Setting, ...]]

    def of(self, arm: str) -> tuple[Setting, ...]:
        """Give what decides an arm's configuration; the arm itself has the last word."""
        return (*self.base, *self.command, *self.arms[arm])


def groups_of(conf: Path) -> tuple[str, ...]:
    """List the groups of `conf/`, those inside `scale/` left out: they are chosen by name, never by hand."""
    return tuple(sorted(folder.name for folder in conf.iterdir() if folder.is_dir() and any(folder.glob("*.yaml"))))


def study_spot(study: Study, key: str) -> Spot:
    """Give the place of a key of the study file; the file alone where it has no such key."""
    return Spot(path=shown_path(study.path), line=study.lines.get(key), column=study.columns.get(key), key=key)


def arm_spot(study: Study, arm: str) -> Spot:
    """Give the place of an arm: where it is named, or the design that made it, whose key then says which one."""
    if f"arms.{arm}" in study.lines:
        return study_spot(study, f"arms.{arm}")
    return replace(study_spot(study, "design"), key=f"design: {arm}")


def read_settings(study: Study, conf: Path, parse: Callable[[str], tuple[str, Json]]) -> Settings:
    """Read the overrides of a study.

    Args:
        study: The study.
        conf: The folder of groups, which tells choices from values.
        parse: Reads `key=value`; raises `ValueError` with a sentence.

    Raises:
        StudyError: An override is misspelt, a group lacks the option, or an arm sets what all arms share.
    """
    faults: list[Fault] = []

    def read(text: str, spot: Spot) -> Iterator[Setting]:
        try:
            key, value = parse(text)
        except ValueError as error:
            faults.append(spot.fault(str(error)))
        else:
            yield from _checked(conf, key, value, replace(spot, key=key), faults)

    base = [setting for i, text in enumerate(study.base) for setting in read(text, study_spot(study, f"base.{i}"))]
    here = Spot(path=None, line=None, key="")
    command = [setting for text in study.overrides for setting in read(text, here)]
    arms = _arm_settings(study, conf, faults)
    if faults:
        raise StudyError(faults)
    return Settings(base=tuple(base), command=tuple(command), arms=arms)


def _arm_settings(study: Study, conf: Path, faults: list[Fault]) -> dict[str, tuple[Setting, ...]]:
    """Read what the arms set; what stands in the file once and counts for many arms is looked at once."""
    root = Spot(path=shown_path(study.path), line=None, key="")
    read: dict[tuple[str, str, int], list[Setting]] = {}
    arms: dict[str, tuple[Setting, ...]] = {}
    for arm in study.arms:
        own: list[Setting] = []
        for key, value in arm.overrides.items():
            place = arm.spots.get(key) or f"arms.{arm.name}.{key}"
            seen = (key, place, id(value))
            if seen not in read:
                spot = replace(root, line=study.lines.get(place), column=study.columns.get(place), key=place)
                if key.split(".")[0] in PLATFORM_KEYS:
                    faults.append(spot.fault(f"all arms share '{key}': set it in `base` or on the command line"))
                    read[seen] = []
                else:
                    read[seen] = list(_checked(conf, key, value, spot, faults))
            own += read[seen]
        arms[arm.name] = tuple(own)
    return arms


def _checked(conf: Path, key: str, value: Json, spot: Spot, faults: list[Fault]) -> Iterator[Setting]:
    """Tell whether an override chooses a group's option, and check that the option is there."""
    is_group = _KEY.fullmatch(key) is not None and (conf / key).is_dir() and "." not in key
    if not _KEY.fullmatch(key):
        message = f"expected a dotted key such as `method.sigma_mm`, got {quoted(key)}"
        faults.append(spot.fault(message))
    elif not is_group and "/" in key:
        faults.append(spot.fault(f"there is no group '{key}' in {shown_path(conf)}; {_one_of(key, groups_of(conf))}"))
    elif is_group and not isinstance(value, dict):
        options = sorted(file.stem for file in (conf / key).glob("*.yaml"))
        if value not in options:
            message = f"{shown_path(conf / key)} has no option {quoted(value)}; {_one_of(value, options)}"
            faults.append(spot.fault(message))
        yield Setting(key=key, value=value, spot=spot, is_choice=True)
    else:
        yield Setting(key=key, value=value, spot=spot, is_choice=False)


def _one_of(found: object, allowed: Sequence[str]) -> str:
    return expected_one_of(found, allowed) if allowed else "it has none"


def spot_of(study: Study, settings: Sequence[Setting], files: Sequence[tuple[YamlFile, str]], key: str) -> Spot:
    """Find where a key of a composed configuration was set.

    Args:
        study: The study.
        settings: What was set over `conf/`, in order.
        files: The files of `conf/` that were merged, in order, each with the key it was put under.
        key: The dotted key.

    Returns:
        The place of the value that won. For a mapping, which many settings shape, that is the arm's own or the choice
        of the group; for a key that nothing sets, the study's `base:`.
    """
    for setting in reversed(settings):
        inner = key.removeprefix(f"{setting.key}.")
        if setting.key == key or (setting.is_choice is False and inner != key and _reaches(setting.value, inner)):
            return _inside(study, setting.spot, "" if setting.key == key else inner)
        if setting.key.startswith(f"{key}.") and setting.spot.key.startswith(("arms.", "design.")):
            return setting.spot
    for file, package in reversed(files):
        inner = key.removeprefix(f"{package}.") if package else key
        if (not package or key.startswith(f"{package}.")) and inner in file.lines:
            return Spot(path=file.path, line=file.lines[inner], column=file.columns[inner], key=key)
    return replace(study_spot(study, "base" if "base" in study.lines else "task"), key=key)


def _inside(study: Study, spot: Spot, key: str) -> Spot:
    """Give the place of a key inside the mapping that a setting gives, which may have a line of its own."""
    inner = f"{spot.key}.{key}" if key else spot.key
    if spot.path is None or inner not in study.lines:
        return replace(spot, key=inner)
    return replace(spot, line=study.lines[inner], column=study.columns.get(inner), key=inner)


def _reaches(value: Json, key: str) -> bool:
    """Tell whether a value has a dotted key inside; one that is no mapping replaces whatever was there."""
    for part in key.split("."):
        if not isinstance(value, dict):
            return True
        if part not in value:
            return False
        value = value[part]
    return True
