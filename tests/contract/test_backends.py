"""Every backend keeps the same promises, and ends in the same bits."""

import json
import os
from collections.abc import Iterator
from itertools import pairwise

import pytest

from ablate.backends.attempts import Attempts
from ablate.backends.local import LocalBackend
from ablate.backends.ray_tune import RayTuneBackend
from ablate.errors import BackendError
from ablate.search.proposer import WAIT
from ablate.trial import Status


@pytest.fixture(scope="module")
def ray_cluster(contract_tasks) -> Iterator[None]:
    """One private cluster for the module: starting one takes seconds."""
    from ablate.backends.ray_cluster import connected, prepare_environment, scratch_folder

    prepare_environment()
    with scratch_folder(None) as folder, connected(None, num_cpus=2, folder=folder):
        yield


@pytest.fixture
def local() -> LocalBackend:
    return LocalBackend(checkpoint_interval_s=0.0)


@pytest.fixture
def ray_tune(ray_cluster) -> RayTuneBackend:
    return RayTuneBackend(checkpoint_interval_s=0.0, grace_s=20.0)


@pytest.fixture(params=["local", pytest.param("ray_tune", marks=pytest.mark.ray)])
def backend(request):
    return request.getfixturevalue(request.param)


def _decided(store, trial_id: str) -> bytes:
    """Give what the trial alone decides of its record."""
    record = json.loads((store.folder(trial_id) / "record.json").read_bytes())
    del record["run"]
    return json.dumps(record).encode()


class _StopAfter:
    """Asks for a stop once a number of points was reported."""

    def __init__(self, num_reports: int) -> None:
        self.num_left = num_reports

    def __call__(self, report=None) -> bool:
        if report is not None:
            self.num_left -= 1
        return self.num_left <= 0


def test_a_failing_trial_does_not_stop_the_others(backend, contract, tmp_path):
    good, bad = contract.spec("instant", index=1), contract.spec("raising", retries=0)
    other = contract.spec("instant", index=2)
    run = contract.run(backend, tmp_path, [good, bad, other])
    statuses = {trial_id: outcome.status for trial_id, outcome in run.outcomes.items()}
    assert statuses == {good.id: Status.FINISHED, bad.id: Status.FAILED, other.id: Status.FINISHED}


def test_a_failure_keeps_its_traceback_in_record_and_log(backend, contract, tmp_path):
    bad = contract.spec("raising", retries=0)
    run = contract.run(backend, tmp_path, [bad])
    error = run.store.record(bad.id).error
    assert error.endswith("ZeroDivisionError: no luck\n")
    assert "ablate/worker" not in error
    log = run.store.log_path(bad.id).read_text()
    assert "about to raise" in log
    assert error in log


def test_a_result_that_is_no_dict_of_numbers_is_a_failure(backend, contract, tmp_path):
    bad = contract.spec("wrong_result", retries=0)
    run = contract.run(backend, tmp_path, [bad])
    assert "contract_tasks:wrong_result returned: expected a dict of numbers, got list" in run.outcomes[bad.id].error


def test_a_trial_that_raises_is_tried_again_as_often_as_it_may(backend, contract, tmp_path):
    once, twice = contract.spec("second_time"), contract.spec("raising", retries=2)
    run = contract.run(backend, tmp_path, [once, twice])
    assert (run.outcomes[once.id].status, run.outcomes[once.id].attempt) == (Status.FINISHED, 2)
    assert (run.outcomes[twice.id].status, run.outcomes[twice.id].attempt) == (Status.FAILED, 3)
    assert len(run.told) == 2
    numbers = [attempt for event, trial_id, attempt in run.listener.events if (event, trial_id) == ("failed", twice.id)]
    assert numbers == [1, 2, 3]


def test_a_dependant_finds_the_files_of_its_stage(backend, contract, tmp_path):
    stage = contract.spec("stage", value=3.0)
    dependant = contract.spec("dependant", factor=2.0, needs={"base": stage.id})
    run = contract.run(backend, tmp_path, [dependant, stage])
    assert run.outcomes[dependant.id].metrics == {"product": 6.0}


def test_points_are_heard_in_order_between_start_and_end(backend, contract, tmp_path):
    spec = contract.spec("numbers", slope=0.1, num_steps=4, seed=1)
    run = contract.run(backend, tmp_path, [spec])
    assert [event for event, _, _ in run.listener.events] == ["started", *["reported"] * 4, "finished"]
    assert [report.step for report in run.listener.reports] == [1, 2, 3, 4]
    heard = [(report.step, dict(report.metrics)) for report in run.listener.reports]
    assert heard == [(point.step, dict(point.metrics)) for point in run.store.curves(spec.id)]


def test_what_a_trial_leaves_behind_does_not_reach_the_next(backend, contract, tmp_path):
    spec = contract.spec("numbers", slope=0.1, num_steps=1, seed=1)
    alone = contract.run(backend, tmp_path / "alone", [spec])
    after = contract.run(backend, tmp_path / "after", [contract.spec("litter"), spec])
    assert after.outcomes[spec.id].metrics == alone.outcomes[spec.id].metrics
    assert after.outcomes[spec.id].metrics["env"] == 0


def test_threads_follow_the_resources(backend, contract, tmp_path):
    specs = [contract.spec("numbers", slope=0.1, num_steps=1, seed=n, num_cpus=n) for n in (1, 2)]
    run = contract.run(backend, tmp_path, specs)
    assert [run.outcomes[spec.id].metrics["threads"] for spec in specs] == [1, 2]


def test_fifty_instant_trials_run_once_each(backend, contract, tmp_path):
    specs = [contract.spec("instant", index=index) for index in range(50)]
    run = contract.run(backend, tmp_path, specs)
    assert sorted(outcome.metrics["index"] for outcome in run.told) == list(range(50))
    assert {outcome.attempt for outcome in run.told} == {1}


def test_stopped_in_the_middle_and_started_again_ends_in_the_same_bits(backend, contract, tmp_path):
    spec = contract.spec("numbers", slope=0.3, num_steps=80, seed=3)
    undisturbed = contract.run(backend, tmp_path / "undisturbed", [spec])
    listener, stop = contract.Listener(), _StopAfter(5)
    listener.on_report = stop
    first = contract.run(backend, tmp_path / "stopped", [spec], listener=listener, stopping=stop)
    assert [outcome.status for outcome in first.told] == [Status.INTERRUPTED]
    assert first.store.finished([spec.id]) == set()
    assert len(first.store.curves(spec.id)) < 80
    again = contract.run(backend, tmp_path / "stopped", [spec])
    assert again.listener.reports[0].step > 1
    assert _decided(again.store, spec.id) == _decided(undisturbed.store, spec.id)
    points = [(point.step, point.metrics) for point in again.store.curves(spec.id)]
    assert points == [(point.step, point.metrics) for point in undisturbed.store.curves(spec.id)]


def test_nothing_starts_once_a_stop_was_asked_for(backend, contract, tmp_path):
    spec = contract.spec("instant", index=1)
    run = contract.run(backend, tmp_path, [spec], stopping=lambda: True)
    assert run.listener.events == []
    assert run.store.last_attempt(spec.id) == 0


def test_a_trial_finished_meanwhile_is_not_run_again(backend, contract, tmp_path):
    spec = contract.spec("instant", index=1)
    contract.run(backend, tmp_path, [spec])
    again = contract.run(backend, tmp_path, [spec])
    assert again.outcomes[spec.id].status is Status.FINISHED
    assert again.store.record(spec.id).run.attempt == 1


def test_a_proposer_that_waits_for_nothing_is_a_fault(backend, contract, tmp_path):
    proposer = contract.ListProposer([])
    proposer.ask = lambda: WAIT
    with pytest.raises(BackendError, match="waits although nothing is running"):
        backend.run(proposer, contract.Listener(), store=tmp_path, stopping=lambda: False)


@pytest.mark.parametrize("where", ["ask", "tell"])
def test_a_fault_of_the_proposer_comes_back_as_it_is(backend, contract, tmp_path, where):
    class OddError(Exception):
        pass

    def raising(*_):
        raise OddError("mine")

    spec = contract.spec("instant", index=1)
    proposer = contract.ListProposer([spec])
    setattr(proposer, where, raising)
    from ablate.store import Store

    Store(tmp_path).write_spec(spec)
    with pytest.raises(OddError, match="mine"):
        backend.run(proposer, contract.Listener(), store=tmp_path, stopping=lambda: False)


@pytest.mark.ray
def test_backends_end_in_the_same_bits(local, ray_tune, contract, tmp_path):
    stage = contract.spec("stage", value=0.1)
    specs = [
        contract.spec("litter"),
        *(contract.spec("numbers", slope=0.7, num_steps=3, seed=seed) for seed in range(3)),
        contract.spec("raising"),
        contract.spec("wrong_result"),
        stage,
        contract.spec("dependant", factor=0.3, needs={"base": stage.id}),
    ]
    ours = contract.run(local, tmp_path / "local", specs)
    theirs = contract.run(ray_tune, tmp_path / "ray", specs)
    for spec in specs:
        assert _decided(ours.store, spec.id) == _decided(theirs.store, spec.id)
        assert ours.store.curves(spec.id) == theirs.store.curves(spec.id)


@pytest.mark.ray
def test_a_process_that_dies_is_started_again_from_its_checkpoint(ray_tune, contract, tmp_path):
    spec = contract.spec("killed_once", num_steps=8, retries=0)
    run = contract.run(ray_tune, tmp_path, [spec])
    assert run.outcomes[spec.id].metrics == {"total": 18.0, "first": 4.0}
    assert [(outcome.status, outcome.attempt) for outcome in run.listener.outcomes] == [
        (Status.INTERRUPTED, 1),
        (Status.FINISHED, 2),
    ]
    steps = [point.step for point in run.store.curves(spec.id)]
    assert all(after == before + 1 for before, after in pairwise(steps))


@pytest.mark.ray
def test_a_worker_told_to_leave_saves_its_state_first(ray_tune, contract, tmp_path):
    spec = contract.spec("leaving_once", num_steps=5, retries=0)
    follower = contract.spec("instant", index=1)
    run = contract.run(ray_tune, tmp_path, [spec, follower])
    assert run.outcomes[spec.id].metrics == {"first": 2.0}
    assert run.outcomes[follower.id].status is Status.FINISHED


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


def test_a_trial_lost_again_and_again_without_progress_has_failed(contract, contract_tasks, tmp_path):
    from ablate.backends.attempts import MAX_LOSSES
    from ablate.store import Store

    store, spec, listener = Store(tmp_path), contract.spec("instant", index=1), contract.Listener()
    store.write_spec(spec)
    proposer = contract.ListProposer([spec])
    attempts = Attempts(proposer, listener, store=store, stopping=lambda: False)
    for _ in range(MAX_LOSSES):
        attempts.ended(attempts.claim(attempts.next()))
    assert proposer.told[0].status is Status.FAILED
    assert f"lost {MAX_LOSSES} times in a row" in store.record(spec.id).error


def test_scratch_folders_of_killed_runs_are_removed_and_those_in_use_are_kept(tmp_path):
    from ablate.backends.ray_cluster import scratch_folder

    dead = tmp_path / "ablate-ray-dead"
    dead.mkdir()
    (dead / "owner.lock").touch()
    with scratch_folder(tmp_path) as used, scratch_folder(tmp_path) as other:
        assert not dead.exists()
        assert used.exists()
        assert other != used
    assert os.listdir(tmp_path) == []
