import json
import logging
import os
import random
import sys
import threading
import warnings

import numpy as np
import pytest
import torch

from ablate.errors import StoreError
from ablate.trial import Resources, Status


def test_the_record_holds_what_the_task_returned_and_where_it_ran(bench):
    def task() -> dict[str, float]:
        return {"a": 1, "b": np.float32(0.5), "c": torch.tensor(2.0)}

    spec = bench.spec(task)
    outcome = bench.run(spec)
    record = bench.store.record(spec.id)
    assert outcome == record.outcome
    assert dict(record.metrics) == {"a": 1.0, "b": 0.5, "c": 2.0}
    assert (record.status, record.error, record.run.attempt) == (Status.FINISHED, None, 1)
    assert record.run.versions["torch"] == torch.__version__
    assert record.run.seconds > 0


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        (None, "expected a dict of numbers, got NoneType"),
        ({"x": "1"}, "got str '1' at 'x'"),
        ({"x": torch.zeros(2)}, "got Tensor"),
        ({1: 1.0}, "at 1"),
    ],
)
def test_another_result_than_a_dict_of_numbers_has_failed(bench, result, complaint):
    def task() -> dict[str, float]:
        return result

    spec = bench.spec(task)
    outcome = bench.run(spec)
    assert outcome.status is Status.FAILED
    assert complaint in outcome.error
    assert complaint in bench.log(spec)


def test_a_study_may_ask_for_repeatable_operations_only(bench):
    def task() -> dict[str, float]:
        return {"strict": torch.are_deterministic_algorithms_enabled()}

    assert bench.run(bench.spec(task, resources=Resources(deterministic=True))).metrics == {"strict": 1.0}
    assert bench.run(bench.spec(task, seed=1)).metrics == {"strict": 0.0}


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3)], ids=["raises", "exits"])
def test_a_task_that_raises_has_failed_with_its_traceback(bench, error):
    def task() -> dict[str, float]:
        raise error

    spec = bench.spec(task)
    outcome = bench.run(spec)
    assert outcome.status is Status.FAILED
    assert outcome.error.startswith('Traceback (most recent call last):\n  File "' + __file__)
    assert outcome.error in bench.log(spec)


def test_a_task_that_is_not_there_has_failed(bench):
    def task() -> dict[str, float]:
        return {}

    spec = bench.spec(task)
    del bench.module.task
    outcome = bench.run(spec)
    assert outcome.status is Status.FAILED
    assert "bench_tasks" in outcome.error


def test_a_finished_trial_is_not_run_again(bench):
    runs = []

    def task() -> dict[str, float]:
        runs.append(1)
        return {"x": 1.0}

    spec = bench.spec(task)
    assert bench.run(spec) == bench.run(spec)
    assert len(runs) == 1


def test_an_overtaken_attempt_does_not_start(bench):
    def task() -> dict[str, float]:
        raise AssertionError("must not run")

    spec = bench.spec(task)
    bench.store.claim(spec.id)
    bench.store.claim(spec.id)
    from ablate.worker import run_trial

    with pytest.raises(StoreError, match="attempt 1 may not write"):
        run_trial(bench.store, spec.id, 1, on_report=bench.reports.append, stopping=lambda: False)


def test_an_attempt_overtaken_in_its_middle_ends_without_a_record(bench):
    def task(trial: object) -> dict[str, float]:
        bench.store.claim(spec.id)
        trial.report(1, {"x": 1.0})
        return {"x": 1.0}

    spec = bench.spec(task)
    with pytest.raises(StoreError, match="the newest is 2"):
        bench.run(spec)
    assert bench.store.record(spec.id) is None
    assert bench.reports == []


def test_output_of_every_kind_and_thread_goes_to_the_log_alone(bench, capsys):
    def task() -> dict[str, float]:
        print("printed")
        print("complained", file=sys.stderr)
        logging.getLogger("mine").info("logged")
        warnings.warn("warned", stacklevel=1)
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        return {}

    spec = bench.spec(task)
    bench.run(spec)
    log = bench.log(spec)
    for text in ("printed", "complained", "INFO mine: logged", "warned", "from a thread"):
        assert text in log
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


def test_what_others_print_in_the_meantime_stays_out_of_the_log(bench, capsys):
    may_print, has_printed = threading.Event(), threading.Event()

    def driver() -> None:
        may_print.wait()
        print("from the driver")
        logging.getLogger("driver").warning("of the driver")
        has_printed.set()

    def task(trial: object) -> dict[str, float]:
        may_print.set()
        has_printed.wait()
        trial.report(1, {"x": 1.0})
        return {}

    thread = threading.Thread(target=driver)
    thread.start()
    spec = bench.spec(task)
    bench.reports = type("Loud", (list,), {"append": lambda self, report: print("heard")})()
    bench.run(spec)
    thread.join()
    assert "driver" not in bench.log(spec)
    assert "heard" not in bench.log(spec)
    assert capsys.readouterr().out == "from the driver\nheard\n"


def test_every_trial_starts_from_the_same_state(bench, tmp_path):
    found = []

    def task(index: int) -> dict[str, float]:
        found.append(
            (
                random.random(),
                float(np.random.rand()),
                torch.rand(3).tolist(),
                torch.get_num_threads(),
                torch.get_default_dtype(),
                torch.are_deterministic_algorithms_enabled(),
                torch.backends.cudnn.benchmark,
                torch.is_autocast_enabled("cpu"),
                torch.is_grad_enabled(),
                "LEFT" in os.environ,
                "nowhere" in sys.path,
                os.getcwd(),
                len(logging.getLogger().handlers),
            )
        )
        os.environ["LEFT"] = "x"
        sys.path.append("nowhere")
        os.chdir(tmp_path)
        logging.getLogger().addHandler(logging.NullHandler())
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = True
        torch.set_autocast_enabled("cpu", True)
        torch.set_grad_enabled(False)
        return {}

    for index in (1, 2):
        bench.run(bench.spec(task, parameters={"index": index}))
    assert found[0] == found[1]


def test_a_local_trial_leaves_the_driver_as_it_was(bench):
    def task() -> dict[str, float]:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        random.seed(1)
        return {}

    before = random.getstate(), torch.get_num_threads(), torch.get_default_dtype(), dict(os.environ)
    bench.run(bench.spec(task, resources=Resources(num_cpus=3.0)))
    assert (random.getstate(), torch.get_num_threads(), torch.get_default_dtype(), dict(os.environ)) == before


def test_the_seed_decides_the_global_generators(bench):
    drawn = {}

    def task(seed: int) -> dict[str, float]:
        drawn.setdefault(seed, []).append((random.random(), float(np.random.rand()), float(torch.rand(()))))
        return {}

    for seed in (1, 2):
        bench.run(bench.spec(task, seed=seed))
    assert drawn[1] != drawn[2]


def test_records_of_the_same_trial_are_equal_but_for_the_run(bench, tmp_path):
    def task(seed: int) -> dict[str, float]:
        return {"x": random.random()}

    def decided() -> dict[str, object]:
        path = bench.store.folder(spec.id) / "record.json"
        return {key: value for key, value in json.loads(path.read_text()).items() if key != "run"}

    spec = bench.spec(task, seed=1)
    bench.run(spec)
    first = decided()
    (bench.store.folder(spec.id) / "record.json").unlink()
    bench.run(spec)
    assert decided() == first
