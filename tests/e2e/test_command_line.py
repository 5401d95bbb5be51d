"""The command line from end to end, on a stranger's project: run, look, report, fail, run again."""

import json
import re
from pathlib import Path

import pytest

from ablate.cli.reporting import SUFFIXES
from ablate.errors import ExitCode

STUDY = "studies/toy.yaml"
LOCAL = ("--backend", "local")


def trial_files(store: Path) -> dict[str, object]:
    """Everything a store says of its trials that must not depend on when, where and how they ran."""
    found: dict[str, object] = {}
    for path in sorted((store / "trials").rglob("*")):
        name = str(path.relative_to(store))
        if path.name == "record.json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "run"}
        elif path.name in ("spec.json", "curves.jsonl") or path.parent.name == "artifacts":
            found[name] = path.read_bytes()
    return found


def attempts(store: Path) -> dict[str, int]:
    """Number of attempts at each trial of a store."""
    return {path.name: len(list((path / "attempts").glob("*.json"))) for path in (store / "trials").iterdir()}


def test_a_study_goes_from_its_file_to_its_table_and_is_then_done(ablate, toy_project) -> None:
    store = toy_project.root / "runs"
    first = ablate("run", STUDY, *LOCAL)
    assert first.returncode == ExitCode.DONE, first.stderr
    assert "pretrained 1 -> adapted 2 -> 6 trials (3 arms x 2 seeds)" in first.stdout
    assert "0 finished, 9 to run: 9 new" in first.stdout
    assert "+6.1440 worse" in first.stdout
    assert "9 of 9 trials are done, 9 of them in this run" in first.stdout
    assert "MLflow: ablate ui studies/toy.yaml" in first.stdout
    assert (store / "studies" / "toy" / "report.html").is_file()
    assert (store / "mlflow.db").is_file()
    before = trial_files(store), attempts(store)

    again = ablate("run", STUDY, *LOCAL)
    assert again.returncode == ExitCode.DONE, again.stderr
    assert "+6.1440 worse" in again.stdout
    assert "all 9 trials were done before: nothing was run" in again.stdout
    assert (trial_files(store), attempts(store)) == before

    looked = ablate("status", "toy")
    head, *lines = looked.stdout.splitlines()
    assert re.fullmatch(r"toy: Does the weighting matter\? \(quick scale, version [0-9a-f]{8}\)", head)
    assert lines == [
        "pretrained  1/1",
        "adapted     2/2",
        "ours        2/2",
        "rough       2/2",
        "by weight   2/2",
        "9 finished",
    ]
    head, line = ablate("list").stdout.splitlines()
    assert re.fullmatch(r"toy +9/9 +.*\(error\) +quick +- +studies/toy.yaml +Does the weighting matter\?", line)

    files = [argument for suffix in SUFFIXES for argument in ("-o", f"results/toy{suffix}")]
    reported = ablate("report", STUDY, *files)
    assert reported.returncode == ExitCode.DONE, reported.stderr
    assert "| ours" in (toy_project.root / "results" / "toy.md").read_text()
    assert "\\toprule" in (toy_project.root / "results" / "toy.tex").read_text()
    assert json.loads((toy_project.root / "results" / "toy.json").read_text())
    assert "by weight" in (toy_project.root / "results" / "toy_contrasts.csv").read_text()
    assert "</html>" in (toy_project.root / "results" / "toy.html").read_text()


def test_nothing_to_do_loads_neither_ray_nor_mlflow(ablate, toy_project, monkeypatch) -> None:
    assert ablate("run", STUDY, *LOCAL).returncode == ExitCode.DONE
    toy_project.write("ray.py", "raise RuntimeError('ray was imported')\n")
    toy_project.write("mlflow.py", "raise RuntimeError('mlflow was imported')\n")
    again = ablate("run", STUDY, PYTHONPATH=str(toy_project.root))
    assert (again.returncode, again.stderr) == (ExitCode.DONE, "")
    assert "nothing was run" in again.stdout


def test_an_edit_runs_only_what_it_changes(ablate, toy_project) -> None:
    assert ablate("run", STUDY, *LOCAL, "--mlflow", "off").returncode == ExitCode.DONE
    toy_project.edit("rough: {method.sigma_mm: 20}", "rough: {method.sigma_mm: 21}")
    planned = ablate("plan", STUDY, "--trials").stdout
    assert "7 finished, 2 to run: 2 parameters changed: method.sigma_mm 20 -> 21" in planned
    assert "time: about 0 s" in planned
    assert len(re.findall(r"^[0-9a-f]{20}  .*  cached$", planned, re.MULTILINE)) == 7
    changed = ablate("run", STUDY, *LOCAL, "--mlflow", "off", "replicates=1")
    assert "pretrained 1 -> adapted 1 -> 3 trials (3 arms x 1 seed)" in changed.stdout
    assert "4 finished, 1 to run" in changed.stdout
    assert not (toy_project.root / "runs" / "mlflow.db").exists()


def test_a_failing_arm_is_told_and_the_others_finish(ablate, toy_project) -> None:
    toy_project.edit("task: toy.tasks:run\nneeds: [adapted]\n", "task: toy.tasks:fails\n")
    toy_project.edit(
        'stages:\n  pretrained: {task: "toy.tasks:pretrain"}\n'
        '  adapted: {task: "toy.tasks:adapt", needs: [pretrained]}\n',
        "",
    )
    toy_project.edit("base: [method=smooth, data=dots]", "base: [method=smooth]")
    done = ablate("run", STUDY, *LOCAL, "--mlflow", "off")
    assert done.returncode == ExitCode.SOME_FAILED, done.stderr
    assert "4 of 6 trials are done" in done.stdout
    assert "FAILED by weight seed 1: RuntimeError: no luck with seed 1; log: runs/trials/" in done.stderr
    assert "Traceback" not in done.stderr
    log = done.stderr.splitlines()[-1].rpartition("log: ")[2]
    assert "Traceback" in (toy_project.root / log).read_text()

    looked = ablate("status", STUDY)
    assert "4 finished; 2 failed" in looked.stdout
    assert "FAILED by weight seed 0: RuntimeError: no luck with seed 0" in looked.stdout


def test_what_needs_a_failed_stage_is_said_never_to_have_started(ablate, toy_project) -> None:
    toy_project.edit('adapted: {task: "toy.tasks:adapt"', 'adapted: {task: "toy.broken:adapt"')
    toy_project.write(
        "toy/broken.py",
        "from toy.tasks import Data\n\n\ndef adapt(*, data: Data, seed: int, trial) -> dict[str, float]:\n"
        "    raise RuntimeError('no memory')\n",
    )
    done = ablate("run", STUDY, *LOCAL, "--mlflow", "off")
    assert done.returncode == ExitCode.SOME_FAILED, done.stderr
    assert "FAILED adapted seed 0: RuntimeError: no memory" in done.stderr
    assert "6 trials never started, because what they need failed" in done.stderr


@pytest.mark.ray
def test_ray_and_local_give_the_same_records_bit_for_bit(ablate, tmp_path) -> None:
    stores = {backend: tmp_path / backend for backend in ("ray", "local")}
    for backend, store in stores.items():
        done = ablate("run", STUDY, "--backend", backend, "--store", store, "scale=standard", "replicates=2")
        assert done.returncode == ExitCode.DONE, done.stderr
    found = trial_files(stores["ray"])
    assert len([name for name in found if name.endswith("record.json")]) == 9
    assert len([name for name in found if name.endswith("start.json")]) == 3
    assert found == trial_files(stores["local"])
