import sqlite3
import subprocess
import sys

import pytest

from ablate.backends.local import LocalBackend
from ablate.report.build import write_report
from ablate.run.chaos import Outcome, Round, describe
from ablate.run.chaos_equal import find_differences, leftover_files
from ablate.run.chaos_mlflow import mlflow_differences
from ablate.run.chaos_points import FaultPoints
from ablate.run.chaos_round import Kill, _count_lost_work
from ablate.run.chaos_watch import Running, Watch
from ablate.run.crash_points import EXIT_CODE
from ablate.run.execute import execute
from ablate.store import Store
from ablate.trial import Report


@pytest.fixture
def pair(toy, tmp_path):
    """Two stores in which the toy study ran, one trial of the first in a second attempt."""
    stores = [Store(tmp_path / name) for name in ("disturbed", "undisturbed")]
    for store in stores:
        if store is stores[0]:
            store.write_spec(toy.plan.specs[toy.ids["rough seed 0"]])
            store.claim(toy.ids["rough seed 0"])
        execute(toy.plan, store=store, backend=LocalBackend())
        write_report(toy.plan, store)
    return stores


def test_runs_that_differ_in_times_and_attempts_alone_are_equal(toy, pair):
    assert pair[0].last_attempt(toy.ids["rough seed 0"]) == 2
    assert find_differences(toy.plan, *pair) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "where"),
    [
        ("record.json", '"error": null', '"error": "odd"', "record"),
        ("curves.jsonl", '"step": 3', '"step": 33', "curves"),
    ],
)
def test_a_difference_is_told_with_trial_and_place(toy, pair, name, old, new, where):  # noqa: PLR0917
    path = pair[0].folder(toy.ids["rough seed 0"]) / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    found = find_differences(toy.plan, *pair)
    assert len(found) == 1
    assert found[0].where.startswith(f"rough seed 0 ({toy.ids['rough seed 0']}): {where}")
    assert found[0].disturbed != found[0].undisturbed


def test_files_and_reports_count(toy, pair):
    (pair[0].artifacts(toy.ids["pretrained"]) / "start.json").write_text("5")
    (pair[0].artifacts(toy.ids["pretrained"]) / "draft.json").write_text("half")
    assert leftover_files(toy.plan, *pair) == [f"pretrained ({toy.ids['pretrained']}): draft.json"]
    report = pair[0].root / "studies/toy/report.md"
    report.write_text(report.read_text().replace("## Cost", "## Cost\n\nmuch").replace("# Does", "# Did"))
    assert [found.where.partition(":")[0] for found in find_differences(toy.plan, *pair)] == [
        f"pretrained ({toy.ids['pretrained']})",
        "report.md, line 1",
    ]


def _database(root, points, runs=("t",)):
    root.mkdir()
    database = sqlite3.connect(root / "mlflow.db")
    database.executescript(
        "CREATE TABLE runs (run_uuid, status, lifecycle_stage); CREATE TABLE tags (run_uuid, key, value);"
        "CREATE TABLE metrics (run_uuid, key, step, timestamp, is_nan, value);"
        "CREATE TABLE params (run_uuid, key, value);"
    )
    for number, trial in enumerate(runs):
        database.execute("INSERT INTO runs VALUES (?, 'FINISHED', 'active')", (f"{root.name}{number}",))
        database.execute("INSERT INTO tags VALUES (?, 'ablate.trial_id', ?)", (f"{root.name}{number}", trial))
    for key, step, time, value in points:
        database.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, 0, ?)", (f"{root.name}0", key, step, time, value))
    database.commit()
    database.close()
    return root


POINTS = [("error", 1, 10, 0.5), ("error", 2, 20, 0.25), ("system/cpu", 1, 3, 99.0)]


@pytest.mark.parametrize(
    ("ours", "runs", "expected"),
    [
        ([("error", 1, 7, 0.5), ("error", 2, 8, 0.25)], ("t",), []),
        ([*POINTS, ("error", 2, 21, 0.25)], ("t",), ["trial t: values"]),
        (POINTS[:1], ("t",), ["trial t: values"]),
        (POINTS, ("t", "t"), ["trial t"]),
        (POINTS, (), ["trial t"]),
    ],
)
def test_mlflow_must_show_each_trial_and_each_step_once(tmp_path, ours, runs, expected):
    found = mlflow_differences(_database(tmp_path / "a", ours, runs), _database(tmp_path / "b", POINTS))
    assert [where for where, _, _ in found] == expected


def test_the_watch_knows_who_runs_and_what_is_unsaved(toy):
    watch, trial_id = Watch(toy.store, toy.plan.specs), toy.ids["ours seed 0"]
    toy.ends(toy.ids["pretrained"])
    assert (watch.finished(), watch.running()) == ({toy.ids["pretrained"]}, {})
    before = watch.attempts()
    attempt = toy.store.claim(trial_id)
    log = toy.store.log_path(trial_id)
    log.write_text("--- attempt 1 at 2020-01-01T00:00:00+00:00 on here: toy.tasks:run\n")
    assert watch.running()[trial_id].unsaved_s > 1e6
    assert watch.running()[trial_id].silent_s < 60
    assert not watch.has_new_step(before)
    toy.store.append_report(Report(trial_id=trial_id, attempt=attempt, step=1, metrics={"error": 1.0}))
    toy.store.save_checkpoint(trial_id, attempt, 1, {"step": 1})
    assert watch.running()[trial_id].unsaved_s < 60
    assert watch.has_new_step(before) and watch.has_new_step(before, [trial_id])
    assert not watch.has_new_step({trial_id: attempt}, [trial_id])
    assert not watch.has_new_step(before, [toy.ids["pretrained"]])
    with log.open("a") as file:
        file.write("--- attempt 1 interrupted\n")
    assert watch.running() == {}


def _running(attempt=1, unsaved_s=0.0, silent_s=0.1):
    return {"t": Running(attempt=attempt, unsaved_s=unsaved_s, silent_s=silent_s)}


@pytest.mark.parametrize(
    ("kills", "last_attempt", "lost_s"),
    [
        ([], 1, []),
        ([("worker", 10, _running(unsaved_s=3.0)), ("worker", 20, _running(unsaved_s=4.0))], 1, [0, 0]),
        ([("worker", 10, _running(unsaved_s=3.0)), ("worker", 20, _running(unsaved_s=4.0))], 2, [0, 4]),
        # Not started again when the next kill comes: what the log still says to run has been dead for a while.
        ([("node", 10, _running(unsaved_s=3.0)), ("worker", 40, _running(unsaved_s=33.0, silent_s=30))], 2, [3, 0]),
        ([("driver", 10, _running(unsaved_s=3.0)), ("driver", 11, _running(unsaved_s=4.0))], 2, [3, 0]),
        ([("worker", 10, _running(unsaved_s=3.0)), ("driver", 50, _running(attempt=2, unsaved_s=1.0))], 3, [3, 1]),
    ],
)
def test_lost_work_is_charged_once_to_the_kill_that_ended_the_attempt(kills, last_attempt, lost_s):
    found = [Kill(what=what, at_s=at_s, running=running) for what, at_s, running in kills]
    _count_lost_work(found, {"t": last_attempt})
    assert [kill.lost_s for kill in found] == lost_s


WRITER = """
import os, sys
from pathlib import Path
from ablate.store import Store
from ablate.store.files import write_json
write_json(Path(sys.argv[1]) / "trials" / ("a" * 20) / "record.json", {"a": 1})
write_json(Path(sys.argv[1]) / "elsewhere.json", {"a": 1})
"""


def test_a_process_crashes_once_at_every_step_of_a_write(tmp_path):
    points, store = FaultPoints(tmp_path / "points"), tmp_path / "runs"
    record = store / "trials" / ("a" * 20) / "record.json"

    def write(environment):
        command = [sys.executable, "-c", WRITER, str(store)]
        return subprocess.run(command, env=environment, check=False, capture_output=True).returncode

    assert write(points.listing(store, "")) == 0
    names = points.names()
    assert "before replace trials/*/record.json" in names and "after fsync trials/*" in names
    assert not any("elsewhere" in name for name in names)
    record.unlink()
    codes, has_record = [], []
    while (code := write(points.crashing(store, ""))) != 0:
        codes.append(code)
        has_record.append(record.is_file())
    assert set(codes) == {EXIT_CODE}
    assert sorted(points.met()) == sorted(name for name in points.names() if name in points.met())
    assert set(points.left()) <= {name for name in names if "mkdir" in name}  # the folder stands already
    assert has_record == sorted(has_record)  # never half of it: absent until the rename, whole from then on


def test_the_summary_counts_kills_by_kind(tmp_path):
    kills = (
        Kill(what="driver", at_s=1, lost_s=2.0, first_step_s=3.0),
        Kill(what="node", at_s=2, lost_s=4.0, first_step_s=5.0),
    )
    found = Round(store=Store(tmp_path), seconds=9, num_starts=2, num_attempts=7, kills=kills, differences=())
    lines = describe(Outcome(num_trials=5, num_finished=5, undisturbed_s=3, rounds=(found,)))
    assert "kills        2: 1 driver, 1 node" in lines
    assert "first step   median 3.0 s, at most 3.0 s, in all 3 s, after a killed driver was started again" in lines
    assert "             median 5.0 s, at most 5.0 s, in all 5 s, after the kill of a worker or a node" in lines
    assert "lost work    median 3.0 s, at most 4.0 s, in all 6 s, per kill that hit a trial" in lines
    assert lines[-1].startswith("outcome      equal")
