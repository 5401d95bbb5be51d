"""Importance of a search's parameters as Optuna's evaluators measure it: fANOVA and PED-ANOVA.

A parameter that is drawn on a logarithmic scale is measured on it too: Optuna's fANOVA would otherwise weigh every
value of a range from 1e-5 to 1e-1 alike, and so see its upper end alone.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec

import optuna
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

from ablate.search.model import Parameter
from ablate.search.optuna import distribution, encoded
from ablate.trial import Json

optuna.logging.set_verbosity(optuna.logging.ERROR)

TOP_SHARE = 0.1
"""PED-ANOVA asks what sets this share of the configurations, the best ones, apart; Optuna's default."""
FEWEST_TOP = 5
"""Of the best configurations PED-ANOVA should see so many, says Optuna; of few configurations the share is larger."""


class Evaluator:
    """Measures samples of one set of configurations.

    Args:
        space: The parameters, each of them set in every configuration.
        rows: The configurations.
        losses: Value of each, lower is better.
    """

    def __init__(self, space: Sequence[Parameter], rows: Sequence[Mapping[str, Json]], losses: Sequence[float]) -> None:
        distributions = {parameter.key: distribution(_linear(parameter)) for parameter in space}
        self._keys = list(distributions)
        self._trials = [
            optuna.trial.create_trial(
                value=loss, params=encoded(space, _on_scale(space, row)), distributions=distributions
            )
            for row, loss in zip(rows, losses, strict=True)
        ]

    def measure(self, chosen: Sequence[int], *, num_trees: int, seed: int) -> dict[str, dict[str, float] | None]:
        """Measure a sample; `None` where a method finds nothing that varies, or cannot be used.

        Args:
            chosen: Places of the configurations, some perhaps several times.
            num_trees: Of the forest behind fANOVA.
            seed: Of the forest.

        Returns:
            `fanova`, the share of the values' variance that each parameter explains alone, and `ped_anova`, each
            parameter's share of what sets the best configurations apart.
        """
        study = optuna.create_study()
        study.add_trials([self._trials[place] for place in chosen])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fanova = _fanova(study, self._keys, num_trees, seed) if has_fanova() else None
            return {"fanova": fanova, "ped_anova": _ped_anova(study, self._keys)}


def _fanova(study: optuna.Study, keys: list[str], num_trees: int, seed: int) -> dict[str, float] | None:
    try:
        found = FanovaImportanceEvaluator(n_trees=num_trees, seed=seed).evaluate(study, params=keys)
    except RuntimeError:  # no tree of the forest found anything to split
        return None
    return {key: float(value) for key, value in found.items()}


def _ped_anova(study: optuna.Study, keys: list[str]) -> dict[str, float] | None:
    share = max(TOP_SHARE, FEWEST_TOP / len(study.get_trials(deepcopy=False)))
    found = PedAnovaImportanceEvaluator(target_quantile=share).evaluate(study, params=keys)
    total = math.fsum(found.values())
    return {key: float(value / total) for key, value in found.items()} if total > 0.0 else None


def has_fanova() -> bool:
    """Say whether the library of forests that Optuna's fANOVA needs is installed."""
    return find_spec("sklearn") is not None


def _linear(parameter: Parameter) -> Parameter:
    """Write a logarithmic range as a linear one of logarithms."""
    if not parameter.log:
        return parameter
    return replace(
        parameter, kind="float", low=math.log10(parameter.low), high=math.log10(parameter.high), log=False, step=None
    )


def _on_scale(space: Sequence[Parameter], row: Mapping[str, Json]) -> dict[str, Json]:
    return {
        one.key: math.log10(value) if one.log and isinstance(value := row[one.key], int | float) else row[one.key]
        for one in space
    }
