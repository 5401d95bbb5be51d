"""The mirror: what MLflow shows, that nothing is there twice, and that its faults cost nothing."""

import logging
import subprocess
import sys
import time
from queue import SimpleQueue

import pytest

from ablate.records.mlflow import MlflowMirror, mirror_report
from ablate.records.mlflow_client import Tracking, default_tracking_uri
from ablate.records.mlflow_ui import find_study
from ablate.trial import Status


@pytest.fixture
def plan(make_plan):
    return make_plan()


@pytest.fixture
def mirror(store, plan):
    def start(of=plan, uri=None):
        return MlflowMirror(of, store, uri)

    return start


def curve(look, name, metric="loss"):
    found = look()
    points = found.client.get_metric_history(found.runs[name].info.run_id, metric)
    return [(point.step, point.value) for point in sorted(points, key=lambda point: (point.step, point.timestamp))]


def test_trials_finished_before_appear_with_readable_names(mirror, plan, worker, look):
    for trial in plan.trials:
        worker.carry_out(trial)
    mirror().close()
    found = look()
    assert set(found.runs) == {
        "weights quick",
        "detector",
        "ours seed 0",
        "ours seed 1",
        "uniform seed 0",
        "uniform seed 1",
    }
    parent = found.runs["weights quick"].info.run_id
    children = [run for name, run in found.runs.items() if name != "weights quick"]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent}
    assert {run.info.status for run in found.runs.values()} == {"FINISHED"}
    assert found.experiment.tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_run_holds_parameters_tags_metrics_curves_and_files(mirror, plan, worker, look):
    worker.carry_out(plan.trials[2])
    mirror().close()
    found = look()
    run = found.runs["ours seed 1"]
    assert run.data.params == {"method.weighting": "ours", "method.loss.alpha": "0.5", "seed": "1"}
    assert {key: run.data.tags[key] for key in ("arm", "seed", "scale", "role", "ablate.trial_id")} == {
        "arm": "ours",
        "seed": "1",
        "scale": "quick",
        "role": "arm",
        "ablate.trial_id": plan.trials[2].spec.id,
    }
    assert run.data.metrics["error"] == 61.0
    assert curve(look, "ours seed 1") == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    files = {file.path for file in found.client.list_artifacts(run.info.run_id)}
    assert files == {"config.json", "log.txt", "files"}
    (figures,) = found.client.list_artifacts(run.info.run_id, "files")
    assert [file.path for file in found.client.list_artifacts(run.info.run_id, figures.path)] == [
        "files/figures/poses.svg"
    ]


def test_a_second_mirror_changes_nothing(mirror, plan, worker, look):
    for trial in plan.trials:
        worker.carry_out(trial)
    mirror().close()
    before = {name: (run.data.to_dictionary(), run.info.end_time) for name, run in look().runs.items()}
    points = curve(look, "ours seed 0"), curve(look, "ours seed 0", "error")
    mirror().close()
    assert {name: (run.data.to_dictionary(), run.info.end_time) for name, run in look().runs.items()} == before
    assert (curve(look, "ours seed 0"), curve(look, "ours seed 0", "error")) == points


def resumed(store, trial, worker, mirror, values):
    """Let a driver be killed after step 2, and another go on from step 0 with these values for the steps after it."""
    store.write_spec(trial.spec)
    first = store.claim(trial.spec.id)
    listening = mirror()
    listening.started(trial.spec, first)
    for step in (0, 1, 2):
        listening.reported(worker.report(trial, first, step))
    listening.close()
    second = store.claim(trial.spec.id)
    again = mirror()
    again.started(trial.spec, second)
    store.rewind_curves(trial.spec.id, second, 0)
    for step, value in values.items():
        again.reported(worker.report(trial, second, step, value))
    return again, second


def test_points_after_a_resume_are_not_doubled(mirror, plan, store, worker, look):
    trial = plan.trials[1]
    again, second = resumed(store, trial, worker, mirror, {1: 0.5, 2: 1 / 3, 3: 0.25})
    before = look().runs["ours seed 0"].info.run_id
    again.ended(trial.spec, worker.end(trial, second))
    again.close()
    assert curve(look, "ours seed 0") == [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3)), (3, 0.25)]
    assert (look().runs["ours seed 0"].info.run_id, look().runs["ours seed 0"].info.status) == (before, "FINISHED")


def test_a_trial_that_went_another_way_after_a_resume_shows_its_own_values_once(mirror, plan, store, worker, look):
    """Of two points at one step MLflow keeps both, and none can be taken back: the trial gets a run anew."""
    trial = plan.trials[1]
    again, second = resumed(store, trial, worker, mirror, {1: 7.0, 2: 8.0})
    again.close()
    assert [step for step, _ in curve(look, "ours seed 0")] == [0, 1, 2]
    last = mirror()
    last.ended(trial.spec, worker.end(trial, second))
    last.close()
    assert curve(look, "ours seed 0") == [(0, 1.0), (1, 7.0), (2, 8.0)]


def test_what_the_last_driver_could_not_tell_of_a_curve_comes_with_the_next(mirror, plan, store, worker, look):
    trial = plan.trials[1]
    store.write_spec(trial.spec)
    attempt = store.claim(trial.spec.id)
    for step in range(4):
        worker.report(trial, attempt, step)
    again = mirror()
    again.started(trial.spec, attempt)
    again.reported(worker.report(trial, attempt, 4))
    again.close()
    assert [step for step, _ in curve(look, "ours seed 0")] == [0, 1, 2, 3, 4]
    assert look().runs["ours seed 0"].info.status == "RUNNING"


def test_the_final_number_is_the_latest_value_of_its_curve(mirror, plan, store, worker, look):
    trial = plan.trials[1]
    store.write_spec(trial.spec)
    attempt = store.claim(trial.spec.id)
    worker.report(trial, attempt, 4, 3.0)
    worker.end(trial, attempt, metrics={"loss": 2.0})
    mirror().close()
    assert look().runs["ours seed 0"].data.metrics["loss"] == 2.0


def test_long_curves_arrive_whole(mirror, plan, worker, look):
    worker.carry_out(plan.trials[1], num_steps=1203)
    mirror().close()
    assert [step for step, _ in curve(look, "ours seed 0")] == list(range(1203))


def test_numbers_that_are_not_finite_do_not_stop_the_mirror(mirror, plan, store, worker, look):
    trial = plan.trials[1]
    store.write_spec(trial.spec)
    worker.end(trial, store.claim(trial.spec.id), metrics={"error": float("nan"), "other": float("inf")})
    mirror().close()
    assert look().runs["ours seed 0"].info.status == "FINISHED"


def test_a_failed_trial_fails_its_run_and_the_studys(mirror, plan, store, worker, look):
    for trial in plan.trials[1:]:
        worker.carry_out(trial)
    store.write_spec(plan.trials[0].spec)
    worker.end(plan.trials[0], store.claim(plan.trials[0].spec.id), status=Status.FAILED, metrics={}, error="no luck")
    mirror().close()
    runs = look().runs
    assert (runs["detector"].info.status, runs["weights quick"].info.status) == ("FAILED", "FAILED")


def test_a_trial_that_arms_share_is_one_run_named_after_both(mirror, make_plan, worker, look):
    from dataclasses import replace

    plan = make_plan(seeds=(0,))
    twin = replace(plan.trials[1], name="twin")
    plan = replace(plan, trials=(*plan.trials[:2], twin))
    worker.carry_out(plan.trials[1])
    mirror(plan).close()
    assert look().runs["ours seed 0, twin seed 0"].data.tags["arm"] == "ours, twin"


def test_each_scale_has_its_own_study_run(mirror, make_plan, look):
    mirror(make_plan()).close()
    mirror(make_plan(scale="standard")).close()
    assert set(look().runs) == {"weights quick", "weights standard"}


def test_the_studys_run_shows_the_table_and_holds_the_reports(store, plan, tmp_path, look):
    report = tmp_path / "report.md"
    report.write_text("# Weights")
    for table in ("| old |", "| new |"):
        mirror_report(plan, store, None, description=table, files=(report,))
    found = look()
    run = found.runs["weights quick"]
    assert run.data.tags["mlflow.note.content"] == "| new |"
    assert [file.path for file in found.client.list_artifacts(run.info.run_id)] == ["report.md"]


def test_a_deleted_experiment_is_brought_back(mirror, plan, worker, look):
    mirror().close()
    found = look()
    found.client.delete_experiment(found.experiment.experiment_id)
    worker.carry_out(plan.trials[1])
    mirror().close()
    assert "ours seed 0" in look().runs


def test_a_database_that_is_none_costs_one_line(mirror, plan, store, worker, caplog):

    (store.root / "mlflow.db").write_text("this is no database, and long enough to be read as one" * 10)
    listening = mirror()
    listening.started(plan.trials[0].spec, 1)
    with caplog.at_level(logging.WARNING, "ablate"):
        listening.close()
        listening.close()
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("ablate")]
    assert line.startswith(f"MLflow at sqlite:///{store.root / 'mlflow.db'} is not up to date (")
    assert "\n" not in line
    assert f"results are safe in {store.root}" in line


def test_one_that_is_slow_is_waited_for_as_long_as_it_takes_something(plan, store, worker, caplog, monkeypatch):
    whole = Tracking.log

    def log(self, *args, **named):
        time.sleep(0.17)
        whole(self, *args, **named)

    monkeypatch.setattr(Tracking, "log", log)
    for trial in plan.trials:
        worker.carry_out(trial)
    mirror = MlflowMirror(plan, store, None, patience_s=1.0)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "ablate"):
        mirror.close()
    assert time.monotonic() - began > 3.0  # a database is given three times as long
    assert not caplog.records
    assert len(find_study(default_tracking_uri(store.root), "weights").run_ids) == 4


def test_a_study_is_found_with_the_runs_of_its_arms(mirror, plan, store, worker):
    uri = default_tracking_uri(store.root)
    for trial in reversed(plan.trials):
        worker.carry_out(trial)
    mirror().close()
    assert len(find_study(uri, "weights").run_ids) == 4


def test_only_what_differs_between_the_arms_is_tagged(mirror, plan, worker, look):
    for trial in plan.trials:
        worker.carry_out(trial)
    mirror().close()
    runs = look().runs
    tags = {
        name: {key: value for key, value in run.data.tags.items() if key.startswith("arm.")}
        for name, run in runs.items()
    }
    assert tags["uniform seed 1"] == {"arm.weighting": "uniform"}
    assert tags["ours seed 0"] == {"arm.weighting": "ours"}
    assert tags["detector"] == {}


def test_a_run_names_what_it_worked_on(mirror, plan, worker, look):
    for trial in plan.trials[:2]:
        worker.carry_out(trial)
    mirror().close()
    runs = look().runs
    (data,) = runs["detector"].inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("data", "0123456789abcdef0123")
    (stage,) = runs["ours seed 0"].inputs.dataset_inputs
    assert (stage.dataset.name, stage.dataset.digest) == ("detector", plan.trials[0].spec.id)
    assert {tag.key: tag.value for tag in stage.tags} == {"mlflow.data.context": "stage"}


def test_the_load_of_the_machine_is_shown(mirror, plan, worker, look):
    worker.carry_out(plan.trials[1])
    mirror().close()
    found = curve(look, "ours seed 0", "system/cpu_utilization_percentage")
    assert found == [(0, 50.0), (1, 51.0), (2, 52.0)]


def test_the_description_is_rewritten_while_trials_end(store, plan, worker, look):
    """Once per interval, from the store; one that cannot be made yet changes nothing."""
    texts = iter(["| one |", ValueError("nothing yet"), "| three |"])
    asked = SimpleQueue()

    def description():
        text = next(texts)
        asked.put(text)
        if isinstance(text, Exception):
            raise text
        return text

    mirror = MlflowMirror(plan, store, None, description, interval_s=0.0)
    for trial in plan.trials[:3]:
        worker.carry_out(trial)
        mirror.ended(trial.spec, store.record(trial.spec.id).outcome)
        asked.get(timeout=60)
    mirror.close()
    assert look().runs["weights quick"].data.tags["mlflow.note.content"] == "| three |"


def test_the_description_waits_for_its_time(store, plan, worker):
    mirror = MlflowMirror(plan, store, None, lambda: pytest.fail("asked too early"), interval_s=3600.0)
    worker.carry_out(plan.trials[0])
    mirror.ended(plan.trials[0].spec, store.record(plan.trials[0].spec.id).outcome)
    mirror.close()


def test_importing_the_mirror_loads_no_mlflow():
    code = "import sys, ablate.records.mlflow, ablate.records.mlflow_ui; print('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
