import json
import os

import pytest

from ablate.errors import StoreError
from ablate.store import RunFacts, Store
from ablate.trial import Outcome, Report, Resources, Status, TrialSpec

FACTS = {"started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:00:01+00:00", "seconds": 1.0}


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def spec(store) -> TrialSpec:
    spec = TrialSpec(task="m:f", parameters={"a": [1, 2.5], "b": None}, seed=3, resources=Resources(num_cpus=2.0))
    store.write_spec(spec)
    return spec


def _facts(attempt: int) -> RunFacts:
    return RunFacts(attempt=attempt, host="h", python="3", versions={"torch": "2"}, **FACTS)


def _finish(store, trial_id, attempt, status=Status.FINISHED, **fields) -> None:
    outcome = Outcome(trial_id=trial_id, attempt=attempt, status=status, seconds=1.0, **fields)
    store.finish(trial_id, attempt, outcome, _facts(attempt))


def _report(store, trial_id, attempt, step, **metrics) -> None:
    store.append_report(Report(trial_id=trial_id, attempt=attempt, step=step, metrics=metrics))


def test_a_specification_comes_back_as_it_was_with_its_resources(store, spec):
    assert store.read_spec(spec.id) == spec
    assert store.read_spec(spec.id).resources == Resources(num_cpus=2.0)


def test_a_changed_specification_is_refused(store, spec):
    path = store.folder(spec.id) / "spec.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    with pytest.raises(StoreError, match=f"expected {spec.id}: the file was changed"):
        store.read_spec(spec.id)


def test_an_unknown_trial_is_named(store):
    with pytest.raises(StoreError, match="no such trial"):
        store.read_spec("0" * 20)


def test_writing_a_specification_again_leaves_the_file_alone(store, spec):
    path = store.folder(spec.id) / "spec.json"
    before = path.stat().st_ino
    store.write_spec(spec)
    assert path.stat().st_ino == before


def test_attempts_count_from_one(store, spec):
    assert store.last_attempt(spec.id) == 0
    assert [store.claim(spec.id) for _ in range(3)] == [1, 2, 3]
    claim = json.loads((store.folder(spec.id) / "attempts" / "0003.json").read_text())
    assert claim["pid"] == os.getpid()


def test_a_claim_that_loses_the_race_takes_the_next_number(store, spec, monkeypatch):
    answers = iter([0, 1])
    store.claim(spec.id)
    monkeypatch.setattr(store, "last_attempt", lambda _: next(answers))
    assert store.claim(spec.id) == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda store, id_: _report(store, id_, 1, 5, x=1.0),
        lambda store, id_: store.save_checkpoint(id_, 1, 5, {"step": 5}),
        lambda store, id_: store.rewind_curves(id_, 1, None),
        lambda store, id_: _finish(store, id_, 1),
    ],
    ids=["report", "checkpoint", "rewind", "record"],
)
def test_an_attempt_that_was_overtaken_may_not_write(store, spec, write):
    store.claim(spec.id)
    store.claim(spec.id)
    with pytest.raises(StoreError, match="attempt 1 may not write, the newest is 2"):
        write(store, spec.id)
    assert store.curves(spec.id) == []
    assert store.record(spec.id) is None


def test_an_attempt_that_was_never_claimed_may_not_write(store, spec):
    with pytest.raises(StoreError, match="attempt 1 may not write, the newest is 0"):
        _finish(store, spec.id, 1)


def test_a_record_comes_back_bit_for_bit_with_its_run(store, spec):
    store.claim(spec.id)
    metrics = {"third": 1 / 3, "none": float("nan"), "up": float("inf"), "down": float("-inf")}
    _finish(store, spec.id, 1, metrics=metrics)
    record = store.record(spec.id)
    assert str(dict(record.metrics)) == str(metrics)
    assert record.run == _facts(1)
    assert record.outcome.seconds == 1.0


def test_a_number_that_json_lacks_is_stored_as_text(store, spec):
    store.claim(spec.id)
    _finish(store, spec.id, 1, metrics={"x": float("nan")})
    assert json.loads((store.folder(spec.id) / "record.json").read_text())["metrics"] == {"x": "nan"}


def test_a_trial_is_finished_once(store, spec):
    store.claim(spec.id)
    _finish(store, spec.id, 1)
    store.claim(spec.id)
    with pytest.raises(StoreError, match="finished by attempt 1; 2 came late"):
        _finish(store, spec.id, 2)


@pytest.mark.parametrize("status", [Status.FAILED, Status.INTERRUPTED])
def test_only_finished_trials_count_as_finished(store, spec, status):
    store.claim(spec.id)
    _finish(store, spec.id, 1, status)
    assert store.finished([spec.id, "absent"]) == set()
    store.claim(spec.id)
    _finish(store, spec.id, 2)
    assert store.finished([spec.id, "absent"]) == {spec.id}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"schema": 1, "id"', "expected a JSON object"),
        ("", "expected a JSON object"),
        ("[]", "expected a JSON object, found list"),
        ('{"schema": 0}', "record of schema 0, this version reads 1"),
        ('{"schema": 1}', "not a trial's record"),
        (
            '{"schema": 1, "id": "x", "status": "finished", "metrics": [], "error": null, "run": {}}',
            "not a trial's record",
        ),
    ],
)
def test_a_damaged_record_is_named_and_set_aside_by_the_next_run(store, spec, text, complaint):
    path = store.folder(spec.id) / "record.json"
    path.write_text(text)
    with pytest.raises(StoreError, match=complaint):
        store.check_record(spec.id)
    with pytest.warns(UserWarning, match=f"{path}: {complaint}.*the trial counts as not finished, and runs again"):
        assert store.record(spec.id) is None
    assert path.read_text() == text  # looking changes nothing
    (told,) = store.repair([spec.id])
    assert str(path) in told
    assert "renamed to record.json.damaged-1, and the trial runs again" in told
    assert path.with_name("record.json.damaged-1").read_text() == text
    assert store.repair([spec.id]) == []
    path.write_text("again")
    _finish(store, spec.id, store.claim(spec.id))  # also without a repair
    assert path.with_name("record.json.damaged-2").read_text() == "again"
    assert store.finished([spec.id]) == {spec.id}


def test_a_record_of_a_newer_version_is_left_to_it(store, spec):
    path = store.folder(spec.id) / "record.json"
    path.write_text('{"schema": 2}')
    for look in (store.record, lambda id_: store.finished([id_]), lambda id_: store.repair([id_]), store.claim):
        with pytest.raises(StoreError, match="record of schema 2, this version reads 1; install that version"):
            look(spec.id)
    assert path.read_text() == '{"schema": 2}'


def test_a_failed_record_of_an_earlier_version_is_read_and_moved_out_of_the_way(store, spec):
    store.claim(spec.id)
    _finish(store, spec.id, 1, Status.FAILED, error="no luck")
    ended = store.folder(spec.id) / "ended" / "0001.json"
    path = store.folder(spec.id) / "record.json"
    ended.rename(path)
    assert store.record(spec.id).error == "no luck"
    assert store.claim(spec.id) == 2
    assert ended.is_file()
    assert not path.exists()
    assert store.record(spec.id).error == "no luck"
    _finish(store, spec.id, 2)
    assert store.record(spec.id).status is Status.FINISHED


def test_of_two_attempts_that_finish_at_the_same_moment_one_does(store, spec, monkeypatch):
    store.claim(spec.id)
    store.claim(spec.id)
    monkeypatch.setattr(store, "check_attempt", lambda *_: None)  # both passed it before the other was there
    _finish(store, spec.id, 1, metrics={"x": 1.0})
    for status in (Status.FINISHED, Status.FAILED, Status.INTERRUPTED):
        with pytest.raises(StoreError, match="finished by attempt 1; 2 came late"):
            _finish(store, spec.id, 2, status)
    assert store.record(spec.id).metrics == {"x": 1.0}


def test_a_late_failure_does_not_hide_a_newer_one(store, spec, monkeypatch):
    store.claim(spec.id)
    store.claim(spec.id)
    monkeypatch.setattr(store, "check_attempt", lambda *_: None)
    _finish(store, spec.id, 2, Status.FAILED, error="newer")
    _finish(store, spec.id, 1, Status.FAILED, error="older")
    assert store.record(spec.id).error == "newer"


def test_checkpoints_go_when_the_trial_is_finished_and_not_before(store, spec):
    store.claim(spec.id)
    store.save_checkpoint(spec.id, 1, 1, {"x": 1})
    _finish(store, spec.id, 1, Status.INTERRUPTED)
    assert store.checkpoint_step(spec.id) == 1
    store.claim(spec.id)
    _finish(store, spec.id, 2)
    assert store.checkpoint_step(spec.id) is None
    assert list((store.folder(spec.id) / "checkpoints").iterdir()) == []


def test_a_damaged_line_in_the_middle_is_left_out_with_a_warning_and_kept_in_a_copy(store, spec):
    store.claim(spec.id)
    for step in (1, 2, 3):
        _report(store, spec.id, 1, step, x=1.0)
    path = store.folder(spec.id) / "curves.jsonl"
    lines = path.read_text().splitlines()
    damaged = "\n".join([lines[0], lines[1][:9], lines[2], ""])
    path.write_text(damaged)
    with pytest.warns(UserWarning, match=r"curves\.jsonl: 1 damaged lines \(2\) are left out of the curves"):
        assert [point.step for point in store.curves(spec.id)] == [1, 3]
    store.claim(spec.id)
    with pytest.warns(UserWarning, match=r"kept as it was in .*curves\.jsonl\.damaged-1"):
        store.rewind_curves(spec.id, 2, 2)
    assert path.with_name("curves.jsonl.damaged-1").read_text() == damaged
    assert [point.step for point in store.curves(spec.id)] == [1]


def test_what_is_foreign_is_named_once_and_left_alone(store, spec):
    store.claim(spec.id)
    for name in ("trials/notes.txt", "studies/x.md", "subjects/y", "code/z.py", f"trials/{spec.id}/attempts/old.txt"):
        path = store.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (store.root / "trials" / "a folder").mkdir()
    told = store.repair()
    for folder in ("studies: 1 names", "subjects: 1 names", "code: 1 names", "attempts: 1 names", "trials: 2 names"):
        assert sum(folder in text and "left alone, and ignored" in text for text in told) == 1
    assert len(told) == 5
    assert (store.root / "trials/notes.txt").read_text() == "mine"
    assert store.last_attempt(spec.id) == 1
    assert store.repair() == told


def test_only_leftovers_of_writers_that_died_long_ago_are_removed(store, spec):
    folder = store.folder(spec.id)
    old, young, foreign = (folder / name for name in (".record.json.0123abcd.tmp", ".x.0123abcd.tmp", "mine.tmp"))
    for path in (old, young, foreign):
        path.write_text("")
        os.utime(path, (1.0, 1.0))
    os.utime(young)
    told = store.repair([spec.id])
    assert (old.exists(), young.exists(), foreign.exists()) == (False, True, True)
    assert any("removed 1 unfinished files of writers that died over a day ago" in text for text in told)


def test_points_beyond_a_step_are_dropped(store, spec):
    store.claim(spec.id)
    for step in (1, 2, 3):
        _report(store, spec.id, 1, step, x=step / 3)
    store.claim(spec.id)
    store.rewind_curves(spec.id, 2, 2)
    _report(store, spec.id, 2, 3, x=9.0)
    found = [(point.step, point.attempt, dict(point.metrics)) for point in store.curves(spec.id)]
    assert found == [(1, 1, {"x": 1 / 3}), (2, 1, {"x": 2 / 3}), (3, 2, {"x": 9.0})]
    store.rewind_curves(spec.id, 2, None)
    assert store.curves(spec.id) == []


def test_a_line_torn_by_a_crash_is_left_out(store, spec):
    store.claim(spec.id)
    _report(store, spec.id, 1, 1, x=1.0)
    with (store.folder(spec.id) / "curves.jsonl").open("a") as file:
        file.write('{"step": 2, "att')
    assert [point.step for point in store.curves(spec.id)] == [1]
    store.rewind_curves(spec.id, 1, 1)
    _report(store, spec.id, 1, 2, x=2.0)
    assert [point.step for point in store.curves(spec.id)] == [1, 2]


def test_a_specification_that_a_crash_tore_is_written_again(store, spec):
    path = store.folder(spec.id) / "spec.json"
    path.write_text(path.read_text()[:20])
    with pytest.raises(StoreError, match="expected a JSON object"):
        store.read_spec(spec.id)
    store.write_spec(spec)
    assert store.read_spec(spec.id) == spec


def test_a_specification_is_on_the_disk_before_the_first_attempt(store, spec, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    other = TrialSpec(task="m:g", parameters={}, seed=None)
    store.write_spec(other)
    assert flushed == []
    store.claim(other.id)
    assert flushed[:2] == [str(store.folder(other.id) / "spec.json"), str(store.folder(other.id))]


def test_a_trial_that_is_put_aside_begins_anew_and_its_record_stays(store, spec):
    attempt = store.claim(spec.id)
    _report(store, spec.id, attempt, 1, loss=1.0)
    _finish(store, spec.id, attempt, metrics={"loss": 1.0})
    store.save_checkpoint(spec.id, attempt, 1, {"x": 1})  # as an earlier version leaves it
    before = (store.folder(spec.id) / "record.json").read_text()
    assert not store.was_put_aside(spec.id)
    store.put_aside(spec.id)
    assert store.was_put_aside(spec.id)
    assert (store.record(spec.id), store.curves(spec.id), store.load_checkpoint(spec.id)) == (None, [], None)
    assert (store.folder(spec.id) / "replaced-1.json").read_text() == before
    assert store.claim(spec.id) == 2
    assert not store.was_put_aside(spec.id)
    _finish(store, spec.id, 2, metrics={"loss": 2.0})
    assert store.record(spec.id).metrics == {"loss": 2.0}


def test_putting_aside_what_never_ran_does_nothing(store, spec):
    store.put_aside(spec.id)
    assert not store.was_put_aside(spec.id)
    assert store.read_spec(spec.id) == spec
