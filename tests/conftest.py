"""A small project of a stranger's own, with a package, configuration and a study: what most tests of `ablate` run."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

TASKS = '''
"""Tasks without torch: a search for a number in noisy steps, with stages that give it a start."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toy import noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How the search goes."""

    sigma_mm: float = 10.0
    kind: Literal["plain", "weighted"] = "plain"
    num_steps: int = 4
    sizes: tuple[int, ...] = (8, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is searched; `folder` points at files that count."""

    num_samples: int = 5
    folder: Path | None = None

    def fingerprint(self) -> str:
        if self.folder is None:
            return "none"
        if not self.folder.is_dir():
            raise FileNotFoundError(f"there is no folder {self.folder}; run the download first")
        return " ".join(sorted(path.name for path in self.folder.iterdir()))


def pretrain(*, data: Data, trial) -> dict[str, float]:
    """One for all seeds and all arms: it takes no seed, and no part of the method."""
    trial.artifact("start.json").write_text(json.dumps(float(data.num_samples)))
    return {"start": float(data.num_samples)}


def adapt(*, data: Data, seed: int, trial) -> dict[str, float]:
    """One per seed."""
    start = json.loads((trial.inputs["pretrained"] / "start.json").read_text()) + seed
    trial.artifact("start.json").write_text(json.dumps(start))
    return {"start": start}


def run(*, method: Method, data: Data, seed: int, trial) -> dict[str, float]:
    """Reports each step and can be restored at any."""
    if method.kind == "weighted":
        data_weight = 0.5
    else:
        data_weight = 1.0
    state = trial.restore()
    if state is None:
        start = json.loads((trial.inputs["adapted"] / "start.json").read_text())
        state = {"step": 0, "error": start + method.sigma_mm * data_weight, "random": random.Random(seed).getstate()}
    generator = random.Random()
    generator.setstate(state["random"])
    for step in range(state["step"] + 1, method.num_steps + 1):
        error = state["error"] * 0.8 + noise.draw(generator)
        state = {"step": step, "error": error, "random": generator.getstate()}
        trial.report(step, {"error": error}, state=lambda: dict(state))
    return {"error": state["error"], "multi/error": state["error"] / data.num_samples}


def quick(*, method: Method, seed: int) -> dict[str, float]:
    """Needs nothing and reports nothing."""
    return {"error": method.sigma_mm + seed, "multi/error": 1.0}


def seedless(*, method: Method) -> dict[str, float]:
    """Has no randomness at all."""
    return {"error": method.sigma_mm, "multi/error": 1.0}


def fails(*, method: Method, seed: int, trial) -> dict[str, float]:
    """Raises in its second step for a weighted method."""
    trial.report(1, {"error": 1.0})
    if method.kind == "weighted":
        raise RuntimeError(f"no luck with seed {seed}")
    return {"error": method.sigma_mm, "multi/error": 1.0}
'''

NOISE = '''
"""Imported by the tasks, so part of their code."""

import random


def draw(generator: random.Random) -> float:
    """Give a little noise."""
    return generator.gauss(0.0, 0.1)  # small
'''

STUDY = """\
study: toy
title: Does the weighting matter?
plugins: [toy]
base: [method=smooth, data=dots]
stages:
  pretrained: {task: "toy.tasks:pretrain"}
  adapted: {task: "toy.tasks:adapt", needs: [pretrained]}
task: toy.tasks:run
needs: [adapted]
arms:
  ours: {}
  rough: {method.sigma_mm: 20}
  by weight: {method.kind: weighted}
reference: ours
replicates: 2
metrics:
  - {name: error, unit: mm, better: lower}
  - {name: multi/error, unit: mm, better: lower}
"""

FILES = {
    "toy/__init__.py": "",
    "toy/tasks.py": TASKS,
    "toy/noise.py": NOISE,
    "conf/method/smooth.yaml": "sigma_mm: 5\nkind: plain\n",
    "conf/method/sharp.yaml": "sigma_mm: 1.5\n",
    "conf/data/dots.yaml": "num_samples: 4\n",
    "conf/scale/method/smooth/standard.yaml": "num_steps: 40\n",
    "studies/toy.yaml": STUDY,
}


@dataclass(frozen=True)
class ToyProject:
    """A folder with `toy/`, `conf/` and `studies/toy.yaml`."""

    root: Path

    @property
    def study(self) -> Path:
        return self.root / "studies" / "toy.yaml"

    def write(self, name: str, text: str) -> Path:
        """Put a file in the project; what was imported of `toy` is forgotten, so that edits count."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        forget_toy()
        return path

    def edit(self, old: str, new: str, name: str = "studies/toy.yaml") -> Path:
        """Replace text in a file of the project, the study by default."""
        text = (self.root / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        return self.write(name, text.replace(old, new))


def forget_toy() -> None:
    for module in [module for module in sys.modules if module.split(".")[0] == "toy"]:
        del sys.modules[module]


@pytest.fixture
def toy_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyProject]:
    """The toy project, importable here and in child processes, with its folder as the working directory."""
    project = ToyProject(tmp_path / "project")
    for name, text in FILES.items():
        project.write(name, text)
    shutil.copy(ROOT / "conf" / "config.yaml", project.root / "conf")
    for scale in (ROOT / "conf" / "scale").glob("*.yaml"):
        shutil.copy(scale, project.root / "conf" / "scale")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # an edit within the same second must count
    monkeypatch.syspath_prepend(project.root)
    monkeypatch.setenv("PYTHONPATH", str(project.root))
    monkeypatch.chdir(project.root)
    yield project
    forget_toy()


class Mark(NamedTuple):
    """That one step of a trial was computed: for which trial, under which raylet, and when."""

    trial_id: str
    raylet: int
    step: int
    time_s: float


@dataclass(frozen=True)
class MarkedProject:
    """The toy project with slow steps, each of which leaves a mark of where it was computed."""

    root: Path
    step_s: float = 0.1
    num_steps: int = 30
    wait_s: float = 60.0

    def command(self, store: str, *options: str) -> list[str]:
        """Give the command line that runs the study."""
        main = "from ablate.cli.app import main; main()"
        study = ["studies/toy.yaml", f"method.num_steps={self.num_steps}", "--store", store, "--mlflow", "off"]
        return [sys.executable, "-c", main, "run", *study, *options]

    def marks(self, store: str) -> list[Mark]:
        """Read all marks of a run, in the order of time."""
        found = []
        for path in (self.root / store).glob("trials/*/artifacts/marks.txt"):
            for line in path.read_text().splitlines():
                raylet, step, time_s = line.split()
                found.append(Mark(path.parents[1].name, int(raylet), int(step), float(time_s)))
        return sorted(found, key=lambda mark: mark.time_s)

    def wait(self, is_true: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
        """Wait until something is true, while the process runs."""
        deadline_s = time.monotonic() + self.wait_s
        while not is_true():
            assert process is None or process.poll() is None, process.communicate()
            assert time.monotonic() < deadline_s, "waited in vain"
            time.sleep(0.05)

    def wait_for_steps(self, store: str, raylet: int, process: "subprocess.Popen[str]", num_steps: int = 8) -> None:
        """Wait until a node is in the middle of a trial, after that many steps of it."""

        def has_them() -> bool:
            own = [mark for mark in self.marks(store) if mark.raylet == raylet]
            newest = [mark for mark in own if mark.trial_id == own[-1].trial_id]
            is_running = bool(newest) and time.time() - newest[-1].time_s < 3 * self.step_s
            return is_running and num_steps <= len(newest) <= 2 * num_steps

        self.wait(has_them, process)

    def results(self, store: str) -> dict[str, tuple[object, ...]]:
        """Give all that the trials alone decide."""
        from ablate.store import Store

        trials = Store(self.root / store)
        records = {path.name: trials.record(path.name) for path in (self.root / store / "trials").iterdir()}
        points = {id_: [(point.step, point.metrics) for point in trials.curves(id_)] for id_ in records}
        return {id_: (record.status, record.metrics, points[id_]) for id_, record in records.items()}


MARKED_STEP = """\
        __import__("time").sleep(0.1)
        with trial.artifact("marks.txt").open("a") as marks:
            marks.write(f"{__import__('os').environ.get('RAY_RAYLET_PID', 0)} {step} {__import__('time').time()}\\n")
"""


@pytest.fixture
def marked_project(toy_project: ToyProject) -> MarkedProject:
    """A study whose trials take three seconds each, and which says where each step was computed."""
    step = '        error = state["'
    toy_project.edit(step, MARKED_STEP + step, "toy/tasks.py")
    return MarkedProject(toy_project.root)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process of `--dist loadgroup`, and all that start Ray in one."""
    for item in items:
        group = "ray" if item.get_closest_marker("ray") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden anew from what the code says now")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text to a file of tests/golden: `golden("table.md", text)`."""

    def compare(name: str, text: str) -> None:
        path = ROOT / "tests" / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert path.is_file(), f"{path} is not there: run with --update-golden and read what it wrote"
        assert text == path.read_text()

    return compare
