from pathlib import Path

import pytest

from ablate.errors import ExitCode, StudyError
from ablate.study.load import load_study
from ablate.study.model import Curve, Metric
from ablate.trial import Resources

MINIMAL = """\
study: s
title: t
task: core.tasks.x:run
arms: {ours: {}}
metrics: [{name: a/b_c.d, unit: "1", better: higher}]
"""


@pytest.fixture
def faults_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def faults(text: str) -> list[str]:
        path = tmp_path / "s.yaml"
        path.write_text(text)
        with pytest.raises(StudyError) as raised:
            load_study(path)
        assert raised.value.exit_code is ExitCode.WRONG_INPUT
        return str(raised.value).splitlines()

    return faults


def test_a_study_is_read_as_written(toy_project) -> None:
    study = load_study(toy_project.study, ["scale=standard"])
    assert study.name == "toy"
    assert study.path == toy_project.study
    assert study.source == toy_project.study.read_text()
    assert study.base == ("method=smooth", "data=dots")
    assert study.overrides == ("scale=standard",)
    assert list(study.stages) == ["pretrained", "adapted"]
    assert study.stages["adapted"].needs == ("pretrained",)
    assert {arm.name: arm.overrides for arm in study.arms} == {
        "ours": {},
        "rough": {"method.sigma_mm": 20},
        "by weight": {"method.kind": "weighted"},
    }
    assert study.reference == "ours"
    assert study.num_replicates == 2
    assert study.metrics[1] == Metric(name="multi/error", unit="mm", better="lower")
    assert study.lines["arms.by weight.method.kind"] == 13


def test_a_minimal_study_takes_defaults(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MINIMAL.replace("{ours: {}}", "{ours: }"))
    study = load_study(tmp_path / "s.yaml")
    assert study.reference == "ours"
    assert study.num_replicates is None
    assert study.resources == Resources()
    assert study.arms[0].overrides == {}


def test_a_curve_of_an_arm_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MINIMAL + "curves: [{title: Error, metrics: [a], arms: [ours, our]}]\n")
    with pytest.raises(StudyError, match=r"curves\.0\.arms\.1: no arm is called 'our'; expected ours -- did you mean"):
        load_study(tmp_path / "s.yaml")


def test_optional_parts_are_read(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "roy.yaml").write_text("")
    text = MINIMAL.replace("better: higher", "better: higher, paper: acc") + (
        "paper: roy/table3\npaper_rows: {ours: Ours (full)}\n"
        "curves: [{title: Error, metrics: [a], arms: [ours], x: 'noise [px]', log: true}]\n"
        "resources: {num_cpus: 2, retries: 0}\nneeds: [a]\n"
        "stages: {a: {task: 'core.x:y'}, b: {task: 'core.x:y', resources: {num_gpus: 1}}}\n"
        "notes: |\n  Two\n  lines.\n"
    ).replace("needs: [a]", "needs: [a, b]")
    (tmp_path / "s.yaml").write_text(text)
    study = load_study(tmp_path / "s.yaml")
    assert study.paper == "roy/table3"
    assert study.arms[0].paper == "Ours (full)"
    assert study.metrics[0].paper == "acc"
    assert study.curves == (Curve(title="Error", metrics=("a",), arms=("ours",), x="noise [px]", log=True),)
    assert study.stages["a"].resources == study.resources == Resources(num_cpus=2.0, retries=0)
    assert study.stages["b"].resources == Resources(num_gpus=1.0)
    assert study.notes == "Two\nlines.\n"


def test_paths_are_shown_from_the_working_directory(toy_project) -> None:
    toy_project.edit("reference: ours", "reference: our")
    with pytest.raises(StudyError) as raised:
        load_study(toy_project.study)
    expected = "studies/toy.yaml:14:1: reference: no arm is called 'our'; expected one of ours, rough, by weight"
    assert str(raised.value) == f"{expected} -- did you mean 'ours'?"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("title: t", "titel: t", "s.yaml:2:1: titel: unknown key; expected one of study, title, "),
        ("title: t", "title: 3", "s.yaml:2:1: title: expected text, got 3"),
        ("study: s", "study: S s", "s.yaml:1:1: study: expected a name of lower-case letters, "),
        ("core.tasks.x:run", "core.tasks.x", "s.yaml:3:1: task: expected a task such as `package.module:function`"),
        ("core.tasks.x:run", "mylab.x:run", "s.yaml:3:1: task: package 'mylab' may not be imported; "),
        ("{ours: {}}", "{ours: 3}", "s.yaml:4:8: arms.ours: expected keys with values, got 3"),
        ("{ours: {}}", "{}", "s.yaml:4:1: arms: expected "),
        ("{ours: {}}", "{ours: {}, b: {a: 1}}", "s.yaml: reference: missing: "),
        ("{ours: {}}", "{ours: {a: .nan}}", "s.yaml:4:18: arms.ours.a: expected a finite number, got .nan"),
        ("{ours: {}}", "{ours: {}}\nreplicates: two", "s.yaml:5:1: replicates: expected an integer, got 'two'"),
        ("{ours: {}}", "{ours: {}}\nreplicates: 0", "s.yaml:5:1: replicates: expected a number >= 1, got 0"),
        ("{ours: {}}", "{ours: {}}\nreplicates: true", "s.yaml:5:1: replicates: expected an integer, got true"),
        (
            "{ours: {}}",
            "{ours: {}}\nneeds: [x]",
            "s.yaml:5:9: needs.0: no stage is called 'x'; the study has no `stages`",
        ),
        ("{ours: {}}", "{ours: {}}\npaper_rows: {a: b}", "s.yaml:5:1: paper_rows: the study names no published table"),
        ("{ours: {}}", "{ours: {}}\npaper: a/b", "s.yaml:5:1: paper: there is no papers/a.yaml; that folder has no "),
        (
            "{ours: {}}",
            "{ours: {}}\nresources: {num_cpus: 0}",
            "s.yaml:5:13: resources.num_cpus: expected a number > 0",
        ),
        (
            "{ours: {}}",
            "{ours: {}}\nresources: {num_cpu: 1}",
            "s.yaml:5:13: resources.num_cpu: unknown key; expected one ",
        ),
        ("a/b_c.d", "A", "s.yaml:5:12: metrics.0.name: expected a metric's name of "),
        (
            "higher",
            "highr",
            "s.yaml:5:38: metrics.0.better: expected 'lower' or 'higher', got 'highr' -- did you mean ",
        ),
        ('unit: "1"', "unit: 1", "s.yaml:5:27: metrics.0.unit: expected text, got 1"),
        (', unit: "1"', "", "s.yaml:5:11: metrics.0.unit: missing: it must be given"),
    ],
)
def test_one_fault_is_told_with_line_and_key(faults_of, old: str, new: str, fault: str) -> None:
    assert old in MINIMAL
    found = faults_of(MINIMAL.replace(old, new))
    assert any(line.startswith(fault) for line in found), found


def test_a_file_that_holds_no_mapping_is_refused(faults_of) -> None:
    assert faults_of("") == ["s.yaml: is empty; a study begins with `study: <name>`"]
    assert faults_of("[1]") == ["s.yaml: expected keys with values, got [1]; a study begins with `study: <name>`"]


def test_stages_in_a_circle_are_refused(faults_of) -> None:
    stages = "needs: [a]\nstages:\n  a: {task: 'core.x:y', needs: [b]}\n  b: {task: 'core.x:y', needs: [a]}\n"
    (fault,) = faults_of(MINIMAL + stages)
    assert "stages need each other in a circle" in fault


def test_a_stage_that_nothing_needs_is_refused(faults_of) -> None:
    (fault,) = faults_of(MINIMAL + "stages:\n  lonely: {task: 'core.x:y'}\n")
    assert fault.startswith("s.yaml:7:3: stages.lonely: nothing needs this stage")


def test_a_metric_listed_twice_is_refused(faults_of) -> None:
    metrics = "metrics: [{name: a, unit: mm, better: lower}, {name: a, unit: mm, better: lower}]"
    (fault,) = faults_of(MINIMAL.replace(MINIMAL.splitlines()[-1], metrics))
    assert fault == "s.yaml:5:48: metrics.1.name: metric 'a' is already listed as metrics.0"
