"""Every backend keeps the same promises, and ends in the same bits."""

import json
import os
import re
import signal
from itertools import pairwise
from types import SimpleNamespace

import pytest

from ablate.backends.ray_tune import RayTuneBackend
from ablate.errors import AblateError, BackendError
from ablate.search.proposer import WAIT
from ablate.store import Store
from ablate.trial import Status, TrialSpec

NUM_STEPS = 80


@pytest.fixture(scope="module")
def trials(contract) -> SimpleNamespace:
    """One of each kind, and many that are over at once."""
    stage = contract.spec("stage", value=0.1)
    return SimpleNamespace(
        litter=contract.spec("litter"),
        numbers=contract.spec("numbers", slope=0.3, num_steps=NUM_STEPS, seed=3),
        stage=stage,
        dependant=contract.spec("dependant", factor=0.3, needs={"base": stage.id}),
        raising=contract.spec("raising", retries=2),
        second_time=contract.spec("second_time"),
        wrong_result=contract.spec("wrong_result", retries=0),
        wide=contract.spec("numbers", slope=0.7, num_steps=2, seed=4, num_cpus=2),
        instants=[contract.spec("instant", index=index) for index in range(50)],
    )


@pytest.fixture(scope="module")
def all_run(contract, trials, tmp_path_factory):
    """Run all of them on a backend, once for the module."""
    runs = {}

    def run_on(name: str, backend):
        if name not in runs:
            order = [trials.dependant, trials.litter, trials.numbers, trials.raising, trials.second_time]
            order += [trials.wrong_result, trials.stage, *trials.instants, trials.wide]
            runs[name] = contract.run(backend, tmp_path_factory.mktemp(name), order)
        return runs[name]

    return run_on


@pytest.fixture
def done(backend, all_run):
    """What came of all of them on the backend of the test."""
    return all_run(type(backend).__name__, backend)


def _decided(store, trial_id: str) -> str:
    """Give what the trial alone decides of its record, to the last bit."""
    record = store.record(trial_id)
    return json.dumps([record.status, record.metrics, record.error])


class _StopAfter:
    """Asks for a stop once a number of points was reported."""

    def __init__(self, num_reports: int) -> None:
        self.num_left = num_reports

    def __call__(self, report=None) -> bool:
        if report is not None:
            self.num_left -= 1
        return self.num_left <= 0


def test_a_failing_trial_does_not_stop_the_others(done, trials):
    statuses = [outcome.status for outcome in done.outcomes.values()]
    assert (statuses.count(Status.FINISHED), statuses.count(Status.FAILED)) == (56, 2)
    assert done.outcomes[trials.raising.id].status is Status.FAILED


def test_every_trial_is_told_once(done):
    assert len(done.told) == len(done.outcomes) == 58


def test_a_failure_keeps_its_traceback_in_record_and_log(done, trials):
    error = done.store.record(trials.raising.id).error
    assert error.endswith("ZeroDivisionError: no luck\n")
    assert "ablate/worker" not in error
    log = done.store.log_path(trials.raising.id).read_text()
    assert "about to raise" in log
    assert error in log


def test_a_result_that_is_no_dict_of_numbers_is_a_failure(done, trials):
    error = done.outcomes[trials.wrong_result.id].error
    assert "contract_tasks:wrong_result returned: expected a dict of numbers, got list" in error


def test_a_trial_that_raises_is_tried_again_as_often_as_it_may(done, trials):
    luckier, unlucky = done.outcomes[trials.second_time.id], done.outcomes[trials.raising.id]
    assert (luckier.status, luckier.attempt) == (Status.FINISHED, 2)
    assert (unlucky.status, unlucky.attempt) == (Status.FAILED, 3)
    failed = [outcome.attempt for outcome in done.listener.outcomes if outcome.trial_id == trials.raising.id]
    assert failed == [1, 2, 3]


def test_a_dependant_finds_the_files_of_its_stage(done, trials):
    assert done.outcomes[trials.dependant.id].metrics == {"product": 0.3 * 0.1}


def test_points_are_heard_in_order_between_start_and_end(done, trials):
    numbers = trials.numbers.id
    events = [event for event, trial_id, _ in done.listener.events if trial_id == numbers]
    assert events == ["started", *["reported"] * NUM_STEPS, "finished"]
    heard = [(point.step, point.metrics) for point in done.listener.reports if point.trial_id == numbers]
    assert heard == [(point.step, point.metrics) for point in done.store.curves(numbers)]
    assert [step for step, _ in heard] == list(range(1, NUM_STEPS + 1))


def test_what_a_trial_leaves_behind_does_not_reach_the_others(done, trials):
    assert done.outcomes[trials.litter.id].status is Status.FINISHED
    for spec in (trials.numbers, trials.wide):
        metrics = done.outcomes[spec.id].metrics
        assert (metrics["env"], metrics["bits"]) == (0, 4)


def test_threads_follow_the_resources(done, trials):
    assert done.outcomes[trials.numbers.id].metrics["threads"] == 1
    assert done.outcomes[trials.wide.id].metrics["threads"] == 2


def test_fifty_instant_trials_run_once_each(done, trials):
    outcomes = [done.outcomes[spec.id] for spec in trials.instants]
    assert [outcome.metrics["index"] for outcome in outcomes] == list(range(50))
    assert {outcome.attempt for outcome in outcomes} == {1}


def test_a_finished_trial_that_is_proposed_again_is_not_run_again(backend, done, contract, trials):
    again = contract.run(backend, done.store.root, [trials.instants[0]])
    assert again.told[0].status is Status.FINISHED
    assert again.told[0].metrics == {"index": 0.0}
    assert done.store.record(trials.instants[0].id).run.attempt == 1


def test_stopped_in_the_middle_and_started_again_ends_in_the_same_bits(backend, done, contract, trials, tmp_path):
    spec = trials.numbers
    listener, stop = contract.Listener(), _StopAfter(5)
    listener.on_report = stop
    first = contract.run(backend, tmp_path, [spec], listener=listener, stopping=stop)
    assert [outcome.status for outcome in first.told] == [Status.INTERRUPTED]
    assert first.store.finished([spec.id]) == set()
    assert len(first.store.curves(spec.id)) < NUM_STEPS
    again = contract.run(backend, tmp_path, [spec])
    assert again.listener.reports[0].step > 1
    assert _decided(again.store, spec.id) == _decided(done.store, spec.id)
    points = [(point.step, point.metrics) for point in again.store.curves(spec.id)]
    assert points == [(point.step, point.metrics) for point in done.store.curves(spec.id)]


def test_a_hopeless_trial_ends_as_pruned_with_the_report_that_showed_it(backend, contract, trials, tmp_path):
    hopeless, other = trials.numbers, contract.spec("numbers", slope=0.3, num_steps=20, seed=5)
    after = contract.spec("instant", index=0)
    run = contract.run(
        backend,
        tmp_path,
        [hopeless, other, after],
        is_hopeless=lambda report: report.trial_id == hopeless.id and report.step >= 7,
    )
    assert {id_: str(outcome.status) for id_, outcome in run.outcomes.items()} == {
        hopeless.id: "pruned",
        other.id: "finished",
        after.id: "finished",
    }
    assert len(run.told) == 3
    record = run.store.record(hopeless.id)
    assert (record.status, record.metrics, record.run.attempt) == (Status.PRUNED, {}, 1)
    assert record.run.seconds > 0
    assert [point.step for point in run.store.curves(hopeless.id)] == list(range(1, 8))
    assert run.store.load_checkpoint(hopeless.id) is None
    assert run.store.finished([hopeless.id]) == set()
    again = contract.run(backend, tmp_path, [hopeless])
    assert again.told[0].status is Status.FINISHED  # for somebody who wants it all the same


def test_nothing_starts_once_a_stop_was_asked_for(backend, contract, trials, tmp_path):
    run = contract.run(backend, tmp_path, [trials.stage], stopping=lambda: True)
    assert run.listener.events == []
    assert run.store.last_attempt(trials.stage.id) == 0


def test_a_proposer_that_waits_for_nothing_is_a_fault(backend, contract, tmp_path):
    proposer = contract.ListProposer([])
    proposer.ask = lambda: WAIT
    with pytest.raises(BackendError, match="waits although nothing is running"):
        backend.run(proposer, contract.Listener(), store=tmp_path, stopping=lambda: False)


@pytest.mark.parametrize("where", ["ask", "tell"])
def test_a_fault_of_the_proposer_comes_back_as_it_is(backend, contract, trials, tmp_path, where):
    class OddError(Exception):
        pass

    def raising(*_):
        raise OddError("mine")

    proposer = contract.ListProposer([trials.stage])
    setattr(proposer, where, raising)
    Store(tmp_path).write_spec(trials.stage)
    with pytest.raises(OddError, match="mine"):
        backend.run(proposer, contract.Listener(), store=tmp_path, stopping=lambda: False)


@pytest.mark.ray
def test_backends_end_in_the_same_bits(local, ray_tune, all_run):
    ours, theirs = all_run("LocalBackend", local), all_run("RayTuneBackend", ray_tune)
    for trial_id in ours.outcomes:
        assert _decided(ours.store, trial_id) == _decided(theirs.store, trial_id)
        assert ours.store.curves(trial_id) == theirs.store.curves(trial_id)


def test_a_trial_over_its_time_has_failed_and_is_not_tried_again(backend, contract, tmp_path):
    spec = contract.spec("stubborn", retries=2, time_limit_s=0.5)
    run = contract.run(backend, tmp_path, [spec])
    assert [(outcome.status, outcome.attempt) for outcome in run.told] == [(Status.FAILED, 1)]
    assert run.store.record(spec.id).error == "exceeded its time limit of 0.5 s"
    assert run.store.curves(spec.id)


def test_a_trial_over_its_memory_has_failed_and_is_not_tried_again(backend, contract, tmp_path):
    spec = contract.spec("stubborn", retries=2, memory_limit_mib=50)
    run = contract.run(backend, tmp_path, [spec])
    assert [(outcome.status, outcome.attempt) for outcome in run.told] == [(Status.FAILED, 1)]
    assert re.fullmatch(r"exceeded its memory limit of 50 MiB \(it used \d+\)", run.store.record(spec.id).error)


def test_a_trial_within_its_limits_is_left_alone(backend, contract, tmp_path):
    spec = contract.spec("instant", index=1, time_limit_s=100, memory_limit_mib=100_000)
    assert contract.run(backend, tmp_path, [spec]).told[0].status is Status.FINISHED


@pytest.mark.ray
def test_a_deaf_trial_over_its_limit_is_ended_and_its_neighbour_goes_on(ray_tune, contract, trials, tmp_path):
    deaf, after = contract.spec("deaf", time_limit_s=0.5), trials.stage
    run = contract.run(ray_tune, tmp_path, [deaf, after])
    assert run.outcomes[deaf.id].status is Status.FAILED
    assert (run.outcomes[deaf.id].attempt, run.outcomes[deaf.id].error) == (1, "exceeded its time limit of 0.5 s")
    assert run.outcomes[after.id].status is Status.FINISHED


@pytest.mark.ray
def test_a_worker_that_gets_sigterm_saves_its_state_and_its_trial_goes_on_elsewhere(ray_tune, contract, tmp_path):
    spec, listener, told = contract.spec("endless", retries=0), contract.Listener(), []

    def tell_to_leave(report) -> None:
        if report.step >= 3 and not told:
            told.append(report)
            os.kill(int(report.metrics["pid"]), signal.SIGTERM)

    listener.on_report = tell_to_leave
    contract.run(ray_tune, tmp_path, [spec], listener=listener)
    first, last = listener.outcomes[0], listener.outcomes[-1]
    assert (first.status, first.attempt, last.status) == (Status.INTERRUPTED, 1, Status.FINISHED)
    # The interval between checkpoints is zero here, so the saved step is the last one that was reported.
    assert last.metrics["first"] == listener.reports[-1].step >= told[0].step
    assert {report.attempt for report in listener.reports} == {1}


@pytest.mark.ray
def test_a_node_without_the_tasks_package_ends_the_run_with_what_to_do(ray_tune, contract, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def task() -> dict[str, float]:\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = TrialSpec(task="only_here:task", parameters={}, seed=None)
    with pytest.raises(BackendError, match="cannot import 'only_here', which only_here:task is in: install"):
        contract.run(ray_tune, tmp_path / "store", [spec])
    assert Store(tmp_path / "store").last_attempt(spec.id) == 1


def test_a_store_that_cannot_be_written_ends_the_run_with_the_reason(backend, contract, tmp_path):
    spec = contract.spec("spoils_the_store")
    with pytest.raises(AblateError, match=spec.id):
        contract.run(backend, tmp_path, [spec])
    assert Store(tmp_path).last_attempt(spec.id) == 1


@pytest.mark.ray
def test_a_lost_process_and_one_told_to_leave_go_on_from_their_checkpoints(ray_tune, contract, trials, tmp_path):
    killed = contract.spec("killed_once", num_steps=8, retries=0)
    leaving = contract.spec("leaving_once", retries=0)
    run = contract.run(ray_tune, tmp_path, [killed, leaving, trials.stage])
    assert run.outcomes[killed.id].metrics == {"total": 18.0, "first": 4.0}
    assert run.outcomes[leaving.id].metrics == {"first": run.store.curves(leaving.id)[-1].step}
    assert run.outcomes[trials.stage.id].status is Status.FINISHED
    for spec in (killed, leaving):
        outcomes = [
            (outcome.status, outcome.attempt) for outcome in run.listener.outcomes if outcome.trial_id == spec.id
        ]
        assert outcomes[0] == (Status.INTERRUPTED, 1)
        assert outcomes[-1][0] is Status.FINISHED
        assert all(after.step == before.step + 1 for before, after in pairwise(run.store.curves(spec.id)))


@pytest.mark.ray
def test_a_deaf_trial_is_ended_when_its_time_is_over(ray_cluster, contract, tmp_path):
    spec = contract.spec("deaf")
    listener, stop = contract.Listener(), _StopAfter(1)
    listener.on_report = stop
    backend = RayTuneBackend(grace_s=0.1)
    run = contract.run(backend, tmp_path, [spec], listener=listener, stopping=stop)
    assert [outcome.status for outcome in run.told] == [Status.INTERRUPTED]


@pytest.mark.ray
def test_more_than_the_machine_has_is_refused_with_what_to_do(ray_tune, contract, tmp_path):
    with pytest.raises(BackendError, match=r"asks for 64 CPUs and this machine has 2: lower resources\.num_cpus"):
        contract.run(ray_tune, tmp_path, [contract.spec("instant", index=1, num_cpus=64)])
