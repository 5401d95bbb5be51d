"""What checkpoints cost: one quick trial of `sportcenter_weights` with them and without, side by side."""

import math
import time
from pathlib import Path
from statistics import median

import pytest

from ablate.plan.expand import expand
from ablate.store import Store
from ablate.study.load import load_study
from ablate.trial import Status, TrialSpec
from ablate.worker import run_trial
from ablate.worker.context import CHECKPOINT_INTERVAL_S

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

PROJECT = Path(__file__).parents[2]
NUM_PAIRS = 5
MAX_OVERHEAD = 0.03


@pytest.fixture
def say(capsys):
    """Print a figure although pytest captures what passing tests print."""

    def write(text):
        with capsys.disabled():
            print(f"\n{text}")

    return write


@pytest.fixture
def prepared(tmp_path, monkeypatch) -> tuple[Store, TrialSpec]:
    """A store in which all that the first arm's first trial needs is finished."""
    monkeypatch.chdir(PROJECT)
    plan = expand(load_study(PROJECT / "studies" / "sportcenter_weights.yaml"))
    store = Store(tmp_path / "runs")
    arm = next(trial.spec for trial in plan.trials if trial.role == "arm")
    wanted: list[TrialSpec] = []

    def need(spec: TrialSpec) -> None:
        for trial_id in spec.needs.values():
            need(plan.specs[trial_id])
        if spec not in wanted:
            wanted.append(spec)

    need(arm)
    for spec in wanted:
        store.write_spec(spec)
    for spec in wanted[:-1]:
        _run(store, spec, CHECKPOINT_INTERVAL_S)
    return store, arm


def _run(store: Store, spec: TrialSpec, interval_s: float) -> tuple[float, float]:
    """Run a trial from its beginning; give its seconds by the wall and by the processor."""
    if store.record(spec.id) is not None:
        store.put_aside(spec.id)
    attempt = store.claim(spec.id)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    outcome = run_trial(
        store,
        spec.id,
        attempt,
        on_report=lambda report: None,
        stopping=lambda: False,
        checkpoint_interval_s=interval_s,
    )
    assert outcome.status is Status.FINISHED, outcome.error
    return time.perf_counter() - start_s, time.process_time() - start_cpu_s


def _checkpoint_seconds(store: Store, spec: TrialSpec, monkeypatch) -> list[float]:
    """Run a trial that saves at every report, and give what each checkpoint took, its state included."""
    from ablate.worker.context import TrialContext

    found: list[float] = []
    report = TrialContext.report

    def timed(self, step, metrics, *, state=None):
        start_s = time.perf_counter()
        report(self, step, metrics, state=state)
        if state is not None:
            found.append(time.perf_counter() - start_s)

    with monkeypatch.context() as patch:
        patch.setattr(TrialContext, "report", timed)
        _run(store, spec, 0.0)
    return found


def test_checkpoints_take_less_than_three_percent_of_a_trial(prepared, say, monkeypatch):
    store, spec = prepared
    _run(store, spec, math.inf)  # libraries are loaded, files are in the cache
    pairs = [
        [_run(store, spec, interval_s) for interval_s in (CHECKPOINT_INTERVAL_S, math.inf)] for _ in range(NUM_PAIRS)
    ]
    (wall_s, cpu_s), (bare_wall_s, bare_cpu_s) = (
        [median(pair[side][clock] for pair in pairs) for clock in (0, 1)] for side in (0, 1)
    )
    costs_s = _checkpoint_seconds(store, spec, monkeypatch)
    share = median(costs_s) / CHECKPOINT_INTERVAL_S
    say(
        f"one trial, medians of {NUM_PAIRS} side by side: {wall_s:.2f} s with checkpoints, {bare_wall_s:.2f} s without "
        f"({wall_s / bare_wall_s - 1:+.1%}; processor {cpu_s / bare_cpu_s - 1:+.1%}); one checkpoint: median "
        f"{median(costs_s) * 1e3:.0f} ms, at most {max(costs_s) * 1e3:.0f} ms of {len(costs_s)}: "
        f"{share:.2%} of the interval of {CHECKPOINT_INTERVAL_S:.0f} s"
    )
    assert len(costs_s) > 3
    assert share < MAX_OVERHEAD
    assert cpu_s / bare_cpu_s - 1 < MAX_OVERHEAD
