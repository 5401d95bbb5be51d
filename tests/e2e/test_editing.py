"""What each edit of a study, its code or its data runs again: exactly that, by ids, and `reasons` says why."""

from dataclasses import dataclass, field

import pytest

from ablate.backends.local import LocalBackend
from ablate.errors import ExitCode
from ablate.plan.expand import expand
from ablate.plan.model import Plan
from ablate.plan.reasons import reasons
from ablate.plan.reuse import Reuse, apply_reuse
from ablate.run.execute import execute
from ablate.store import Store
from ablate.study.load import load_study

STAGES = '''
"""Stages in a file of their own, which reaches nothing of the method's code."""

import json

from toy.data import Data


def pretrain(*, data: Data, trial) -> dict[str, float]:
    trial.artifact("start.json").write_text(json.dumps(float(data.num_samples)))
    return {"start": float(data.num_samples)}


def adapt(*, data: Data, seed: int, bias: float = 0.5, trial) -> dict[str, float]:
    start = json.loads((trial.inputs["pretrained"] / "start.json").read_text()) + seed + bias
    trial.artifact("start.json").write_text(json.dumps(start))
    return {"start": start}
'''
DATA = '''
"""The data of stages and method."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    num_samples: int = 5
    folder: Path | None = None

    def fingerprint(self) -> str:
        return " ".join(sorted(path.name for path in self.folder.iterdir())) if self.folder else "none"
'''
METHOD = '''
"""The method, which knows nothing of the data's files."""

import json
import random
from dataclasses import dataclass

from toy import noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    sigma_mm: float = 10.0
    kind: str = "plain"
    num_steps: int = 4


def run(*, method: Method, seed: int, trial) -> dict[str, float]:
    start = json.loads((trial.inputs["adapted"] / "start.json").read_text())
    error = start + method.sigma_mm + noise.draw(random.Random(seed))
    trial.report(1, {"error": error})
    return {"error": error, "multi/error": error / 2}
'''
ARMS = """\
  ours: {}
  rough: {method.sigma_mm: 20}
  by weight: {method.kind: weighted}
"""


@dataclass
class Lab:
    """The toy project with its stages in a file of their own, run in this process."""

    project: object
    store: Store
    last: Plan = None
    said: dict[str, str] = field(default_factory=dict)

    def run(self, *overrides: str, study: str = "studies/toy.yaml", reuse: Reuse = Reuse.SAME_CODE) -> set[str]:
        """Plan and run; give the ids of what was started. `last` is the plan, `said` the reason by label."""
        plan = self.plan(*overrides, study=study)
        self.last = plan = apply_reuse(plan, self.store, reuse)
        why = reasons(plan, self.store)
        self.said = {trial.label: str(why[trial.spec.id]) for trial in plan.trials}
        listener = _Listener()
        assert execute(plan, store=self.store, backend=LocalBackend(), recorders=[listener]).exit_code is ExitCode.DONE
        assert set(listener.started_ids) == {id_ for id_, reason in why.items() if not reason.is_cached}
        assert len(listener.started_ids) == len(set(listener.started_ids))
        return set(listener.started_ids)

    def plan(self, *overrides: str, study: str = "studies/toy.yaml") -> Plan:
        return expand(load_study(self.project.root / study, overrides))

    def ids(self, *names: str) -> set[str]:
        """Give the ids of the last plan's trials of these stages and arms."""
        return {trial.spec.id for trial in self.last.trials if trial.name in names}


class _Listener:
    def __init__(self) -> None:
        self.started_ids: list[str] = []

    def started(self, spec, attempt):
        self.started_ids.append(spec.id)

    def reported(self, report): ...

    def ended(self, spec, outcome): ...

    def close(self): ...


@pytest.fixture
def lab(toy_project) -> Lab:
    toy_project.write("toy/stages.py", STAGES)
    toy_project.write("toy/data.py", DATA)
    toy_project.write("toy/method.py", METHOD)
    toy_project.edit("toy.tasks:pretrain", "toy.stages:pretrain")
    toy_project.edit("toy.tasks:adapt", "toy.stages:adapt")
    toy_project.edit("toy.tasks:run", "toy.method:run")
    lab = Lab(toy_project, Store(toy_project.root / "runs"))
    assert len(lab.run()) == 9
    assert set(lab.said.values()) == {"new"}
    return lab


def test_a_title_runs_nothing(lab) -> None:
    lab.project.edit("title: Does the weighting matter?", "title: Other words")
    assert lab.run() == set()
    assert set(lab.said.values()) == {"cached"}


def test_comments_in_the_study_and_in_the_code_run_nothing(lab) -> None:
    lab.project.edit("replicates: 2", "# as many as we can\nreplicates: 2  # two")
    lab.project.edit("# small", "# really small\n    # and normal", name="toy/noise.py")
    lab.project.edit("from toy import noise", "from toy import noise  # see there", name="toy/method.py")
    assert lab.run() == set()


def test_the_order_of_arms_runs_nothing(lab) -> None:
    before = set(lab.last.specs)
    lab.project.edit(ARMS, "".join(sorted(ARMS.splitlines(keepends=True))))
    assert lab.run() == set()
    assert [arm.name for arm in lab.last.study.arms] == ["by weight", "ours", "rough"]
    assert set(lab.last.specs) == before


def test_the_order_of_keys_runs_nothing(lab) -> None:
    text = lab.project.study.read_text()
    head, _, rest = text.partition("arms:\n")
    lab.project.write("studies/toy.yaml", f"arms:\n{rest}{head}")
    lab.project.write("conf/method/smooth.yaml", "kind: plain\nsigma_mm: 5\n")
    assert lab.run() == set()


def test_an_arm_that_is_added_is_all_that_runs(lab) -> None:
    lab.project.edit(ARMS, f"{ARMS}  fine: {{method.sigma_mm: 1}}\n")
    assert lab.run() == lab.ids("fine")
    assert len(lab.ids("fine")) == 2
    assert {lab.said["fine seed 0"], lab.said["fine seed 1"]} == {"new"}


def test_a_second_study_runs_only_what_the_first_does_not_have(lab) -> None:
    text = (
        lab.project.study.read_text().replace("study: toy", "study: second").replace("replicates: 2", "replicates: 3")
    )
    lab.project.write("studies/second.yaml", text.replace(ARMS, "  ours: {}\n  rough: {method.sigma_mm: 30}\n"))
    started = lab.run(study="studies/second.yaml")
    third = {trial.spec.id for trial in lab.last.trials if trial.spec.seed == 2}
    assert started == third | lab.ids("rough")
    assert len(started) == 5


def test_code_that_only_the_method_reaches_runs_the_method_again(lab) -> None:
    lab.project.edit("gauss(0.0, 0.1)", "gauss(0.0, 0.2)", name="toy/noise.py")
    assert lab.run() == lab.ids("ours", "rough", "by weight")
    assert lab.said["adapted seed 0"] == "cached"
    assert lab.said["ours seed 1"] == "code changed: toy/noise.py"


def test_code_of_a_stage_runs_the_stages_and_what_needs_them(lab) -> None:
    lab.project.edit("+ seed + bias", "+ 2 * seed + bias", name="toy/stages.py")
    assert lab.run() == set(lab.last.specs)  # both stages lie in the file
    assert lab.said["adapted seed 0"] == "code changed: toy/stages.py"
    assert lab.said["ours seed 0"] == "needs adapted which runs again (code changed: toy/stages.py)"


def test_code_that_is_added_is_named(lab) -> None:
    lab.project.write("toy/more.py", "LEAST = 0.0\n")
    lab.project.edit("from toy import noise", "from toy import more, noise", name="toy/method.py")
    assert lab.run() == lab.ids("ours", "rough", "by weight")
    assert lab.said["ours seed 0"] == "code changed: toy/method.py, toy/more.py (added)"


def test_a_change_of_data_runs_what_reads_it_and_what_needs_that(lab) -> None:
    lab.project.write("images/1.png", "")
    assert lab.run("data.folder=images") == set(lab.last.specs)
    assert lab.said["pretrained"] == "parameters changed: data.folder null -> 'images'; data changed: data"
    lab.project.write("images/2.png", "")
    assert lab.run("data.folder=images") == set(lab.last.specs)
    assert lab.said["pretrained"] == lab.said["adapted seed 1"] == "data changed: data"
    assert lab.said["ours seed 0"] == "needs adapted which runs again (data changed: data)"


def test_a_parameter_of_one_stage_runs_it_and_what_needs_it(lab) -> None:
    assert lab.run("bias=1") == set(lab.last.specs) - lab.ids("pretrained")
    assert lab.said["adapted seed 0"] == "parameters changed: bias 0.5 -> 1"
    assert lab.said["rough seed 0"] == "needs adapted which runs again (parameters changed: bias 0.5 -> 1)"


def test_a_parameter_of_one_arm_runs_that_arm(lab) -> None:
    lab.project.edit("method.sigma_mm: 20", "method.sigma_mm: 25")
    assert lab.run() == lab.ids("rough")
    assert lab.said["rough seed 0"] == "parameters changed: method.sigma_mm 20 -> 25"


@pytest.mark.parametrize("spelt", ["20", "20.0", "2e1", "20e0", "+20.00", "0.02e3"])
def test_the_spelling_of_a_number_runs_nothing(lab, spelt: str) -> None:
    lab.project.edit("method.sigma_mm: 20", f"method.sigma_mm: {spelt}")
    assert lab.run() == set()


def test_with_any_code_a_finished_trial_counts_whatever_made_it(lab) -> None:
    old = lab.last
    lab.project.edit("gauss(0.0, 0.1)", "gauss(0.0, 0.2)", name="toy/noise.py")
    lab.project.edit("+ seed + bias", "+ 2 * seed + bias", name="toy/stages.py")
    lab.project.edit(ARMS, f"{ARMS}  fine: {{method.sigma_mm: 1}}\n")
    assert lab.run(reuse=Reuse.ANY) == lab.ids("fine")
    assert lab.ids("ours", "adapted", "pretrained") <= set(old.specs)
    needs = {trial.spec.needs["adapted"] for trial in lab.last.trials if trial.name == "fine"}
    assert needs == lab.ids("adapted") & set(old.specs)
    assert {spec.code for spec in lab.last.specs.values()} <= lab.last.code.keys()
    assert len(lab.run()) == 11  # the code decides again


def test_with_any_code_other_data_still_runs(lab) -> None:
    lab.project.write("images/1.png", "")
    lab.run("data.folder=images")
    lab.project.write("images/2.png", "")
    lab.project.edit("gauss(0.0, 0.1)", "gauss(0.0, 0.2)", name="toy/noise.py")
    assert lab.run("data.folder=images", reuse=Reuse.ANY) == set(lab.last.specs)
    (lab.project.root / "images/2.png").unlink()
    assert lab.run("data.folder=images", reuse=Reuse.ANY) == set()


def test_with_no_reuse_all_runs_again_and_the_old_records_stay(lab) -> None:
    assert lab.run(reuse=Reuse.NONE) == set(lab.last.specs)
    assert set(lab.said.values()) == {"put aside"}
    for trial_id in lab.last.specs:
        assert (lab.store.folder(trial_id) / "replaced-1.json").is_file()
        assert lab.store.record(trial_id).run.attempt == 2
    assert lab.run() == set()
