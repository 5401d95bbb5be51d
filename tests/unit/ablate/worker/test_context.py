import itertools
from functools import partial

import pytest

from ablate.trial import Status


class _Stop:
    """Says stop from a number of questions on."""

    def __init__(self, num_no: int) -> None:
        self.num_left = num_no

    def __call__(self) -> bool:
        self.num_left -= 1
        return self.num_left < 0


def _counting(trial: object) -> dict[str, float]:
    """Count to five, from the checkpoint."""
    first = (trial.restore() or {"step": 0})["step"]
    for step in range(first + 1, 6):
        trial.report(step, {"x": step / 2}, state=partial(dict, step=step))
    return {"first": first}


def test_asked_to_stop_it_saves_its_state_and_goes_on_from_there(bench):
    spec = bench.spec(_counting)
    assert bench.run(spec, stopping=_Stop(2)).status is Status.INTERRUPTED
    assert bench.store.record(spec.id).status is Status.INTERRUPTED
    assert bench.store.finished([spec.id]) == set()
    assert bench.store.checkpoint_step(spec.id) == 3
    outcome = bench.run(spec)
    assert (outcome.status, outcome.metrics) == (Status.FINISHED, {"first": 3.0})
    assert [point.step for point in bench.store.curves(spec.id)] == [1, 2, 3, 4, 5]
    assert [report.step for report in bench.reports] == [1, 2, 3, 4, 5]


def test_the_task_cannot_swallow_the_request_to_stop_by_accident(bench):
    def task(trial: object) -> dict[str, float]:
        for step in itertools.count():
            try:
                trial.report(step, {"x": 1.0})
            except Exception:
                continue

    assert bench.run(bench.spec(task), stopping=_Stop(1)).status is Status.INTERRUPTED


def test_points_beyond_the_checkpoint_are_dropped_when_the_trial_goes_on(bench):
    def task(trial: object) -> dict[str, float]:
        state = trial.restore()
        first = state["step"] if state else 0
        for step in range(first + 1, 6):
            trial.report(step, {"attempt": 1.0 if state is None else 2.0}, state=partial(dict, step=step))
            if state is None and step == 4:
                raise RuntimeError("after step 4")
        return {}

    spec = bench.spec(task)
    bench.run(spec, checkpoint_interval_s=0.0)
    (path,) = bench.store.folder(spec.id).glob("checkpoints/4-*.pt")
    path.write_bytes(b"torn")
    bench.run(spec, checkpoint_interval_s=0.0)
    assert f"{path.name}: checkpoint is torn or corrupted" in bench.log(spec)
    found = [(point.step, point.metrics["attempt"]) for point in bench.store.curves(spec.id)]
    assert found == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0)]


def test_a_task_that_never_restores_begins_its_curves_anew(bench):
    def task(trial: object) -> dict[str, float]:
        for step in (1, 2):
            trial.report(step, {"x": 1.0}, state=partial(dict, step=step))
        return {}

    spec = bench.spec(task)
    bench.run(spec, stopping=_Stop(1))
    bench.run(spec)
    assert [(point.step, point.attempt) for point in bench.store.curves(spec.id)] == [(1, 2), (2, 2)]


def test_state_is_only_asked_for_when_a_checkpoint_is_due(bench):
    asked = []

    def task(trial: object) -> dict[str, float]:
        for step in (1, 2):
            trial.report(step, {"x": 1.0}, state=partial(asked.append, step))
        return {}

    bench.run(bench.spec(task))
    assert asked == []


def test_a_stage_is_found_by_its_name(bench):
    def stage(trial: object) -> dict[str, float]:
        trial.artifact("deep/file.txt").write_text("here")
        return {}

    def task(trial: object) -> dict[str, float]:
        assert (trial.inputs["base"] / "deep" / "file.txt").read_text() == "here"
        return {"workers": trial.workers, "is_cpu": trial.device == "cpu"}

    needed = bench.spec(stage)
    bench.run(needed)
    assert bench.run(bench.spec(task, needs={"base": needed.id})).metrics == {"workers": 1.0, "is_cpu": 1.0}


@pytest.mark.parametrize("name", ["../record.json", "/etc/passwd"])
def test_an_artifact_outside_of_the_trial_is_refused(bench, name):
    def task(trial: object) -> dict[str, float]:
        trial.artifact(name)
        return {}

    assert "leads out of the trial's folder" in bench.run(bench.spec(task)).error


def test_a_metric_that_is_no_number_is_refused_at_its_report(bench):
    def task(trial: object) -> dict[str, float]:
        trial.report(1, {"loss": "low"})
        return {}

    assert (
        "trial.report: expected a dict of numbers by name, got str 'low' at 'loss'" in bench.run(bench.spec(task)).error
    )
