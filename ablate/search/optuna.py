"""Optuna behind a search: a sampler that is asked and told; with its neighbours of the same name the door to Optuna.

The sampler works in memory. Its state is made of what it was asked and told, by doing that again: a fresh sampler of
the same seed is asked for every configuration of the history, each time knowing just what was known then. So a search
that is run one trial at a time proposes what bare Optuna proposes with this seed, and one that was killed goes on with
the proposals of an undisturbed one. Where the history cannot be repeated (another version of Optuna), the sampler
learns from the history as from trials of others.
"""

import logging
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from ablate.ids import canonical_json
from ablate.search.history import Entry, State
from ablate.search.model import Parameter, Search, grid_values
from ablate.trial import Json

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

_log = logging.getLogger(__name__)


class Suggester:
    """Proposes configurations.

    Args:
        search: The space, the sampler, the pruner.
        history: What was proposed before, in order.
        seed: Of the sampler, if not the search's own: drivers that share a search draw differently.
    """

    def __init__(self, search: Search, history: Sequence[Entry] = (), *, seed: int | None = None) -> None:
        self._search = search
        self._seed = search.sampler.seed if seed is None else seed
        self._trials: dict[int, optuna.Trial] = {}
        self._study = self._new_study(self._seed)
        if not self._repeat(history):
            _log.warning(
                "the search's %d configurations are not what this version of Optuna (%s) proposes: it goes on from "
                "them, but not as an undisturbed run would",
                len(history),
                optuna.__version__,
            )
            self._trials.clear()
            self._study = self._new_study((self._seed + len(history)) % 2**32)
            for entry in history:
                self._study.add_trial(frozen(self._search, entry))

    def ask(self) -> tuple[int, dict[str, Json]]:
        """Give the next configuration and its number."""
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return trial.number, suggest(trial, self._search.space)

    def tell(self, number: int, state: State, values: Sequence[float] | None = None) -> None:
        """Take what came of a configuration: its values, or that it failed or was pruned."""
        trial = self._trials.pop(number, number)
        if state is State.TOLD:
            self._study.tell(trial, values)
        else:
            self._study.tell(trial, state=TrialState.PRUNED if state is State.PRUNED else TrialState.FAIL)

    def report(self, number: int, step: int, value: float) -> bool:
        """Take the value of a configuration at a step, and say whether it is hopeless."""
        trial = self._trials.get(number)
        if trial is None:
            return False
        trial.report(value, step)
        return bool(trial.should_prune())  # a bool of numpy, from some pruners

    def adopt(self, entry: Entry) -> None:
        """Learn from a configuration that somebody else tried; its number must be the next one."""
        self._study.add_trial(frozen(self._search, entry))

    def _new_study(self, seed: int) -> optuna.Study:
        directions = [direction(one.better) for one in self._search.objectives]
        # Hyperband draws brackets by the study's name.
        return optuna.create_study(
            study_name="search",
            directions=directions,
            sampler=make_sampler(self._search, seed),
            pruner=make_pruner(self._search),
        )

    def _repeat(self, history: Sequence[Entry]) -> bool:
        """Ask and tell again what was asked and told, in the same order; say whether the same came out."""
        told: set[int] = set()
        for entry in history:
            self._tell_again(one for one in history[: entry.number] if one.number not in told | set(entry.open))
            told |= set(range(entry.number)) - set(entry.open)
            if entry.origin:
                self.adopt(entry)
                told.add(entry.number)
            elif self.ask()[1] != entry.parameters:
                return False
        self._tell_again(one for one in history if one.number not in told and one.state is not State.OPEN)
        return True

    def _tell_again(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if not entry.origin:
                for step, value in sorted(entry.points.items()):
                    self.report(entry.number, step, value)
                self.tell(entry.number, entry.state, entry.values)


def suggest(trial: optuna.Trial, space: Iterable[Parameter]) -> dict[str, Json]:
    """Draw the parameters of a trial in the order of the space; those whose condition does not hold are left out."""
    chosen: dict[str, Json] = {}
    for parameter in space:
        if parameter.is_active(chosen):
            chosen[parameter.key] = _decoded(parameter, _drawn(trial, parameter))
    return chosen


def _drawn(trial: optuna.Trial, parameter: Parameter) -> Json:
    key = parameter.key
    match parameter.kind:
        case "choices":
            return trial.suggest_categorical(key, [_encoded(choice) for choice in parameter.choices])
        case "int":
            low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
            return trial.suggest_int(key, low, high, step=step, log=parameter.log)
        case _:
            return trial.suggest_float(key, parameter.low, parameter.high, step=parameter.step, log=parameter.log)


def distribution(parameter: Parameter) -> BaseDistribution:
    """Give Optuna's word for a parameter's range or choices."""
    match parameter.kind:
        case "choices":
            return CategoricalDistribution([_encoded(choice) for choice in parameter.choices])
        case "int":
            low, high, step = int(parameter.low), int(parameter.high), int(parameter.step or 1)
            return IntDistribution(low, high, log=parameter.log, step=step)
        case _:
            return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.step)


def encoded(space: Iterable[Parameter], parameters: Mapping[str, Json]) -> dict[str, Any]:
    """Write a configuration as Optuna keeps it, without what the space does not have."""
    return {
        one.key: _encoded(parameters[one.key]) if one.kind == "choices" else parameters[one.key]
        for one in space
        if one.key in parameters
    }


def decoded(space: Iterable[Parameter], values: Mapping[str, Any]) -> dict[str, Json]:
    """Read a configuration as Optuna keeps it, without what the space does not have."""
    return {one.key: _decoded(one, values[one.key]) for one in space if one.key in values}


def _encoded(choice: Json) -> Any:
    """Write a choice as Optuna keeps it: lists and mappings as text."""
    return canonical_json(choice) if isinstance(choice, list | dict) else choice


def _decoded(parameter: Parameter, value: Any) -> Json:
    if parameter.kind != "choices":
        return value
    return next(choice for choice in parameter.choices if _is_same(_encoded(choice), value))


def _is_same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


class _Grid(optuna.samplers.GridSampler):
    """The grid, less its wish to end Optuna's own loop: the budget knows how many points there are."""

    def after_trial(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Do nothing."""


def make_sampler(search: Search, seed: int) -> optuna.samplers.BaseSampler:
    """Build the sampler, with Optuna's own defaults; a Sobol sequence is scrambled, else all seeds have the same."""
    samplers = optuna.samplers
    grid = {one.key: [_encoded(value) for value in grid_values(one) or ()] for one in search.space}
    known: Mapping[str, Callable[[], optuna.samplers.BaseSampler]] = {
        "tpe": lambda: samplers.TPESampler(seed=seed),
        "random": lambda: samplers.RandomSampler(seed=seed),
        "grid": lambda: _Grid(grid, seed=seed),
        "cmaes": lambda: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
        "gp": lambda: samplers.GPSampler(seed=seed, warn_independent_sampling=False),
        "qmc": lambda: samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False),
        "nsga2": lambda: samplers.NSGAIISampler(seed=seed),
    }
    return known[search.sampler.name]()


def make_pruner(search: Search) -> optuna.pruners.BasePruner:
    """Build the pruner."""
    pruner, pruners = search.pruner, optuna.pruners
    match pruner.name:
        case "asha":
            return pruners.SuccessiveHalvingPruner(
                min_resource=pruner.min_steps, reduction_factor=pruner.reduction, min_early_stopping_rate=0
            )
        case "hyperband":
            return pruners.HyperbandPruner(min_resource=pruner.min_steps, reduction_factor=pruner.reduction)
        case "median":
            return pruners.MedianPruner(n_startup_trials=pruner.startup, n_warmup_steps=pruner.min_steps)
        case "wilcoxon":
            return pruners.WilcoxonPruner(p_threshold=pruner.p_threshold, n_startup_steps=pruner.min_steps)
        case _:
            return pruners.NopPruner()


def frozen(search: Search, entry: Entry) -> optuna.trial.FrozenTrial:
    """Write a configuration as a trial of Optuna's."""
    known = {parameter.key: parameter for parameter in search.space}
    return optuna.trial.create_trial(
        state=state_of(entry.state),
        values=list(entry.values) if entry.state is State.TOLD and entry.values else None,
        params=encoded(search.space, entry.parameters),
        distributions={key: distribution(known[key]) for key in entry.parameters if key in known},
        intermediate_values=dict(entry.points),
    )


def state_of(state: State) -> TrialState:
    """Give Optuna's word for how a configuration stands."""
    return {
        State.OPEN: TrialState.RUNNING,
        State.TOLD: TrialState.COMPLETE,
        State.FAILED: TrialState.FAIL,
        State.PRUNED: TrialState.PRUNED,
    }[state]


def direction(better: str) -> optuna.study.StudyDirection:
    """Give Optuna's word for the direction of an improvement."""
    return optuna.study.StudyDirection.MINIMIZE if better == "lower" else optuna.study.StudyDirection.MAXIMIZE
