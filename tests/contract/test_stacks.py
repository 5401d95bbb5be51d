"""Under every backend seeds that run in one process leave what separate runs leave, whatever becomes of the process."""

import json
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import pytest

from ablate.backends.local import LocalBackend
from ablate.store import Store
from ablate.trial import Resources, Status, TrialSpec

NUM_STEPS = 12
TASKS = '''
import os
import signal
from pathlib import Path


def stage(*, seed: int, trial) -> dict[str, float]:
    return stage_stacked(seeds=(seed,), trials=(trial,))[0]


def stage_stacked(*, seeds: tuple[int, ...], trials: tuple) -> list[dict[str, float]]:
    for seed, trial in zip(seeds, trials):
        trial.artifact("start.txt").write_text(str(seed + 0.5))
    return [{"start": seed + 0.5} for seed in seeds]


def run(*, num_steps: int, broken: int = -1, deadly: str = "", seed: int, trial) -> dict[str, float]:
    given = {"num_steps": num_steps, "broken": broken, "deadly": deadly}
    return run_stacked(**given, seeds=(seed,), trials=(trial,))[0]


def run_stacked(
    *, num_steps: int, broken: int = -1, deadly: str = "", seeds: tuple[int, ...], trials: tuple
) -> list[dict[str, float]]:
    """Halves and sums, which are exact: one seed may raise, and a file may say where to die, once."""
    print(f"steps of {seeds}")
    states = [trial.restore() or {"step": 0, "value": start(trial)} for trial in trials]
    for step in range(states[0]["step"] + 1, num_steps + 1):
        for index, (seed, trial) in enumerate(zip(seeds, trials)):
            states[index] = {"step": step, "value": states[index]["value"] / 2 + seed}
            state = states[index]
            trial.report(step, {"value": state["value"]}, state=lambda: state)
            if seed == broken and step >= 3:
                raise RuntimeError(f"no luck with seed {seed}")
        if deadly and step == num_steps // 2 and not Path(deadly).exists():
            Path(deadly).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return [{"value": state["value"]} for state in states]


def start(trial) -> float:
    return float((trial.inputs["stage"] / "start.txt").read_text()) if "stage" in trial.inputs else 0.0
'''


@pytest.fixture(scope="module")
def make(contract_tasks) -> Callable[..., list[TrialSpec]]:
    """Make the trials of an arm, one per seed."""
    (contract_tasks / "stack_tasks.py").write_text(TASKS)

    def specs(
        task: str, seeds: range, *, stack_seeds: int, stages: list[TrialSpec] | None = None, **parameters: object
    ) -> list[TrialSpec]:
        resources = Resources(stack_seeds=stack_seeds, retries=0)
        return [
            TrialSpec(
                task=f"stack_tasks:{task}",
                parameters=parameters,
                seed=seed,
                needs={"stage": stages[index].id} if stages else {},
                resources=resources,
            )
            for index, seed in enumerate(seeds)
        ]

    return specs


@pytest.fixture(scope="module")
def apart(contract, local, make, tmp_path_factory) -> Store:
    """What separate runs leave."""
    stages = make("stage", range(5), stack_seeds=1)
    arm = make("run", range(5), stack_seeds=1, stages=stages, num_steps=NUM_STEPS)
    return contract.run(local, tmp_path_factory.mktemp("apart"), [*stages, *arm]).store


def _left(store: Store, spec: TrialSpec) -> str:
    """Give what a trial alone decides of its record and curves, to the last bit."""
    record = store.record(spec.id)
    return json.dumps([record.status, record.metrics, [(point.step, point.metrics) for point in store.curves(spec.id)]])


def _num_stacked(store: Store, specs: list[TrialSpec]) -> list[int]:
    return [store.record(spec.id).run.num_stacked for spec in specs]


@pytest.fixture(scope="module")
def done(contract, make, backend, tmp_path_factory) -> SimpleNamespace:
    """Stages, an arm that needs them, one with a bad seed and, on Ray, one whose process dies; all in one run."""
    folder = tmp_path_factory.mktemp("together")
    stages = make("stage", range(5), stack_seeds=3)
    arms = {
        "arm": make("run", range(5), stack_seeds=3, stages=stages, num_steps=NUM_STEPS),
        "bad": make("run", range(3), stack_seeds=3, num_steps=4, broken=1),
        "deadly": make("run", range(3), stack_seeds=3, num_steps=NUM_STEPS, deadly=str(folder / "died")),
    }
    if isinstance(backend, LocalBackend):
        arms["deadly"] = []
    run = contract.run(backend, folder / "store", [*stages, *arms["bad"], *arms["deadly"], *arms["arm"]])
    return SimpleNamespace(**vars(run), stages=stages, **arms)


def _ends(done: SimpleNamespace, specs: list[TrialSpec]) -> list[tuple[Status, int]]:
    return [(done.outcomes[spec.id].status, done.outcomes[spec.id].attempt) for spec in specs]


def test_a_stack_ends_as_pruned_once_all_of_it_is_hopeless(contract, make, backend, tmp_path):
    specs = make("run", range(3), stack_seeds=3, num_steps=NUM_STEPS)
    since = {spec.id: 3 + 2 * seed for seed, spec in enumerate(specs)}
    run = contract.run(backend, tmp_path, specs, is_hopeless=lambda report: report.step >= since[report.trial_id])
    for spec in specs:
        assert run.outcomes[spec.id].status is Status.PRUNED
        assert [point.step for point in run.store.curves(spec.id)] == list(range(1, 8))
    assert _num_stacked(run.store, specs) == [3, 3, 3]


def test_stacked_seeds_leave_what_separate_ones_leave(done, apart):
    for spec in (*done.stages, *done.arm):
        assert _left(done.store, spec) == _left(apart, spec)
        events = [event for event, trial_id, _ in done.listener.events if trial_id == spec.id]
        assert events == ["started", *["reported"] * (NUM_STEPS if spec in done.arm else 0), "finished"]
    assert _num_stacked(done.store, done.stages) == [3, 3, 3, 2, 2]
    assert max(_num_stacked(done.store, done.arm)) >= 2
    assert "steps of (0, 1" in done.store.log_path(done.arm[1].id).read_text()


def test_one_bad_seed_does_not_take_the_others_with_it(done):
    assert _ends(done, done.bad) == [(Status.FINISHED, 2), (Status.FAILED, 2), (Status.FINISHED, 2)]
    assert _num_stacked(done.store, done.bad) == [1, 1, 1]


def test_every_trial_of_every_stack_is_told_once(done):
    specs = [*done.stages, *done.arm, *done.bad, *done.deadly]
    assert sorted(outcome.trial_id for outcome in done.told) == sorted(spec.id for spec in specs)


def test_a_stack_whose_process_is_killed_goes_on_from_its_checkpoints(done):
    assert _ends(done, done.deadly) == [(Status.FINISHED, 2)] * len(done.deadly)
    for spec in done.deadly:
        assert done.store.record(spec.id).run.num_stacked == 3
        points = done.store.curves(spec.id)
        assert [point.attempt for point in points] == [1] * (NUM_STEPS // 2) + [2] * (NUM_STEPS // 2)
        assert all(
            after.metrics["value"] == before.metrics["value"] / 2 + spec.seed for before, after in pairwise(points)
        )


def test_a_stack_that_is_stopped_goes_on_as_a_stack(backend, contract, make, apart, tmp_path):
    arm = make("run", range(3), stack_seeds=3, num_steps=NUM_STEPS)
    listener = contract.Listener()
    first = contract.run(backend, tmp_path, arm, listener=listener, stopping=lambda: len(listener.reports) > 3)
    assert {first.outcomes[spec.id].status for spec in arm} == {Status.INTERRUPTED}
    steps = [first.store.checkpoint_step(spec.id) for spec in arm]
    assert steps == [steps[0]] * 3
    second = contract.run(backend, tmp_path, arm)
    assert _num_stacked(second.store, arm) == [3, 3, 3]
    for spec in arm:
        points = second.store.curves(spec.id)
        assert [point.attempt for point in points] == [1] * steps[0] + [2] * (NUM_STEPS - steps[0])
        assert points[-1].metrics == second.outcomes[spec.id].metrics
