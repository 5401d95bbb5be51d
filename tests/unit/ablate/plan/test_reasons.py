import shutil

import pytest

from ablate.plan.expand import expand
from ablate.plan.file import save_plan
from ablate.plan.head import plan_name
from ablate.plan.model import Plan
from ablate.plan.reasons import reasons
from ablate.plan.subjects import subjects
from ablate.store import RunFacts, Store, TrialIndex
from ablate.study.load import load_study
from ablate.trial import Outcome, Status


class Desk:
    """A store that trials are ended in by hand."""

    def __init__(self, project) -> None:
        self.project = project
        self.store = Store(project.root / "runs")
        self.plan: Plan = None
        self.plans()

    def plans(self, *overrides: str) -> Plan:
        self.plan = expand(load_study(self.project.study, overrides))
        return self.plan

    def begin(self) -> None:
        """Do what `execute` does before anything runs."""
        for spec in self.plan.specs.values():
            self.store.write_spec(spec)
        TrialIndex(self.store.root).note(subjects(self.plan), self.plan.code)
        save_plan(self.store.root, self.plan)

    def ends(self, label: str, status: Status = Status.FINISHED, ended: str = "2026", error: str | None = None) -> None:
        id_ = self.id(label)
        attempt = self.store.claim(id_)
        facts = RunFacts(attempt=attempt, started="", ended=ended, seconds=1.0, host="", python="")
        outcome = Outcome(trial_id=id_, attempt=attempt, status=status, metrics={"error": 1.0}, error=error)
        self.store.finish(id_, attempt, outcome, facts)

    def id(self, label: str) -> str:
        return next(trial.spec.id for trial in self.plan.trials if trial.label == label)

    def why(self, label: str) -> str:
        return str(reasons(self.plan, self.store)[self.id(label)])


@pytest.fixture
def desk(toy_project) -> Desk:
    desk = Desk(toy_project)
    desk.begin()
    return desk


def test_what_was_never_started_is_new(desk) -> None:
    assert {str(reason) for reason in reasons(desk.plan, desk.store).values()} == {"new"}
    assert list(reasons(desk.plan, desk.store)) == list(desk.plan.specs)


def test_an_interrupted_trial_says_where_it_goes_on(desk) -> None:
    attempt = desk.store.claim(desk.id("ours seed 0"))
    assert desk.why("ours seed 0") == "interrupted: starts again"
    desk.store.save_checkpoint(desk.id("ours seed 0"), attempt, 40, {"x": 1})
    assert desk.why("ours seed 0") == "interrupted: goes on from step 40"
    desk.ends("ours seed 0", Status.INTERRUPTED)
    assert desk.why("ours seed 0") == "interrupted: goes on from step 40"


def test_a_failed_trial_says_why_it_failed(desk) -> None:
    desk.ends("ours seed 0", Status.FAILED, error="Traceback:\n  ...\nKeyError: 'x'\n")
    assert desk.why("ours seed 0") == "failed before: KeyError: 'x'"
    desk.project.edit("0.1", "0.2", name="toy/noise.py")
    desk.plans()
    assert desk.why("ours seed 0") == "code changed: toy/noise.py; failed before: KeyError: 'x'"


def test_a_trial_that_was_put_aside_says_so_until_it_is_started(desk) -> None:
    desk.ends("ours seed 0")
    assert desk.why("ours seed 0") == "cached"
    desk.store.put_aside(desk.id("ours seed 0"))
    assert desk.why("ours seed 0") == "put aside"
    desk.store.claim(desk.id("ours seed 0"))
    assert desk.why("ours seed 0") == "interrupted: starts again"


def test_the_newest_finished_trial_of_the_subject_is_compared(desk) -> None:
    desk.ends("pretrained", ended="2026-03")
    desk.project.edit("0.1", "0.2", name="toy/noise.py")
    desk.plans()
    desk.begin()
    desk.ends("pretrained", ended="2026-02")
    desk.project.edit("state is None", "not state", name="toy/tasks.py")
    desk.plans()
    assert desk.why("pretrained") == "code changed: toy/noise.py, toy/tasks.py"
    desk.project.edit("0.2", "0.1", name="toy/noise.py")
    desk.plans()
    assert desk.why("pretrained") == "code changed: toy/tasks.py"


def test_code_and_data_are_told_together_and_once(desk) -> None:
    desk.project.write("images/1.png", "")
    desk.plans("data.folder=images")
    desk.begin()
    for label in ("pretrained", "adapted seed 0", "ours seed 0"):
        desk.ends(label)
    desk.project.write("images/2.png", "")
    desk.project.edit("0.1", "0.2", name="toy/noise.py")
    desk.plans("data.folder=images")
    assert desk.why("ours seed 0") == "code changed: toy/noise.py; data changed: data"


def test_without_notes_the_last_plan_of_the_study_is_compared(desk) -> None:
    desk.ends("ours seed 0")
    for path in sorted((desk.store.root / "subjects").glob("*/*")):
        path.unlink()
    for path in (desk.store.root / "code").iterdir():
        path.unlink()
    desk.project.edit("0.1", "0.2", name="toy/noise.py")
    desk.plans()
    assert desk.why("ours seed 0") == "code changed"
    (desk.store.root / plan_name("toy")).unlink()
    assert desk.why("ours seed 0") == "code changed"  # the plan is among the versions, too
    shutil.rmtree(desk.store.root / "studies")
    assert desk.why("ours seed 0") == "new"


def test_a_value_of_a_stage_is_told_where_it_is_set(desk) -> None:
    desk.project.edit("num_samples: 4", "num_samples: 6", name="conf/data/dots.yaml")
    desk.project.edit("{method.sigma_mm: 20}", "{method.sigma_mm: 20, method.sizes: [1, 2], method.num_steps: 9}")
    desk.plans()
    assert desk.why("pretrained") == "parameters changed: data.num_samples 4 -> 6"
    assert desk.why("ours seed 0") == "parameters changed: data.num_samples 4 -> 6"
    assert desk.why("rough seed 0") == (
        "parameters changed: method.num_steps 4 -> 9, method.sizes [8, 8] -> [1, 2], data.num_samples 4 -> 6"
    )


def test_an_unreadable_earlier_trial_explains_nothing_and_stops_nothing(desk) -> None:
    desk.ends("ours seed 0")
    (desk.store.folder(desk.id("ours seed 0")) / "spec.json").write_text("{}")
    (desk.store.root / plan_name("toy")).write_text("no plan")
    desk.project.edit("0.1", "0.2", name="toy/noise.py")
    desk.plans()
    assert desk.why("ours seed 0") == "new"


def test_another_scale_is_compared_to_the_last_plan_of_that_scale(desk) -> None:
    desk.plans("scale=standard")
    assert desk.why("ours seed 0") == "new"
    desk.begin()
    desk.plans()
    desk.project.edit("{method.sigma_mm: 20}", "{method.sigma_mm: 25}")
    desk.plans()
    assert desk.why("rough seed 0") == "parameters changed: method.sigma_mm 20 -> 25"
    assert desk.why("ours seed 0") == "new"
