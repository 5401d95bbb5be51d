import pickle
from types import SimpleNamespace

import pytest

from ablate.backends.attempts import Attempts
from ablate.backends.ray_driver import LOOK_AHEAD, Deadline, Placement, ProposerSearcher, Run, Watch
from ablate.errors import BackendError
from ablate.search.proposer import DONE, WAIT
from ablate.store import Store
from ablate.trial import Resources, TrialSpec

FINISHED = "FINISHED"


class Listener:
    def started(self, spec, attempt): ...

    def reported(self, report): ...

    def ended(self, spec, outcome): ...

    def close(self): ...


class FakeNodes:
    """A cluster of four CPUs."""

    def __init__(self, **more: float) -> None:
        self.capacity = {"CPU": 4.0, **more}
        self.is_head_lost = False
        self.was_asked_to_stop = False

    def ask_to_stop(self) -> None:
        self.was_asked_to_stop = True


class Unlimited:
    """Proposes trials without end."""

    def __init__(self, num_cpus: float) -> None:
        self.resources = Resources(num_cpus=num_cpus)
        self.num_asked = 0

    def ask(self):
        self.num_asked += 1
        return TrialSpec(task="m:f", parameters={"n": self.num_asked}, seed=None, resources=self.resources)

    def reported(self, report):
        return False

    def tell(self, outcome): ...


@pytest.fixture
def make_run(tmp_path):
    def make(proposer, *, stopping=lambda: False, **options) -> Run:
        settings = {"store": str(tmp_path), "stop_file": str(tmp_path / "stop"), "notices": "key"}
        attempts = Attempts(proposer, Listener(), store=Store(tmp_path), stopping=stopping)
        defaults = {"nodes": FakeNodes(), "faults": [], "may_grow": False, "grace_s": 0.0, "start_timeout_s": 0.0}
        return Run(attempts=attempts, stopping=stopping, settings=settings, **{**defaults, **options})

    return make


@pytest.mark.parametrize("num_cpus", [1.0, 2.0, 4.0])
def test_no_more_is_handed_over_than_the_cluster_can_soon_take(make_run, num_cpus):
    searcher = ProposerSearcher(make_run(Unlimited(num_cpus)))
    handed = 0
    while searcher.suggest(f"t{handed}") is not None:
        handed += 1
    assert handed == LOOK_AHEAD * 4 / num_cpus
    searcher.on_trial_complete("t0", error=True)
    assert searcher.suggest("next") is not None


def test_only_id_attempt_resources_and_places_travel(make_run, tmp_path):
    config = ProposerSearcher(make_run(Unlimited(1.0))).suggest("t")
    assert set(config) == {"attempts", "task", "num_cpus", "num_gpus", "store", "stop_file", "notices"}
    assert [attempt for _, attempt in config["attempts"]] == [1]


@pytest.mark.parametrize("may_grow", [False, True])
def test_what_can_never_fit_is_refused_unless_the_cluster_may_grow(make_run, may_grow):
    run = make_run(Unlimited(8.0), may_grow=may_grow)
    answer = ProposerSearcher(run).suggest("t")
    assert (answer == FINISHED) is not may_grow
    assert isinstance(run.error, BackendError) is not may_grow


def test_a_trial_may_ask_for_a_gpu_only_where_there_is_one(make_run):
    proposer = Unlimited(1.0)
    proposer.resources = Resources(num_gpus=0.5)
    with_gpu, without = make_run(proposer, nodes=FakeNodes(GPU=1.0)), make_run(proposer)
    assert ProposerSearcher(with_gpu).suggest("t")["num_gpus"] == 0.5
    assert ProposerSearcher(without).suggest("t") == FINISHED
    assert "asks for 0.5 GPUs and this machine has 0" in str(without.error)


def test_wait_is_not_now_and_done_is_never_again(make_run):
    proposer = Unlimited(1.0)
    searcher = ProposerSearcher(make_run(proposer))
    searcher.suggest("t0")
    proposer.ask = lambda: WAIT
    assert searcher.suggest("t1") is None
    proposer.ask = lambda: DONE
    assert searcher.suggest("t1") is None


def test_nothing_of_ours_enters_a_snapshot(make_run):
    run = make_run(Unlimited(1.0))
    for ours in (ProposerSearcher(run), Watch(run), Deadline(run), Placement(run)):
        assert type(pickle.loads(pickle.dumps(ours))) is object


def test_a_stop_is_written_down_once_and_the_grace_ends_everything(make_run, tmp_path):
    run = make_run(Unlimited(1.0), stopping=lambda: True, grace_s=-1.0)
    deadline = Deadline(run)
    assert not deadline.stop_all()
    Watch(run).on_step_begin(1, [])
    assert (tmp_path / "stop").exists()
    assert run.nodes.was_asked_to_stop
    assert deadline.stop_all()


def test_nothing_starting_in_time_is_an_error_with_what_was_asked_for(make_run):
    run = make_run(Unlimited(1.0), start_timeout_s=-1.0)
    ProposerSearcher(run).suggest("t")
    watch = Watch(run)
    watch.on_step_begin(1, [])
    assert "no trial started within" in str(run.error)
    assert "m:f asks for 1 CPUs and 0 GPUs, the cluster has 4 and 0" in str(run.error)
    assert Deadline(run).stop_all()


def _controller(*trials: tuple[str, float]) -> SimpleNamespace:
    made = [
        SimpleNamespace(name=index, status=status, config={"num_cpus": cpus})
        for index, (status, cpus) in enumerate(trials)
    ]
    return SimpleNamespace(get_trials=lambda: made)


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [
        ([("PENDING", 1.0)] * 6, 3),
        ([("RUNNING", 1.0), ("RUNNING", 1.0), ("RUNNING", 1.0), ("PENDING", 1.0)], 3),
        ([("RUNNING", 1.0), ("RUNNING", 1.0), ("PENDING", 1.0), ("PENDING", 1.0)], 3),
        ([("TERMINATED", 1.0), ("PENDING", 4.0)], 1),
        ([("PENDING", 2.0), ("PENDING", 2.0), ("PENDING", 2.0)], 1),
        ([("PENDING", 1.0)], None),
    ],
)
def test_a_free_process_goes_to_the_first_trial_that_has_no_room_of_its_own(make_run, trials, chosen):
    found = Placement(make_run(Unlimited(1.0))).choose_trial_to_run(_controller(*trials))
    assert (None if found is None else found.name) == chosen


def test_nodes_that_come_and_go_change_how_much_is_handed_over(make_run):
    run = make_run(Unlimited(1.0), may_grow=True)
    searcher = ProposerSearcher(run)
    handed = [searcher.suggest(f"t{number}") for number in range(9)]
    assert handed.count(None) == 1
    run.nodes.capacity = {"CPU": 5.0}
    assert searcher.suggest("t9") is not None
    run.nodes.capacity = {}
    assert searcher.suggest("t10") is None


def test_a_head_that_is_gone_ends_the_run_with_what_to_do(make_run):
    run = make_run(Unlimited(1.0))
    run.nodes.is_head_lost = True
    Watch(run).on_step_begin(1, [])
    assert "head of the Ray cluster does not answer any more" in str(run.error)
    assert "the same command goes on" in str(run.error)
    assert Deadline(run).stop_all()


def test_a_node_that_cannot_run_the_study_ends_the_run_with_what_it_lacks(make_run):
    run = make_run(Unlimited(1.0))
    Watch(run).on_trial_result(1, [], None, {"attempt": 1, "unusable": "the node n cannot import 'm'"})
    assert isinstance(run.error, BackendError)
    assert str(run.error) == "the node n cannot import 'm'"


def test_a_node_without_the_platform_is_told_from_a_process_that_died(make_run, tmp_path):
    run, file = make_run(Unlimited(1.0)), tmp_path / "error.txt"
    trial = SimpleNamespace(error_file=str(file))
    file.write_text("The actor died: SIGKILL")
    Watch(run).on_trial_error(1, [], trial)
    assert run.error is None
    file.write_text(
        "ray::A.train() (pid=7, ip=10.0.0.7)\nThe actor failed to import on the worker.\nImportError: no x\n"
    )
    Watch(run).on_trial_error(1, [], trial)
    assert str(run.error).startswith("the node 10.0.0.7 cannot import the platform (ImportError: no x): install")
