"""Results written down by hand: what a test says about arms, metrics and seeds is all there is."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ablate.analysis.results import ArmResults, Results
from ablate.study.model import Metric, Study
from tests.studies import bare_study

Values = Mapping[str, Mapping[str, Mapping[int | None, float]]]


def build_study(names: list[str], metrics: tuple[Metric, ...], **changes: Any) -> Study:
    return bare_study(**{"arms": names, "metrics": metrics, **changes})


@pytest.fixture
def make_study() -> Callable[..., Study]:
    return build_study


@pytest.fixture
def make_results() -> Callable[..., Results]:
    """Results from `{arm: {metric: {seed: value}}}`; every metric is in mm, lower is better unless said."""

    def make(values: Values, better: str = "lower", **study: Any) -> Results:
        names = list(dict.fromkeys(metric for arm in values.values() for metric in arm))
        metrics = study.pop("metrics", tuple(Metric(name=name, unit="mm", better=better) for name in names))
        seeds = {seed for arm in values.values() for metric in arm.values() for seed in metric if seed is not None}
        return Results(
            study=build_study(list(values), metrics, **study),
            scale="quick",
            seeds=tuple(sorted(seeds)),
            arms=tuple(ArmResults(name=name, values=found) for name, found in values.items()),
            gaps=(),
        )

    return make
