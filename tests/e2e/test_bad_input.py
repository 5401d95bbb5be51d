"""Bad input gets a sentence with its place, exit 2, before anything starts."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from ablate.errors import ExitCode

STUDY = "studies/toy.yaml"

IN_THE_FILE = {
    "unknown key": (
        "replicates: 2 -> replicate: 2",
        "studies/toy.yaml:15:1: replicate: unknown key; expected one of study, title, paper, base, stages, task, "
        "needs, arms, design, paper_rows, reference, replicates, search, metrics, curves, resources, plugins, notes "
        "-- did you mean 'replicates'?",
    ),
    "not YAML": (
        "study: toy -> study: [toy",
        "studies/toy.yaml:2:6: is not YAML: expected ',' or ']', but got ':' "
        "(while parsing a flow sequence that begins on line 1)",
    ),
    "wrong type": (
        "replicates: 2 -> replicates: two",
        "studies/toy.yaml:15:1: replicates: expected an integer, got 'two'",
    ),
    "unknown Hydra group": (
        "method=smooth -> mehtod=smooth",
        "studies/toy.yaml:4:8: mehtod: unknown key: no task of the study has a parameter 'mehtod'; "
        "expected one of data, method; groups: data, method, scale -- did you mean 'method'?",
    ),
    "unknown option of a Hydra group": (
        "method=smooth -> method=smoth",
        "studies/toy.yaml:4:8: method: conf/method has no option 'smoth'; expected one of sharp, smooth "
        "-- did you mean 'smooth'?",
    ),
    "unknown method parameter": (
        "method.sigma_mm: 20 -> method.sigma: 20",
        "studies/toy.yaml:12:11: arms.rough.method.sigma: unknown key: no task of the study has a parameter "
        "'method.sigma'; expected one of kind, num_steps, sigma_mm, sizes -- did you mean 'sigma_mm'?",
    ),
    "method parameter of a wrong type": (
        "method.sigma_mm: 20 -> method.sigma_mm: wide",
        "studies/toy.yaml:12:11: arms.rough.method.sigma_mm: expected a number, got 'wide'",
    ),
    "module that is not there": (
        "toy.tasks:run -> toy.task:run",
        "studies/toy.yaml:8:1: task: task toy.task:run cannot be used: there is no module toy.task "
        "-- did you mean 'tasks'?",
    ),
    "task that is not there": (
        "toy.tasks:run -> toy.tasks:rum",
        "studies/toy.yaml:8:1: task: task toy.tasks:rum cannot be used: toy.tasks has no 'rum' -- did you mean 'run'?",
    ),
    "reference that is no arm": (
        "reference: ours -> reference: our",
        "studies/toy.yaml:14:1: reference: no arm is called 'our'; expected one of ours, rough, by weight "
        "-- did you mean 'ours'?",
    ),
    "NaN": (
        "method.sigma_mm: 20 -> method.sigma_mm: .nan",
        "studies/toy.yaml:12:28: arms.rough.method.sigma_mm: expected a finite number, got .nan",
    ),
    "data folder that is not there": (
        "data=dots] -> data=dots, data.folder=nowhere]",
        "studies/toy.yaml:4:23: data: there is no folder nowhere; run the download first",
    ),
}
ON_THE_COMMAND_LINE = {
    "unknown Hydra group": (
        "mehtod=smooth",
        "command line: mehtod: unknown key: no task of the study has a parameter 'mehtod'; "
        "expected one of data, method; groups: data, method, scale -- did you mean 'method'?",
    ),
    "unknown method parameter": (
        "method.sigma=20",
        "command line: method.sigma: unknown key: no task of the study has a parameter 'method.sigma'; "
        "expected one of kind, num_steps, sigma_mm, sizes -- did you mean 'sigma_mm'?",
    ),
    "NaN": ("method.sigma_mm=nan", "command line: method.sigma_mm: expected a finite number, got nan"),
    "no assignment": (
        "method.sigma_mm",
        "command line: expected key=value, as in `method.sigma_mm=20`, got 'method.sigma_mm'",
    ),
    "no seeds": ("replicates=0", "command line: replicates: expected an integer >= 1, got 0"),
}


@pytest.fixture
def refusal(toy_project: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Run a command that must be refused; give what it says, line by line."""
    from ablate.cli.app import app

    monkeypatch.delenv("ABLATE_STORE", raising=False)
    monkeypatch.setenv("ABLATE_DEBUG", "")

    def call(*arguments: str) -> list[str]:
        result = CliRunner().invoke(app, ["run", *arguments])
        assert result.exit_code == ExitCode.WRONG_INPUT, result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert not (toy_project.root / "runs").exists()
        return result.stderr.splitlines()

    return call


@pytest.mark.parametrize(("change", "sentence"), IN_THE_FILE.values(), ids=IN_THE_FILE)
def test_a_fault_of_the_file(toy_project: Any, refusal: Callable[..., list[str]], change: str, sentence: str) -> None:
    toy_project.edit(*change.split(" -> "))
    assert refusal(STUDY) == [sentence]


@pytest.mark.parametrize(("override", "sentence"), ON_THE_COMMAND_LINE.values(), ids=ON_THE_COMMAND_LINE)
def test_a_fault_of_the_command_line(refusal: Callable[..., list[str]], override: str, sentence: str) -> None:
    assert refusal(STUDY, override) == [sentence]


def test_a_missing_file(refusal: Callable[..., list[str]]) -> None:
    assert refusal("studies/no.yaml") == ["studies/no.yaml: there is no such file"]


def test_a_cluster_for_a_backend_that_has_none(refusal: Callable[..., list[str]]) -> None:
    (sentence,) = refusal(STUDY, "--backend", "local", "--address", "10.0.0.1:6379")
    assert sentence.startswith("command line: --address 10.0.0.1:6379 names a Ray cluster")


def test_a_program_gets_the_faults_as_json(toy_project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ablate.cli.app import app

    monkeypatch.delenv("ABLATE_STORE", raising=False)
    toy_project.edit("reference: ours", "reference: our")
    for verb in ("check", "plan", "run"):
        result = CliRunner().invoke(app, [verb, STUDY, "--json"])
        assert (result.exit_code, result.stderr) == (ExitCode.WRONG_INPUT, "")
        (fault,) = json.loads(result.stdout)
        assert (fault["path"], fault["line"], fault["key"]) == (STUDY, 14, "reference")
        assert fault["message"].startswith("no arm is called 'our'")


def test_many_trials_are_asked_about(refusal: Callable[..., list[str]]) -> None:
    (sentence,) = refusal(STUDY, "replicates=400")
    assert sentence == "command line: toy has 1,200 trials: give --yes if you mean it"


def test_all_faults_are_listed_in_the_order_of_the_file(toy_project: Any, refusal: Callable[..., list[str]]) -> None:
    toy_project.edit("reference: ours", "reference: our")
    toy_project.edit("replicates: 2", "replicates: two")
    toy_project.edit("unit: mm", "unit: 3")
    places = [sentence.split(": ")[0:2] for sentence in refusal(STUDY)]
    assert places == [
        ["studies/toy.yaml:15:1", "replicates"],
        ["studies/toy.yaml:17:19", "metrics.0.unit"],
        ["studies/toy.yaml:18:25", "metrics.1.unit"],
    ]
