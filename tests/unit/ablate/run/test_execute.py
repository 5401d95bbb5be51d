import logging

import pytest

from ablate.backends.local import LocalBackend
from ablate.errors import BackendError, ExitCode
from ablate.plan.expand import expand
from ablate.plan.file import load_plan
from ablate.plan.subjects import subjects
from ablate.run.execute import execute
from ablate.store import Store, TrialIndex
from ablate.study.load import load_study
from ablate.trial import Status


class Listener:
    def __init__(self) -> None:
        self.ended_ids: list[str] = []
        self.num_closed = 0

    def started(self, spec, attempt): ...

    def reported(self, report): ...

    def ended(self, spec, outcome):
        self.ended_ids.append(outcome.trial_id)

    def close(self):
        self.num_closed += 1


class Faulty(Listener):
    def ended(self, spec, outcome):
        super().ended(spec, outcome)
        raise OSError("the listener's disk is full")


class Untouchable:
    def run(self, *_, **__):
        raise AssertionError("nothing is left to run")


def _failing(project):
    project.edit("base: [method=smooth, data=dots]", "base: [method=smooth]")
    project.edit("task: toy.tasks:run\nneeds: [adapted]", "task: toy.tasks:fails")
    project.edit('stages:\n  pretrained: {task: "toy.tasks:pretrain"}\n', "")
    project.edit('  adapted: {task: "toy.tasks:adapt", needs: [pretrained]}\n', "")
    return expand(load_study(project.study))


def test_a_study_runs_to_its_end_and_the_second_time_nothing_runs(toy):
    listener = Listener()
    summary = execute(toy.plan, store=toy.store, backend=LocalBackend(), recorders=[listener])
    assert (summary.num_finished, summary.num_cached, summary.exit_code) == (9, 0, ExitCode.DONE)
    assert sorted(listener.ended_ids) == sorted(toy.plan.specs)
    again = execute(toy.plan, store=toy.store, backend=Untouchable(), recorders=[listener])
    assert (again.num_finished, again.num_cached, again.exit_code) == (0, 9, ExitCode.DONE)
    assert listener.num_closed == 2


def test_the_plan_is_in_the_store_before_anything_runs(toy):
    class Broken:
        def run(self, *_, **__):
            raise BackendError("broken")

    listener = Listener()
    with pytest.raises(BackendError, match="broken"):
        execute(toy.plan, store=toy.store, backend=Broken(), recorders=[listener])
    assert load_plan(toy.store.root, "toy").specs == toy.plan.specs
    assert listener.num_closed == 1


def test_failures_are_counted_with_label_reason_and_log(toy):
    plan = _failing(toy.project)
    summary = execute(plan, store=toy.store, backend=LocalBackend())
    assert (summary.num_finished, summary.num_failed, summary.exit_code) == (4, 2, ExitCode.SOME_FAILED)
    failure = summary.failures[0]
    assert (failure.label, failure.reason) == ("by weight seed 0", "RuntimeError: no luck with seed 0")
    assert "no luck with seed 0" in failure.log.read_text()


def test_what_failed_is_tried_again_by_the_same_command(toy):
    plan = _failing(toy.project)
    execute(plan, store=toy.store, backend=LocalBackend())
    listener = Listener()
    execute(plan, store=toy.store, backend=LocalBackend(), recorders=[listener])
    assert len(listener.ended_ids) == 4  # two trials, each with its one retry


def test_what_needs_a_failed_stage_is_unreachable(toy):
    toy.project.edit("start = json.loads(", "raise KeyError('lost') or (", name="toy/tasks.py")
    plan = expand(load_study(toy.project.study))
    summary = execute(plan, store=toy.store, backend=LocalBackend())
    counts = (summary.num_finished, summary.num_failed, summary.num_unreachable, summary.num_interrupted)
    assert counts == (1, 2, 6, 0)
    assert summary.exit_code is ExitCode.SOME_FAILED


def test_a_stop_leaves_the_rest_for_the_same_command(toy):
    listener = Listener()
    stopped = execute(
        toy.plan,
        store=toy.store,
        backend=LocalBackend(),
        recorders=[listener],
        stopping=lambda: len(listener.ended_ids) >= 4,
    )
    assert (stopped.num_finished, stopped.num_interrupted, stopped.exit_code) == (4, 5, ExitCode.INTERRUPTED)
    rest = execute(toy.plan, store=toy.store, backend=LocalBackend())
    assert (rest.num_finished, rest.num_cached, rest.exit_code) == (5, 4, ExitCode.DONE)


def test_a_failure_that_a_later_attempt_began_to_mend_counts_as_interrupted(toy):
    trial_id = toy.ids["pretrained"]
    toy.ends(trial_id, Status.FAILED, error="KeyError: 'x'")
    toy.store.claim(trial_id)
    summary = execute(toy.plan, store=toy.store, backend=LocalBackend(), stopping=lambda: True)
    assert (summary.num_failed, summary.num_interrupted) == (0, 9)


def test_a_faulty_recorder_is_reported_once_and_muted_and_the_others_hear_all(toy, caplog):
    faulty, sound = Faulty(), Listener()
    with caplog.at_level(logging.ERROR):
        summary = execute(toy.plan, store=toy.store, backend=LocalBackend(), recorders=[faulty, sound])
    assert summary.exit_code is ExitCode.DONE
    assert (len(faulty.ended_ids), len(sound.ended_ids)) == (1, 9)
    messages = [record for record in caplog.records if "Faulty failed" in record.message]
    assert len(messages) == 1
    assert "the listener's disk is full" in messages[0].exc_text


ADAPTIVE = "replicates: {min: 3, max: 8, until: decided, metric: multi/error}"
NOISY = '''
"""A task whose rough arm is clearly worse, and whose weighted one differs by noise alone."""

import random

from toy.tasks import Method


def run(*, method: Method, seed: int) -> dict[str, float]:
    """Return noise, and the arm's own part."""
    worse = 9.0 if method.sigma_mm == 20 else 0.0
    noise = random.Random(f"{method.kind} {seed}").gauss(0.0, 1.0)
    return {"error": worse + noise + seed, "multi/error": worse + noise + seed}
'''


@pytest.fixture
def adaptive(toy):
    toy.project.write("toy/noisy.py", NOISY)
    toy.project.edit("task: toy.tasks:run\nneeds: [adapted]", "task: toy.noisy:run")
    toy.project.edit('stages:\n  pretrained: {task: "toy.tasks:pretrain"}\n', "")
    toy.project.edit('  adapted: {task: "toy.tasks:adapt", needs: [pretrained]}\n', "")
    toy.project.edit(", data=dots", "")
    toy.project.edit("replicates: 2", ADAPTIVE)
    return expand(load_study(toy.project.study))


def _num_seeds(plan, ids):
    return {
        arm.name: sum(trial.spec.id in ids for trial in plan.trials if trial.name == arm.name)
        for arm in plan.study.arms
    }


def test_seeds_go_to_the_undecided_and_what_was_never_asked_for_is_not_left_over(toy, adaptive):
    listener = Listener()
    summary = execute(adaptive, store=toy.store, backend=LocalBackend(), recorders=[listener])
    assert summary.exit_code is ExitCode.DONE
    assert summary.num_interrupted == 0
    seeds = _num_seeds(adaptive, set(listener.ended_ids))
    assert seeds["by weight"] == seeds["ours"] == 8  # nothing but noise: undecided to the end
    assert 3 <= seeds["rough"] < 8
    assert summary.num_finished == sum(seeds.values())
    again = execute(adaptive, store=toy.store, backend=Untouchable())
    assert (again.num_cached, again.exit_code) == (summary.num_finished, ExitCode.DONE)


@pytest.mark.parametrize("num_before", [0, 1, 5, 9, 12, 15])
def test_an_adaptive_run_that_was_stopped_ends_with_the_same_trials(toy, adaptive, num_before):
    listener = Listener()
    stopped = execute(
        adaptive,
        store=toy.store,
        backend=LocalBackend(),
        recorders=[listener],
        stopping=lambda: len(listener.ended_ids) >= num_before,
    )
    assert (stopped.num_finished, stopped.exit_code) == (num_before, ExitCode.INTERRUPTED)
    execute(adaptive, store=toy.store, backend=LocalBackend(), recorders=[listener])
    assert len(listener.ended_ids) == len(set(listener.ended_ids))
    other = Store(toy.project.root / "other")
    undisturbed = Listener()
    execute(adaptive, store=other, backend=LocalBackend(), recorders=[undisturbed])
    assert sorted(listener.ended_ids) == sorted(undisturbed.ended_ids)


STACKED = """

def run_stacked(*, method: Method, seeds: tuple[int, ...]) -> list[dict[str, float]]:
    return [run(method=method, seed=seed) for seed in seeds]
"""


def test_an_adaptive_run_that_stacks_its_seeds_ends_with_the_same_trials(toy, adaptive):
    apart = Listener()
    execute(adaptive, store=Store(toy.project.root / "other"), backend=LocalBackend(), recorders=[apart])
    toy.project.write("toy/noisy.py", NOISY + STACKED)
    toy.project.edit("replicates:", "resources: {stack_seeds: 4}\nreplicates:")
    stacked, together = expand(load_study(toy.project.study)), Listener()
    summary = execute(stacked, store=toy.store, backend=LocalBackend(), recorders=[together])
    assert summary.exit_code is ExitCode.DONE
    assert _num_seeds(stacked, together.ended_ids) == _num_seeds(adaptive, apart.ended_ids)
    found = [toy.store.record(trial_id).run.num_stacked for trial_id in together.ended_ids]
    assert found[:9] == [3] * 9  # the first seeds of three arms
    assert set(found[9:]) == {1}  # then seeds come one at a time


def test_before_anything_runs_subjects_and_code_are_noted(toy):
    execute(toy.plan, store=toy.store, backend=LocalBackend(), stopping=lambda: True)
    index = TrialIndex(toy.store.root)
    noted = subjects(toy.plan)
    assert [index.trials(noted[id_]) for id_ in toy.plan.specs] == [[id_] for id_ in toy.plan.specs]
    assert {digest: index.code(digest) for digest in toy.plan.code} == toy.plan.code
