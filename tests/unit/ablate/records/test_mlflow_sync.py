"""MLflow from the store: the whole of it, the same when done twice, by two at once, or after a kill at any moment."""

from dataclasses import replace
from threading import Barrier, Thread
from types import SimpleNamespace

import pytest

from ablate.errors import AblateError
from ablate.plan.model import PlannedTrial
from ablate.records import mlflow_files, mlflow_known, mlflow_runs, mlflow_sync
from ablate.records.mlflow import MlflowMirror
from ablate.records.mlflow_client import Tracking
from ablate.records.mlflow_sync import sync_study
from ablate.trial import Status

WRITES = ("open_experiment", "create_run", "rename", "end", "describe", "log", "log_datasets", "log_file", "log_texts")


@pytest.fixture
def plan(make_plan):
    return make_plan(seeds=(0,))


@pytest.fixture
def report(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("<html></html>")
    return path


@pytest.fixture
def sync(store, plan, report):
    def call(of=plan, **settings):
        return sync_study(of, store, None, **{"description": "| table |", "files": [report], **settings})

    return call


@pytest.fixture
def case(store, plan, worker, dump, report):
    return SimpleNamespace(store=store, plan=plan, worker=worker, dump=dump, report=report)


def without_chance(dumped):
    """Leave out of a dump what differs between two MLflows of the same store."""
    told = {}
    for name, run in dumped["runs"].items():
        files = {path: text for path, (text, *_) in run["files"].items()}
        tags = {key: value for key, value in run["tags"].items() if key not in ("mlflow.parentRunId", "ablate.told")}
        told[name] = {**run, "info": run["info"][1:], "files": files, "tags": tags}
    return {**dumped, "runs": told}


def test_a_second_sync_changes_nothing(sync, plan, worker, dump):
    for trial in plan.trials:
        worker.carry_out(trial)
    first = sync()
    assert (first.num_created, first.num_updated, first.num_unchanged) == (4, 0, 0)
    before = dump()
    second = sync()
    assert (second.num_created, second.num_updated, second.num_unchanged) == (0, 0, 4)
    assert str(second) == "0 runs created, 0 updated, 4 unchanged"
    assert dump() == before


def test_a_sync_rebuilds_what_the_mirror_showed(sync, case, empty_database):
    mirror = MlflowMirror(case.plan, case.store, None)
    for trial in case.plan.trials:
        case.worker.carry_out(trial)
        mirror.ended(trial.spec, case.store.record(trial.spec.id).outcome)
    mirror.close()
    sync()
    live = case.dump()
    (case.store.root / "mlflow.db").write_bytes(empty_database.read_bytes())
    assert sync().num_created == 4
    rebuilt = case.dump()
    assert without_chance(rebuilt)["runs"].keys() == without_chance(live)["runs"].keys()
    for name in ("detector", "ours seed 0", "uniform seed 0"):
        assert without_chance(rebuilt)["runs"][name] == without_chance(live)["runs"][name]


def test_a_sync_killed_at_any_moment_is_completed_by_the_next(sync, case, empty_database, monkeypatch):
    for trial in case.plan.trials[1:2]:
        case.worker.carry_out(trial, num_steps=2)
    monkeypatch.setattr(mlflow_known, "MAX_POINTS", 2)
    calls = {"left": 10_000}
    for name in WRITES:
        whole = getattr(Tracking, name)

        def write(self, *args, _whole=whole, **named):
            if calls["left"] == 0:
                raise KeyboardInterrupt
            calls["left"] -= 1
            return _whole(self, *args, **named)

        monkeypatch.setattr(Tracking, name, write)
    sync()
    num_calls = 10_000 - calls["left"]
    whole = without_chance(case.dump())
    assert num_calls > 15
    for moment in range(num_calls):
        (case.store.root / "mlflow.db").write_bytes(empty_database.read_bytes())
        calls["left"] = moment
        with pytest.raises(KeyboardInterrupt):
            sync()
        calls["left"] = 10_000
        sync()
        assert without_chance(case.dump()) == whole, f"killed before write {moment}"


@pytest.mark.parametrize("is_done", [True, False], ids=["answer lost", "request lost"])
def test_one_sync_gets_over_a_failure_at_any_moment(sync, case, empty_database, monkeypatch, is_done):
    """A call that MLflow carried out, and of which only the answer was lost, is as good as one that it did not get."""
    case.worker.carry_out(case.plan.trials[1], num_steps=3)
    monkeypatch.setattr(mlflow_known, "MAX_POINTS", 2)
    monkeypatch.setattr(mlflow_sync, "_PAUSES_SECONDS", (0.0,))
    calls = {"left": 10_000}
    for name in WRITES:
        whole = getattr(Tracking, name)

        def write(self, *args, _whole=whole, **named):
            calls["left"] -= 1
            if calls["left"] == 0 and not is_done:
                raise ConnectionError("no route")
            found = _whole(self, *args, **named)
            if calls["left"] == 0:
                raise ConnectionError("the answer was lost")
            return found

        monkeypatch.setattr(Tracking, name, write)
    assert sync().num_created == 2
    num_calls = 10_000 - calls["left"]
    whole = without_chance(case.dump())
    for moment in range(1, num_calls + 1):
        (case.store.root / "mlflow.db").write_bytes(empty_database.read_bytes())
        calls["left"] = moment
        sync()
        assert calls["left"] < 0
        assert without_chance(case.dump()) == whole, f"failure at write {moment}"


def test_points_whose_tag_was_lost_are_not_doubled_by_other_values(sync, case, monkeypatch):
    """MLflow commits the points of a batch before its tags; the trial then goes back, and another way."""
    trial, store = case.plan.trials[1], case.store
    store.write_spec(trial.spec)
    first = store.claim(trial.spec.id)
    for step in range(3):
        case.worker.report(trial, first, step)
    whole = Tracking.log

    def log(self, run_id, *, points=(), parameters=None, tags=None):
        whole(self, run_id, points=points, parameters=parameters, tags={} if points else tags)
        if points:
            raise KeyboardInterrupt

    monkeypatch.setattr(Tracking, "log", log)
    with pytest.raises(KeyboardInterrupt):
        sync()
    monkeypatch.setattr(Tracking, "log", whole)
    second = store.claim(trial.spec.id)
    store.rewind_curves(trial.spec.id, second, 0)
    for step in (1, 2, 3):
        case.worker.report(trial, second, step, 7.0)
    sync()
    found = case.dump()["runs"]["ours seed 0"]["histories"]["loss"]
    assert sorted((step, value) for step, _, value in found) == [
        (0, 1.0),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
        (3, 7.0),
    ]


def test_a_run_that_a_hanging_server_made_late_is_dropped(sync, plan, worker, dump, look):
    """The request was given up, and asked again when the server was back: then both were carried out."""
    worker.carry_out(plan.trials[1])
    sync()
    found = look()
    tags = [{"ablate.trial_id": plan.trials[1].spec.id}, {"ablate.study": "weights quick"}]
    late = [
        found.client.create_run(found.experiment.experiment_id, run_name=f"late {place}", tags=tag, start_time=1)
        for place, tag in enumerate(tags)
    ]
    sync()
    assert set(dump()["runs"]) == {"weights quick", "ours seed 0"}
    for run in late:
        assert found.client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"


def test_two_at_once_make_each_run_once(sync, plan, worker, dump):
    for trial in plan.trials:
        worker.carry_out(trial)
    together, counts = Barrier(2), []

    def work():
        together.wait()
        counts.append(sync())

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found.num_created for found in counts) == 4
    assert len(dump()["runs"]) == 4
    assert sync().num_unchanged == 4


def test_a_run_that_another_driver_made_meanwhile_is_found(store, plan, worker, sync, dump):
    early = mlflow_runs.StudyRuns(plan, store, f"sqlite:///{store.root / 'mlflow.db'}")
    worker.carry_out(plan.trials[1])
    sync()
    before = without_chance(dump())
    early.start(plan.trials[1].spec.id)
    early.catch_up(plan.trials[1].spec.id)
    assert early.counts().num_created == 1  # the study's own
    assert without_chance(dump())["runs"]["ours seed 0"] == before["runs"]["ours seed 0"]


def test_an_arm_renamed_renames_its_run(sync, plan, worker, dump):
    for trial in plan.trials:
        worker.carry_out(trial)
    sync()
    before = dump()["runs"]
    renamed = replace(plan, trials=(*plan.trials[:2], replace(plan.trials[2], name="plain")))
    assert sync(renamed).num_updated == 1
    after = dump()["runs"]
    assert after["plain seed 0"]["info"] == before["uniform seed 0"]["info"]
    assert after["plain seed 0"]["tags"]["arm"] == "plain"


def test_an_earlier_version_of_the_study_renames_nothing(sync, plan, worker, dump):
    earlier = replace(plan, trials=(*plan.trials[:2], replace(plan.trials[2], name="plain")))
    for trial in plan.trials:
        worker.carry_out(trial)
    sync()
    before = dump()
    assert sync(earlier, is_current=False, description=None).num_updated == 0
    assert dump() == before


def test_a_parameter_in_which_arms_differ_no_longer_is_no_longer_tagged(sync, plan, worker, dump):
    for trial in plan.trials:
        worker.carry_out(trial)
    sync()
    sync(replace(plan, trials=plan.trials[:2]))
    runs = dump()["runs"]
    assert "arm.weighting" not in runs["ours seed 0"]["tags"]


def test_only_reports_that_changed_are_sent_again(sync, case, tmp_path):
    other = tmp_path / "report.md"
    other.write_text("# one")
    sync(files=[case.report, other])
    before = case.dump()["runs"]["weights quick"]["files"]
    other.write_text("# two")
    assert sync(files=[case.report, other]).num_updated == 1
    after = case.dump()["runs"]["weights quick"]["files"]
    assert after["report.html"] == before["report.html"]
    assert after["report.md"][0] == "# two"


def test_a_finished_trial_that_was_done_anew_has_one_run_with_the_new_numbers(sync, store, plan, worker, dump):
    trial = plan.trials[1]
    worker.carry_out(trial)
    sync()
    (store.folder(trial.spec.id) / "record.json").unlink()
    worker.end(trial, store.claim(trial.spec.id), metrics={"error": 7.0})
    sync()
    run = dump()["runs"]["ours seed 0"]
    assert [value for _, _, value in run["histories"]["error"]] == [7.0]
    assert run["tags"]["ablate.outcome"] == "finished by attempt 2"


def test_files_over_the_limit_are_named_in_the_log(sync, case, monkeypatch):
    monkeypatch.setitem(mlflow_files.LIMITS_BYTES, "arm", (10, 15))
    folder = case.store.artifacts(case.plan.trials[1].spec.id)
    case.worker.carry_out(case.plan.trials[1])
    for name, size in (("a.bin", 11), ("b.bin", 9), ("c.bin", 8)):
        (folder / name).write_bytes(b"x" * size)
    sync()
    files = case.dump()["runs"]["ours seed 0"]["files"]
    assert {name for name in files if name.startswith("files/")} == {"files/b.bin", "files/figures/poses.svg"}
    log = files["log.txt"][0].splitlines()
    assert [line.split(" (")[0] for line in log[1:]] == ["--- not mirrored: a.bin", "--- not mirrored: c.bin"]


def test_what_failed_is_mirrored_without_its_files(sync, store, plan, worker, dump):
    trial = plan.trials[1]
    store.write_spec(trial.spec)
    attempt = store.claim(trial.spec.id)
    store.artifacts(trial.spec.id).mkdir()
    (store.artifacts(trial.spec.id) / "half.png").write_bytes(b"")
    worker.end(trial, attempt, status=Status.FAILED, metrics={}, error="no luck")
    sync()
    assert set(dump()["runs"]["ours seed 0"]["files"]) == {"config.json", "log.txt"}


def test_a_stage_and_an_adaptive_study_with_trials_not_needed_is_finished(sync, plan, worker, dump):
    from ablate.study.model import Adaptive

    adaptive = replace(plan.study, adaptive=Adaptive(min=1, max=3, step=1, metric="error"))
    more = PlannedTrial(spec=replace(plan.trials[1].spec, seed=1), role="arm", name="ours")
    grown = replace(plan, study=adaptive, trials=(*plan.trials, more))
    for trial in plan.trials:
        worker.carry_out(trial)
    sync(grown)
    assert dump()["runs"]["weights quick"]["info"][1] == "FINISHED"


def test_a_server_that_is_not_there_is_one_sentence(store, plan, monkeypatch):
    monkeypatch.setattr(mlflow_sync, "_PAUSES_SECONDS", (0.0,))
    with pytest.raises(AblateError) as raised:
        sync_study(plan, store, "http://127.0.0.1:9", description=None)
    assert str(raised.value).startswith("MLflow at http://127.0.0.1:9 is not up to date (Connection refused); ")
    assert "\n" not in str(raised.value)
