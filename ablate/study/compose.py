"""Composing the configuration of every arm; the only door to Hydra.

Groups (`method: triangulation_ssl`) go through Hydra's `compose`, once per distinct set of choices. Values
(`method.sigma_mm: 20`) are then set over the result: base entries first, the command line over them, the arm last.
They may name keys that `conf/` does not spell; whether a task declares them is checked when it is bound. Arms that
make the same choices start from one composition, over which plain values are set without OmegaConf: a design has
thousands of arms.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.errors import Fault, StudyError
from ablate.study.model import Study
from ablate.study.plain import COMPUTED, MISSING, mentions, not_json, with_values
from ablate.study.settings import (
    PLATFORM_KEYS,
    Setting,
    Settings,
    Spot,
    groups_of,
    read_settings,
    spot_of,
    study_spot,
)
from ablate.study.yaml_file import YamlFile, read_yaml, shown_path
from ablate.trial import Json
from ablate.wording import quoted

_PRIMARY = "config"
_UNSCALED = "unscaled"
"""The scale's name where `conf/` has no scales."""


Choices = tuple[str, ...]
"""Hydra overrides that choose groups' options, one per group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The configuration of every arm, and where each key of it was set.

    Args:
        study: The study.
        conf: The folder of Hydra groups.
        settings: What the study sets over it.
        scale: Name of the scale.
        num_replicates: How many seeds.
        first_seed: The first of them.
        arms: Configuration by arm, without the platform's own keys.
    """

    study: Study
    conf: Path
    settings: Settings
    scale: str
    num_replicates: int
    first_seed: int
    arms: Mapping[str, Mapping[str, Json]]
    _files: dict[Choices, list[tuple[YamlFile, str]]] = field(default_factory=dict)
    _composer: "_Composer | None" = field(default=None, repr=False, compare=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that a study can choose from."""
        return groups_of(self.conf)

    def spot(self, arm: str, key: str) -> Spot:
        """Find where a dotted key of an arm's configuration was set."""
        settings = self.settings.of(arm)
        choices = _choices(settings)
        if choices not in self._files:
            self._files[choices] = _merged_files(self.conf, choices)
        return spot_of(self.study, settings, self._files[choices], key)

    def variants(self, wanted: Mapping[str, tuple[str, Sequence[Setting]]]) -> "Composition":
        """Compose variants of arms: each an arm with plain values set over it.

        Args:
            wanted: The arm and what is set over it, by the variant's name.

        Raises:
            StudyError: A value cannot be set.
        """
        composer, common = self._composer, (*self.settings.base, *self.settings.command)
        assert composer is not None
        own = {name: (*self.settings.arms[arm], *values) for name, (arm, values) in wanted.items()}
        arms = {name: _of_tasks(composer.arm(common, settings)) for name, settings in own.items()}
        if composer.faults:
            found = list(dict.fromkeys(composer.faults))
            composer.faults.clear()
            raise StudyError(found)
        return replace(self, settings=replace(self.settings, arms=own), arms=arms)


def compose_study(study: Study) -> Composition:
    """Compose the configuration of every arm.

    Raises:
        StudyError: Every fault of the overrides, each with its line in the study file, or `command line`.
    """
    conf = find_conf(study)
    settings = read_settings(study, conf, _parsed)
    with _hydra(conf):
        composer = _Composer(study, conf)
        common = (*settings.base, *settings.command)
        platform = composer.configuration(common)
        arms = {arm: composer.arm(common, own) for arm, own in settings.arms.items()}
    if any(setting.key == "replicates" for setting in settings.command) or study.num_replicates is None:
        num_replicates = composer.count("replicates", platform, common, least=1)
    else:
        num_replicates = study.num_replicates
    first_seed = composer.count("first_seed", {"first_seed": 0} | platform, common, least=0)
    if composer.faults:
        raise StudyError(list(dict.fromkeys(composer.faults)))
    return Composition(
        study=study,
        conf=conf,
        settings=settings,
        scale=str(platform.get("scale", _UNSCALED)),
        num_replicates=num_replicates,
        first_seed=first_seed,
        arms={arm: _of_tasks(configuration) for arm, configuration in arms.items()},
        _composer=composer,
    )


def _of_tasks(configuration: Mapping[str, Json]) -> dict[str, Json]:
    """Leave out what belongs to the platform."""
    return {key: value for key, value in configuration.items() if key not in PLATFORM_KEYS}


def find_conf(study: Study) -> Path:
    """Find `conf/` in the study's folder or the nearest one above it.

    Raises:
        StudyError: There is none.
    """
    for folder in study.path.parents:
        if (folder / "conf" / f"{_PRIMARY}.yaml").is_file():
            return folder / "conf"
    message = f"there is no conf/{_PRIMARY}.yaml in {shown_path(study.path.parent)} or in a folder above it"
    raise StudyError([Fault(message=message, path=shown_path(study.path))])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What arms share: plain values, all of them given where it is complete."""

    values: Mapping[str, Json]
    is_complete: bool


class _Composer:
    """Composes inside Hydra's context; keeps what is wrong, so that all of it is told at once."""

    def __init__(self, study: Study, conf: Path) -> None:
        self.study = study
        self.conf = conf
        self.faults: list[Fault] = []
        self._composed: dict[Choices, Any] = {}
        self._starts: dict[Choices, _Start | None] = {}

    def arm(self, common: Sequence[Setting], own: Sequence[Setting]) -> dict[str, Json]:
        """Give the resolved configuration of an arm: as `configuration` of all its settings, only faster."""
        settings = (*common, *own)
        choices = _choices(settings)
        if choices not in self._starts:
            self._starts[choices] = self._start(choices, common)
        start = self._starts[choices]
        found = None if start is None else with_values(start.values, [one for one in own if not one.is_choice])
        if start is None or found is None or (not start.is_complete and mentions(found, MISSING)):
            return self.configuration(settings)
        return found

    def _start(self, choices: Choices, common: Sequence[Setting]) -> "_Start | None":
        """Give what arms with these choices share, nothing where its values depend on those of the arm."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        composed = self._chosen(choices)
        if composed is None:
            return None
        try:
            for setting in common:
                if not setting.is_choice:
                    OmegaConf.update(composed, setting.key, setting.value, merge=True, force_add=True)
            start: Any = OmegaConf.to_container(composed, resolve=False)
        except (OmegaConfBaseException, ValueError, TypeError):
            return None
        if any(not_json(start, "")) or mentions(start, COMPUTED):
            return None
        return _Start(values=start, is_complete=not mentions(start, MISSING))

    def configuration(self, settings: Sequence[Setting]) -> dict[str, Json]:
        """Give the resolved configuration, empty where it cannot be composed."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        composed = self._chosen(_choices(settings))
        if composed is None:
            return {}
        for setting in settings:
            if setting.is_choice:
                continue
            try:
                OmegaConf.update(composed, setting.key, setting.value, merge=True, force_add=True)
            except (OmegaConfBaseException, ValueError, TypeError) as error:
                self.faults.append(
                    setting.spot.fault(f"cannot be set to {quoted(setting.value)}: {_first_line(error)}")
                )
        try:
            resolved: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as error:
            key = getattr(error, "full_key", None) or ""
            self.faults.append(self._spot(settings, key).fault(_first_line(error)))
            return {}
        for key, message in not_json(resolved, ""):
            self.faults.append(self._spot(settings, key).fault(message))
        return dict(resolved)

    def count(self, key: str, platform: Mapping[str, Json], settings: Sequence[Setting], *, least: int) -> int:
        """Read one of the platform's numbers."""
        value = platform.get(key)
        if value is None:
            if not self.faults:
                message = f"missing: neither the study nor a scale in {shown_path(self.conf)} says how many"
                self.faults.append(study_spot(self.study, key).fault(message))
        elif isinstance(value, bool) or not isinstance(value, int) or value < least:
            message = f"expected an integer >= {least}, got {quoted(value)}"
            self.faults.append(self._spot(settings, key).fault(message))
        else:
            return value
        return least

    def _chosen(self, choices: Choices) -> Any:
        """Give a copy of what the chosen options compose to, `None` where they do not compose."""
        from hydra import compose
        from hydra.errors import HydraException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError  # type: ignore[import-untyped]  # PyYAML is OmegaConf's reader

        if choices not in self._composed:
            try:
                self._composed[choices] = compose(_PRIMARY, overrides=list(choices))
                OmegaConf.set_struct(self._composed[choices], False)
            except (HydraException, OmegaConfBaseException, YAMLError) as error:
                self._composed[choices] = None
                self.faults += _broken_files(self.conf) or [
                    Fault(message=f"cannot be composed: {_first_line(error)}", path=shown_path(self.conf))
                ]
        return copy.deepcopy(self._composed[choices])

    def _spot(self, settings: Sequence[Setting], key: str) -> Spot:
        return spot_of(self.study, settings, _merged_files(self.conf, _choices(settings)), key)


def _parsed(text: str) -> tuple[str, Json]:
    """Read one override by Hydra's grammar.

    Raises:
        ValueError: It is no `key=value`, or deletes or sweeps.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ValueError(f"expected key=value, as in `method.sigma_mm=20`, got {quoted(text)}") from error
    if override.is_delete():
        raise ValueError(f"expected key=value, got the deletion {quoted(text)}: set the key to the value wanted")
    if override.is_sweep_override():
        raise ValueError(
            f"expected one value, got several in {quoted(text)}: a list is [a,b], and arms are for variants"
        )
    key = override.key_or_group if override.package is None else f"{override.key_or_group}@{override.package}"
    return key, override.value()


def _choices(settings: Sequence[Setting]) -> Choices:
    """Write the choices as Hydra overrides; of several for one group the last counts."""
    chosen = {setting.key: setting.value for setting in settings if setting.is_choice}
    return tuple(f"{group}={option}" for group, option in sorted(chosen.items()))


def _merged_files(conf: Path, choices: Choices) -> list[tuple[YamlFile, str]]:
    """List the files behind a set of choices in the order of their merging, each with the key it is put under."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    with _hydra(conf):
        loader = GlobalHydra.instance().config_loader()
        entries = loader.compute_defaults_list(_PRIMARY, list(choices), RunMode.RUN).defaults
    paths = [(conf / f"{entry.config_path}.yaml", entry.package or "") for entry in entries]
    return [(read_yaml(path), package) for path, package in paths if path.is_file()]


@contextmanager
def _hydra(conf: Path) -> Iterator[None]:
    """Point Hydra at a folder for a while; its global state is put back, also where it was in use already."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base=None, config_dir=str(conf.resolve())):
            yield
    finally:
        GlobalHydra.instance().hydra = outer


def _broken_files(conf: Path) -> list[Fault]:
    """Find the files of `conf/` that are not YAML: Hydra does not say which it was."""
    faults: list[Fault] = []
    for path in sorted(conf.rglob("*.yaml")):
        try:
            faults += read_yaml(path).faults
        except StudyError as error:
            faults += error.faults
    return faults


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
