"""Studies and plans without a file: what a test says about them counts, the rest is plain."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.study.model import Arm, Metric, Study
from ablate.trial import Resources


def bare_study(arms: Sequence[str | Arm] = ("ours",), **changes: Any) -> Study:
    """Build a study of these arms, compared to the first, with one error to measure."""
    built = tuple(arm if isinstance(arm, Arm) else Arm(name=arm, overrides={}) for arm in arms)
    fields: dict[str, Any] = {
        "path": Path("studies/toy.yaml"),
        "source": "",
        "name": "toy",
        "title": "Toy",
        "paper": None,
        "base": (),
        "overrides": (),
        "stages": {},
        "task": "toy:run",
        "needs": (),
        "arms": built,
        "reference": built[0].name,
        "num_replicates": None,
        "metrics": (Metric(name="error", unit="mm", better="lower"),),
        "curves": (),
        "resources": Resources(),
        "plugins": (),
        "lines": {},
    }
    return Study(**{**fields, **changes})
