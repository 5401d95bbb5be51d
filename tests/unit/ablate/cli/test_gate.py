"""Which answers a gate lets pass."""

from types import SimpleNamespace
from typing import Any

import pytest

from ablate.analysis.contrasts import Verdict
from ablate.analysis.results import Gap
from ablate.cli.gate import Condition, check_metrics, unmet
from ablate.errors import StudyError


def contrast(arm: str, metric: str, verdict: Verdict, mean: float | None = 1.5) -> Any:
    estimate = None if mean is None else SimpleNamespace(mean=mean)
    return SimpleNamespace(arm=arm, reference="ours", metric=metric, verdict=verdict, estimate=estimate)


@pytest.fixture
def analysis() -> Any:
    metrics = [SimpleNamespace(name="error"), SimpleNamespace(name="time")]
    gaps = (
        Gap(arm="b", seed=1, trial_id="1", reason="failed: ValueError: no"),
        Gap(arm="c", seed=None, trial_id="2", reason="not run"),
        Gap(arm="a", seed=0, trial_id="3", reason="it is nan", metric="time"),
    )
    return SimpleNamespace(
        results=SimpleNamespace(study=SimpleNamespace(metrics=metrics), gaps=gaps),
        contrasts={
            "error": (contrast("a", "error", Verdict.WORSE), contrast("b", "error", Verdict.BETTER, -2.0)),
            "time": (contrast("a", "time", Verdict.EQUIVALENT), contrast("b", "time", Verdict.UNDECIDED, None)),
        },
    )


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        (Condition.WORSE, "--fail-on worse: a against ours on error (+1.5)"),
        (Condition.BETTER, "--fail-on better: b against ours on error (-2)"),
        (Condition.EQUIVALENT, "--fail-on equivalent: a against ours on time (+1.5)"),
        (Condition.UNDECIDED, "--fail-on undecided: b against ours on time"),
        (Condition.FAILED, "--fail-on failed: b seed 1 (failed: ValueError: no)"),
        (
            Condition.MISSING,
            "--fail-on missing: b seed 1 (failed: ValueError: no); c (not run); a seed 0 on time (it is nan)",
        ),
    ],
)
def test_each_condition_names_what_it_found(analysis: Any, condition: Condition, sentence: str) -> None:
    assert unmet(analysis, [condition]) == [sentence]


def test_metrics_restrict_what_is_looked_at(analysis: Any) -> None:
    assert unmet(analysis, [Condition.WORSE], ["time"]) == []
    assert unmet(analysis, [Condition.MISSING], ["error"]) == [
        "--fail-on missing: b seed 1 (failed: ValueError: no); c (not run)"
    ]


def test_several_conditions_have_a_sentence_each(analysis: Any) -> None:
    found = unmet(analysis, [Condition.BETTER, Condition.WORSE, Condition.BETTER])
    assert [sentence.split(":")[0] for sentence in found] == ["--fail-on better", "--fail-on worse"]


def test_a_metric_that_is_not_there_is_refused(analysis: Any) -> None:
    with pytest.raises(StudyError, match="no metric is called 'eror'; expected one of error, time -- did you mean"):
        check_metrics(analysis, ["error", "eror"])
