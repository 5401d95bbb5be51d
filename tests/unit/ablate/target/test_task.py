import pytest

from ablate.errors import StudyError
from ablate.target import load_task, resolve


def fault_of(path: str) -> str:
    with pytest.raises(StudyError) as raised:
        load_task(path)
    return raised.value.faults[0].message


def test_a_task_knows_what_its_signature_declares(toy_project) -> None:
    task = load_task("toy.tasks:run")
    assert task.keys_at(()) == ("method", "data")
    assert task.keys_at(("method",)) == ("sigma_mm", "kind", "num_steps", "sizes")
    assert task.keys_at(("method", "kind")) == ()
    assert (task.takes_seed, task.takes_trial) == (True, True)
    assert not load_task("toy.tasks:seedless").takes_seed
    assert resolve("toy.tasks:run") is task.function


def test_how_much_of_a_place_is_declared_is_counted(toy_project) -> None:
    task = load_task("toy.tasks:run")
    assert task.num_declared(("method", "sizes", "0")) == 3
    assert task.num_declared(("method", "size")) == 1
    assert task.num_declared(("metod", "sizes")) == 0


def test_a_class_and_a_bound_method_are_tasks_too(toy_project) -> None:
    toy_project.write(
        "toy/more.py",
        "class Evaluate:\n"
        "    def __init__(self, *, bound_px: float) -> None: ...\n"
        "    @classmethod\n"
        "    def quickly(cls, *, steps: int = 1) -> dict: ...\n",
    )
    assert load_task("toy.more:Evaluate").keys_at(()) == ("bound_px",)
    assert load_task("toy.more:Evaluate.quickly").keys_at(()) == ("steps",)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("toy.tasks:rum", "toy.tasks has no 'rum' -- did you mean 'run'?"),
        ("toy.taks:run", "there is no module toy.taks -- did you mean 'tasks'?"),
        ("tyo.tasks:run", "there is no module tyo: install the package, "),
        ("toy.tasks", "expected `package.module:name`"),
        ("toy.tasks:json", "expected something that can be called, got a module"),
        ("toy.tasks:run.x", "run has no 'x'"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(toy_project, path: str, reason: str) -> None:
    assert fault_of(path).startswith(f"task {path} cannot be used: {reason}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_the_kind", "ModuleNotFoundError: No module named 'nothing_of_the_kind' ("),
        ("\n1 / 0", "ZeroDivisionError: division by zero ("),
        ("def run(:", "SyntaxError: invalid syntax ("),
        ("raise SystemExit(3)", "SystemExit: 3 ("),
    ],
)
def test_a_module_that_fails_to_import_is_told_with_its_line(toy_project, text: str, reason: str) -> None:
    toy_project.write("toy/broken.py", text)
    message = fault_of("toy.broken:run")
    assert message.startswith(f"task toy.broken:run cannot be used: importing toy.broken failed: {reason}")
    assert message.endswith(f"toy/broken.py:{2 if text.startswith(chr(10)) else 1})")


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("*, method", "parameter 'method' has no type"),
        ("*, x: int, **rest", "parameter '**rest' takes anything"),
        ("*rest: int", "parameter '*rest: int' takes anything"),
        ("x: int, /", "parameter 'x' is positional-only"),
        ("*, x: 'Nowhere'", "its signature cannot be read: name 'Nowhere' is not defined"),
        ("*, x: Opaque", "a parameter's type cannot be read from a configuration: "),
    ],
)
def test_a_signature_that_no_configuration_fills_is_refused(toy_project, signature: str, reason: str) -> None:
    toy_project.write("toy/odd.py", f"class Opaque: ...\ndef run({signature}): ...\n")
    assert reason in fault_of("toy.odd:run")


def test_a_task_may_declare_the_metrics_it_returns(toy_project) -> None:
    code = """

from collections.abc import Mapping
from typing import TypedDict

class Errors(TypedDict):
    error: float

Slashes = TypedDict("Slashes", {"multi/error": float, "error": float})

def typed(*, seed: int) -> Errors: ...
def slashes(*, seed: int) -> "Slashes": ...
def literal(*, seed: int) -> dict[Literal["error", "multi/error"], float]: ...
def mapping(*, seed: int) -> Mapping[Literal["error"], float]: ...
def untold(*, seed: int): ...
"""
    toy_project.write("toy/tasks.py", (toy_project.root / "toy/tasks.py").read_text() + code)
    assert load_task("toy.tasks:typed").metrics == ("error",)
    assert load_task("toy.tasks:slashes").metrics == ("multi/error", "error")
    assert load_task("toy.tasks:literal").metrics == ("error", "multi/error")
    assert load_task("toy.tasks:mapping").metrics == ("error",)
    assert load_task("toy.tasks:untold").metrics is None
    assert load_task("toy.tasks:run").metrics is None
