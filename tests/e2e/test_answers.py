"""The verbs that answer questions about what was run, for people and as JSON."""

import json

import pytest

from ablate.errors import ExitCode

STUDY = "studies/toy.yaml"
RUN = ("run", STUDY, "--backend", "local", "--quiet", "--mlflow", "off")


@pytest.fixture
def edited(ablate, toy_project):
    """A study that ran, and ran again after an edit of its code, so that there are two versions of it."""
    assert ablate(*RUN).returncode == ExitCode.DONE
    toy_project.edit("error = state", "error = 0.5 * state", "toy/tasks.py")
    assert ablate(*RUN).returncode == ExitCode.DONE
    return toy_project


def test_two_versions_are_compared_with_what_changed(ablate, edited) -> None:
    listed = json.loads(ablate("list", "--versions", "toy", "--json").stdout)["versions"]
    assert [version["is_last"] for version in listed] == [True, False]
    assert {version["num_trials"] for version in listed} == {9}
    found = ablate("compare", "toy", "toy@previous")
    assert found.returncode == ExitCode.DONE, found.stderr
    lines = found.stdout.splitlines()
    assert lines[:3] == ["A: toy", f"B: toy@{listed[1]['version']}", "code changed: toy/tasks.py"]
    assert "2 pairs of seeds" in found.stdout
    by_name = ablate("compare", "toy", f"toy@{listed[1]['version'][:5]}", "--json")
    comparison = json.loads(by_name.stdout)
    assert comparison["changes"] == ["code changed: toy/tasks.py"]
    assert [row["arm"] for row in comparison["comparison"]["rows"][:3]] == ["ours", "rough", "by weight"]
    assert all(row["difference"] < 0 for row in comparison["comparison"]["rows"])


def test_two_arms_are_compared(ablate, toy_project) -> None:
    assert ablate(*RUN).returncode == ExitCode.DONE
    found = ablate("compare", "toy:rough", "ours")
    assert found.returncode == ExitCode.DONE, found.stderr
    assert found.stdout.splitlines()[:3] == ["A: rough", "B: ours", "parameters changed: method.sigma_mm 5 -> 20"]
    assert "+6.14" in found.stdout
    for wrong, sentence in {
        ("toy:rough", "toy"): "an arm cannot be compared to a whole study",
        ("toy:rough", "toy:ruogh"): "study 'toy' has no arm 'ruogh'; expected one of ours, rough, by weight",
        ("toy", "toy"): "are the same",
        ("toy", "toy@previous"): "no version 'previous'",
        ("toy", "toy@"): "expected STUDY:ARM, STUDY or STUDY@VERSION",
    }.items():
        refused = ablate("compare", *wrong)
        assert refused.returncode == ExitCode.WRONG_INPUT
        assert sentence in refused.stderr


def test_two_studies_are_compared_where_they_share_arms(ablate, toy_project) -> None:
    toy_project.write("studies/other.yaml", toy_project.study.read_text().replace("study: toy", "study: other"))
    toy_project.edit("rough: {method.sigma_mm: 20}", "coarse: {method.sigma_mm: 40}", "studies/other.yaml")
    toy_project.edit("data=dots]", "data=dots, data.num_samples=7]", "studies/other.yaml")
    for study in (STUDY, "studies/other.yaml"):
        assert ablate("run", study, *RUN[2:]).returncode == ExitCode.DONE
    found = ablate("compare", "toy", "other")
    assert found.returncode == ExitCode.DONE, found.stderr
    assert "parameters changed: data.num_samples 7 -> 4" in found.stdout
    assert "only in A: rough" in found.stdout
    assert "only in B: coarse" in found.stdout
    across = ablate("compare", "toy:rough", "other:coarse", "--json")
    assert [row["arm"] for row in json.loads(across.stdout)["comparison"]["rows"]] == ["rough / coarse"] * 2


def test_a_gate_names_what_does_not_meet_it(ablate, toy_project) -> None:
    assert ablate(*RUN).returncode == ExitCode.DONE
    gated = ablate("report", "toy", "--fail-on", "worse", "--fail-on", "missing", "--json")
    assert gated.returncode == ExitCode.GATE_NOT_MET
    content = json.loads(gated.stdout)
    assert len(content["unmet"]) == 1
    assert content["unmet"][0].startswith("--fail-on worse: rough against ours on error (+6.144)")
    assert {contrast["verdict"] for contrast in content["contrasts"]} >= {"worse"}
    refused = ablate("report", "toy", "--fail-on", "worse", "--metric", "eror")
    assert refused.returncode == ExitCode.WRONG_INPUT
    assert "no metric is called 'eror'; expected one of error, multi/error -- did you mean 'error'?" in refused.stderr


def test_mlflow_is_filled_from_the_store_once(ablate, edited) -> None:
    first = ablate("sync", "--json")
    assert first.returncode == ExitCode.DONE, first.stderr
    counts = json.loads(first.stdout)["toy"]
    assert counts["num_created"] >= 18
    again = ablate("sync", "toy")
    assert again.returncode == ExitCode.DONE, again.stderr
    assert again.stdout.startswith("toy: 0 runs created, 0 updated, ")


def test_programs_read_one_json_document(ablate, toy_project) -> None:
    checked = json.loads(ablate("check", STUDY, "--json").stdout)
    assert (checked["num_trials"], checked["seeds"]) == (9, [0, 1])
    planned = json.loads(ablate("plan", STUDY, "--json").stdout)
    assert planned["stages"][1] == {"name": "adapted", "needs": ["pretrained"], "num_trials": 2}
    assert {trial["reason"] for trial in planned["trials"]} == {"new"}
    run = ablate(*RUN, "--json")
    summary = json.loads(run.stdout)
    assert (summary["exit_code"], summary["num_finished"], summary["num_left"]) == (0, 9, 0)
    assert summary["report"]["estimates"]["error"]["ours"]["n"] == 2
    assert "9 of 9 trials are done" in run.stderr
    status = json.loads(ablate("status", "toy", "--json").stdout)
    assert status["progress"]["adapted"] == {"num_finished": 2, "num_trials": 2}
    assert status["version"] == summary["version"] == checked["version"]
    (listed,) = json.loads(ablate("list", "--json").stdout)["studies"]
    assert (listed["num_finished"], listed["num_trials"], listed["scale"]) == (9, 9, "quick")


def test_nothing_is_reused_when_asked_so(ablate, toy_project) -> None:
    assert ablate(*RUN).returncode == ExitCode.DONE
    again = ablate(*RUN, "--reuse", "none")
    assert again.returncode == ExitCode.DONE, again.stderr
    assert "9 of 9 trials are done, 9 of them in this run" in again.stdout
    toy_project.edit("error = state", "error = 1.0 * state", "toy/tasks.py")
    kept = ablate(*RUN, "--reuse", "any")
    assert "all 9 trials were done before: nothing was run" in kept.stdout
