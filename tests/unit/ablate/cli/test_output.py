"""What programs read on standard output."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from ablate.cli.output import fault_entries, plain, print_json
from ablate.errors import Fault
from ablate.trial import Status


@dataclass(frozen=True)
class Thing:
    """Holds something of every kind."""

    path: Path
    status: Status
    numbers: tuple[float, ...]
    by_seed: dict[int | None, float]
    names: frozenset[str]


def test_everything_becomes_json(capsys: pytest.CaptureFixture[str]) -> None:
    thing = Thing(Path("a/b"), Status.FAILED, (1.5, float("nan"), float("inf")), {0: 1.0}, frozenset("ba"))
    print_json({"thing": thing, "none": None, "text": "é", "yes": True})
    assert json.loads(capsys.readouterr().out) == {
        "thing": {
            "path": "a/b",
            "status": "failed",
            "numbers": [1.5, "nan", "inf"],
            "by_seed": {"0": 1.0},
            "names": ["a", "b"],
        },
        "none": None,
        "text": "é",
        "yes": True,
    }


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="got a object"):
        plain(object())


def test_faults_keep_their_place() -> None:
    fault = Fault(message="unknown key", path=Path("a.yaml"), line=3, column=5, key="arms.x")
    assert fault_entries([fault]) == [
        {"path": "a.yaml", "line": 3, "column": 5, "key": "arms.x", "message": "unknown key"}
    ]
