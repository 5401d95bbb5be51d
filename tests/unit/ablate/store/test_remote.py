import json
import shutil
from pathlib import Path

import fsspec
import pytest

from ablate.errors import StoreError
from ablate.plan.head import planned_studies
from ablate.store import RunFacts, Store, TrialIndex
from ablate.store import lines as lines_module
from ablate.store.medium import is_url, open_medium
from ablate.store.system import SystemSample, append_system, system_samples
from ablate.trial import Outcome, Report, Status, TrialSpec

SPEC = TrialSpec(task="m:f", parameters={}, seed=0)


@pytest.fixture(params=["memory", "file"])
def location(request, tmp_path, monkeypatch) -> str:
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ablate.store.remote._PAUSES_S", (0.0,))
    return f"memory://{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/there"


@pytest.fixture
def store(location) -> Store:
    store = Store(location)
    store.write_spec(SPEC)
    return store


def elsewhere(store: Store) -> Store:
    """The same store on a machine that has nothing of it."""
    shutil.rmtree(store.root, ignore_errors=True)
    return Store(store.location)


def begin(store: Store) -> int:
    attempt = store.claim(SPEC.id)
    store.begin(SPEC.id, attempt)
    return attempt


def report(store: Store, attempt: int, *steps: int) -> None:
    for step in steps:
        store.append_report(Report(trial_id=SPEC.id, attempt=attempt, step=step, metrics={"x": 1.0}))


def finish(store: Store, attempt: int, status: Status = Status.FINISHED) -> None:
    outcome = Outcome(trial_id=SPEC.id, attempt=attempt, status=status)
    facts = RunFacts(attempt=attempt, started="", ended="", seconds=0.0, host="", python="")
    store.finish(SPEC.id, attempt, outcome, facts)


def points(store: Store) -> list[tuple[int, int]]:
    return [(point.step, point.attempt) for point in store.curves(SPEC.id)]


def artifact(store: Store, name: str, text: str) -> None:
    path = store.artifact_folder(SPEC.id) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("location", "answer"),
    [("s3://b/p", True), ("memory://x", True), ("runs", False), ("/a/b", False), (Path("/a"), False), ("a:b", False)],
)
def test_a_url_is_told_from_a_folder(location, answer):
    assert is_url(location) is answer


def test_nobody_who_speaks_the_language_is_told(tmp_path):
    with pytest.raises(StoreError, match=r"nosuch://x: this store cannot be reached"):
        Store("nosuch://x")


def test_the_cache_lies_where_it_is_asked_for_or_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "here"))
    assert Store("memory://a").root.parent == tmp_path / "here"
    assert Store("memory://a").root != Store("memory://b").root
    monkeypatch.delenv("ABLATE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store("memory://a").root.parent == tmp_path / ".cache" / "ablate"


def test_points_are_held_back_until_a_checkpoint_the_end_or_some_seconds(store, monkeypatch):
    attempt = begin(store)
    report(store, attempt, 1, 2)
    assert points(store) == [(1, 1), (2, 1)]
    assert points(elsewhere(store)) == []
    store.save_checkpoint(SPEC.id, attempt, 2, {"x": 1})
    assert points(elsewhere(store)) == [(1, 1), (2, 1)]
    monkeypatch.setattr(lines_module, "FLUSH_SECONDS", 0.0)
    report(store, attempt, 3)
    assert points(elsewhere(store)) == [(1, 1), (2, 1), (3, 1)]
    monkeypatch.undo()
    report(store, attempt, 4)
    finish(store, attempt)
    assert points(elsewhere(store)) == [(1, 1), (2, 1), (3, 1), (4, 1)]


def test_what_an_overtaken_attempt_still_adds_counts_for_nothing(store, monkeypatch):
    first = begin(store)
    report(store, first, 1, 2)
    store.save_checkpoint(SPEC.id, first, 1, {"x": 1})
    report(store, first, 3)
    other = elsewhere(store)
    second = begin(other)
    monkeypatch.setattr(store, "check_attempt", lambda *_: None)  # it looked a moment before
    store.lines(SPEC.id, "curves.jsonl").flush()
    other.rewind_curves(SPEC.id, second, 1)
    report(store, first, 4)
    store.lines(SPEC.id, "curves.jsonl").flush()
    report(other, second, 2)
    finish(other, second)
    assert points(elsewhere(store)) == [(1, 1), (2, 2)]


def test_a_rewind_that_a_crash_cuts_short_is_whole(store, monkeypatch):
    first = begin(store)
    report(store, first, 1, 2, 3)
    store.save_checkpoint(SPEC.id, first, 3, {"x": 1})
    second = begin(store)
    monkeypatch.setattr(type(store._medium), "delete", lambda *_: None)
    store.rewind_curves(SPEC.id, second, 2)
    assert points(elsewhere(store)) == [(1, 1), (2, 1)]


def test_two_claims_of_one_number_are_nobodys(store, monkeypatch):
    medium = store._medium
    write = type(medium).write
    rivals = iter(["0001-ffffffff.json"])

    def written(self, name, content, **more):
        write(self, name, content, **more)
        rival = next(rivals, None) if "/attempts/" in name else None
        if rival:
            write(self, f"trials/{SPEC.id}/attempts/{rival}", b"{}")

    monkeypatch.setattr(type(medium), "write", written)
    assert store.claim(SPEC.id) == 2
    with pytest.raises(StoreError, match="attempt 1 may not write, the newest is 2"):
        finish(store, 1)


def test_files_are_fetched_and_verified(store):
    attempt = begin(store)
    artifact(store, "deep/a.txt", "a")
    artifact(store, "b.txt", "b")
    finish(store, attempt)
    other = elsewhere(store)
    folder = other.artifacts(SPEC.id)
    found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.txt")}
    assert found == {"deep/a.txt": "a", "b.txt": "b"}
    (folder / "b.txt").write_text("c")
    (folder / "more.txt").write_text("not the trial's")
    assert (other.artifacts(SPEC.id) / "b.txt").read_text() == "b"
    assert not (folder / "more.txt").exists()
    shutil.rmtree(other.root)  # at any moment
    assert (other.artifacts(SPEC.id) / "deep" / "a.txt").read_text() == "a"


@pytest.mark.parametrize("damage", ["changed", "gone", "listless"])
def test_a_damaged_file_is_named_and_not_given_out(store, damage):
    attempt = begin(store)
    artifact(store, "a.txt", "a")
    finish(store, attempt)
    medium = store._medium
    listed = f"trials/{SPEC.id}/artifacts/0001.json"
    name = json.loads(medium.read(listed))["files"]["a.txt"]["name"]
    if damage == "changed":
        medium.write(name, b"b")
    else:
        medium.delete(name if damage == "gone" else listed)
    expected = "list of the trial's files is gone" if damage == "listless" else "gone or damaged"
    other = elsewhere(store)
    with pytest.raises(StoreError, match=f"{store.location}/.*{expected}; run the trial again with --reuse none"):
        other.artifacts(SPEC.id)
    assert not (other.artifact_folder(SPEC.id) / "a.txt").exists()


def test_an_attempt_on_another_machine_finds_the_files_of_the_checkpoint(store):
    first = begin(store)
    artifact(store, "early.txt", "as saved")
    store.save_checkpoint(SPEC.id, first, 1, {"x": 1})
    artifact(store, "early.txt", "changed after")
    artifact(store, "late.txt", "made after")
    second = store.claim(SPEC.id)
    store.begin(SPEC.id, second)  # on the same machine what came after goes
    names = {path.name: path.read_text() for path in store.artifact_folder(SPEC.id).iterdir()}
    assert names == {"early.txt": "as saved"}
    other = elsewhere(store)
    third = begin(other)
    finish(other, third)
    assert (elsewhere(other).artifacts(SPEC.id) / "early.txt").read_text() == "as saved"


def test_logs_of_all_attempts_are_read_one_after_the_other(store):
    for status in (Status.INTERRUPTED, Status.FINISHED):
        attempt = begin(store)
        path = store.log_file(SPEC.id, attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"attempt {attempt}\n")
        finish(store, attempt, status)
    assert elsewhere(store).log_path(SPEC.id).read_text() == "attempt 1\nattempt 2\n"


def test_samples_of_all_attempts_stay(store):
    for _ in range(2):
        attempt = begin(store)
        append_system(store, SPEC.id, SystemSample(attempt=attempt, time_ms=attempt, metrics={"x": 1.0}))
        finish(store, attempt, Status.FAILED)
    assert [sample.attempt for sample in system_samples(elsewhere(store), SPEC.id).values()] == [1, 2]


def test_subjects_code_notes_and_files_are_seen_elsewhere(store):
    for _ in range(2):
        TrialIndex(store.location).note({SPEC.id: "5b"}, {"c0de": {"a.py": "1"}})
    path = store.root / "studies" / "toy" / "report.md"
    path.parent.mkdir(parents=True)
    path.write_text("text")
    store.publish(path)
    assert store.create_note("studies/toy/plan.json", {"x": 1})
    assert not store.create_note("studies/toy/plan.json", {"x": 2})
    other = elsewhere(store)
    assert TrialIndex(other.location).trials("5b") == [SPEC.id]
    assert TrialIndex(other.location).code("c0de") == {"a.py": "1"}
    assert open_medium(other.location).read("studies/toy/report.md") == b"text"
    assert other.read_note("studies/toy/plan.json") == {"x": 1}
    assert planned_studies(other.location) == ["toy"]
    other.remove_note("studies/toy/plan.json")
    assert other.read_note("studies/toy/plan.json") is None


def test_a_damaged_note_is_set_aside(store):
    open_medium(store.location).write("studies/toy/driver.json", b"{")
    with pytest.warns(
        UserWarning, match=r"driver\.json: expected a JSON object.* renamed to .*driver\.json\.damaged-1"
    ):
        assert store.read_note("studies/toy/driver.json") is None
    assert store.create_note("studies/toy/driver.json", {})


def test_a_request_that_fails_is_repeated_and_then_told(store, monkeypatch):
    fs = store._medium._fs
    cat, answers = type(fs).cat_file, iter([OSError("reset by peer")])

    def failing(self, *args, **named):
        error = next(answers, None)
        if error:
            raise error
        return cat(self, *args, **named)

    monkeypatch.setattr(type(fs), "cat_file", failing)
    assert store.read_spec(SPEC.id) == SPEC
    monkeypatch.setattr(type(fs), "cat_file", lambda *_, **__: (_ for _ in ()).throw(OSError("reset by peer")))
    with pytest.raises(
        StoreError, match=rf"{store.location}/trials/{SPEC.id}/spec\.json: cannot be read: reset by peer"
    ):
        store.read_spec(SPEC.id)


def test_finished_records_are_fetched_once_and_forgotten_when_put_aside(store, monkeypatch):
    finish(store, begin(store))
    other = elsewhere(store)
    assert other.finished([SPEC.id]) == {SPEC.id}
    monkeypatch.setattr(type(other._medium), "read_many", lambda self, names: [None for _ in names])
    assert other.finished([SPEC.id]) == {SPEC.id}
    monkeypatch.undo()
    other.put_aside(SPEC.id)
    assert other.finished([SPEC.id]) == set()
    assert other.was_put_aside(SPEC.id)
    assert points(other) == []


def test_s3_is_reached_through_what_the_environment_says(monkeypatch):
    pytest.importorskip("pyarrow")
    from ablate.store.remote import _arrow_s3

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert _arrow_s3().fs.region == "eu-north-1"
    assert isinstance(_arrow_s3(), fsspec.AbstractFileSystem)
