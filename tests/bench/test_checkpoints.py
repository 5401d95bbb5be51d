"""What checkpoints cost, on one quick trial of `sportcenter_weights`: side by side, report by report.

The trial runs in two processes at once, one with checkpoints and one without, of which only one computes at a time:
from one report to the next, in turn. Both do the same steps seconds apart, so that whatever else the machine does hits
both; their difference is what checkpoints cost, the files' way to the disk included. To see anything of it, one saves
at every report; each of its checkpoints is then worth so much of the default interval.
"""

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from ablate.plan.expand import expand
from ablate.store import Store
from ablate.study.load import load_study
from ablate.trial import Status, TrialSpec
from ablate.worker import run_trial
from ablate.worker.context import CHECKPOINT_INTERVAL_S

pytestmark = [pytest.mark.bench, pytest.mark.long, pytest.mark.timeout(3600)]

PROJECT = Path(__file__).parents[2]
NUM_PAIRS, NUM_DEFAULT_PAIRS = 5, 2
NUM_RESAMPLES = 10_000
MAX_OVERHEAD = 0.03

RUNNER = '''
"""Runs a trial and waits at each report; says what it took since the one before, and how long it saved."""

import json
import os
import sys
import time

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from ablate.store import Store
from ablate.worker import run_trial
from ablate.worker.context import TrialContext

saves_s, since_s = [], [0.0]
report, save = TrialContext.report, Store.save_checkpoint


def timed_report(self, step, metrics, *, state=None):
    def timed_state():
        since_s[0] = time.perf_counter()
        return state()

    return report(self, step, metrics, state=state and timed_state)


def timed_save(self, *arguments):
    save(self, *arguments)
    saves_s.append(time.perf_counter() - since_s[0])


def wait(last=None):
    if started:
        spent = [time.perf_counter() - started[0], time.process_time() - started[1]]
        print(json.dumps([*spent, sum(saves_s), len(saves_s)]), file=answers, flush=True)
    saves_s.clear()
    sys.stdin.readline()
    started[:] = time.perf_counter(), time.process_time()


TrialContext.report, Store.save_checkpoint = timed_report, timed_save
started = []
store, trial_id, interval_s = Store(sys.argv[1]), sys.argv[2], float(sys.argv[3])
attempt = store.claim(trial_id)
wait()
outcome = run_trial(
    store, trial_id, attempt, on_report=wait, stopping=lambda: False, checkpoint_interval_s=interval_s
)
print(json.dumps(str(outcome.status)), file=answers, flush=True)
'''


@dataclass(frozen=True)
class Segments:
    """What one side took from each report to the next; the time before the first is left out."""

    wall_s: np.ndarray
    cpu_s: np.ndarray
    saving_s: np.ndarray
    num_saves: np.ndarray


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
        attempt = store.claim(spec.id)
        outcome = run_trial(store, spec.id, attempt, on_report=lambda report: None, stopping=lambda: False)
        assert outcome.status is Status.FINISHED, outcome.error
    return store, arm


def side_by_side(prepared: tuple[Store, TrialSpec], intervals_s: tuple[float, float], folder: Path) -> list[Segments]:
    """Run the trial twice at once, each with its interval, in turn from report to report."""
    store, spec = prepared
    sides = []
    for number, interval_s in enumerate(intervals_s):
        copy = folder / f"{number}"
        subprocess.run(["cp", "-r", str(store.root), str(copy)], check=True)
        command = [sys.executable, "-c", RUNNER, str(copy), spec.id, str(interval_s)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        sides.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        )
    spent: list[list] = [[], []]
    try:
        while not all(answers and isinstance(answers[-1], str) for answers in spent):
            # Who comes second finds a machine that the first one warmed up, or wore out.
            for number in (0, 1) if len(spent[0]) % 2 else (1, 0):
                print(file=sides[number].stdin, flush=True)
                spent[number].append(json.loads(sides[number].stdout.readline()))
    finally:
        for side in sides:
            side.kill()
            side.communicate()
    assert len(spent[0]) == len(spent[1]) and spent[0][-1] == spent[1][-1] == Status.FINISHED
    return [Segments(*np.array(answers[1:-1], dtype=float).T) for answers in spent]


def joined(runs: list[list[Segments]]) -> tuple[Segments, Segments]:
    """Put the segments of several runs after one another, for each side."""
    names = Segments.__dataclass_fields__
    return tuple(
        Segments(**{name: np.concatenate([getattr(run[side], name) for run in runs]) for name in names})
        for side in (0, 1)
    )


def interval(values: np.ndarray, of=np.mean) -> tuple[float, float, float]:
    """Give the mean (or another number) of rows, and its 95 % interval by the bootstrap."""
    draws = np.random.default_rng(0).integers(len(values), size=(NUM_RESAMPLES, len(values)))
    found = [of(values[draw], axis=0) for draw in draws]
    return float(of(values, axis=0)), float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def ratio(values: np.ndarray, axis: int) -> float:
    """Give by how much the first column's sum is more than the second's."""
    with_, without = values.sum(axis=axis)
    return with_ / without - 1.0


def shown(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.3%} [{found[1]:.3%}, {found[2]:.3%}]"


def test_checkpoints_take_less_than_three_percent_of_a_trial(prepared, say, tmp_path):
    runs = []
    for number in range(NUM_PAIRS):
        (tmp_path / f"often-{number}").mkdir()
        runs.append(side_by_side(prepared, (0.0, math.inf), tmp_path / f"often-{number}"))
    often, never = joined(runs)
    assert len(often.wall_s) >= 40 and (often.num_saves == 1).all() and not never.num_saves.any()
    shares = {
        name: interval((mine - other) / CHECKPOINT_INTERVAL_S)
        for name, mine, other in (("wall", often.wall_s, never.wall_s), ("cpu", often.cpu_s, never.cpu_s))
    }
    saving = interval(often.saving_s / CHECKPOINT_INTERVAL_S)
    pairs = np.stack([often.wall_s, never.wall_s], axis=1)
    say(
        f"{NUM_PAIRS} pairs, {len(often.wall_s)} checkpoints, median of what they save in: "
        f"{median(often.saving_s) * 1e3:.1f} ms, at most {max(often.saving_s) * 1e3:.0f} ms; share at one per "
        f"{CHECKPOINT_INTERVAL_S:.0f} s: {shown(saving)} of the wall time spent in saving; side by side "
        f"{shown(shares['wall'])} of the wall time and {shown(shares['cpu'])} of the processor's; saved at every "
        f"report (every {median(never.wall_s):.2f} s) a trial takes {shown(interval(pairs, ratio))} longer"
    )
    assert saving[0] > 0.0
    assert max(saving[2], shares["wall"][2], shares["cpu"][2]) < MAX_OVERHEAD


def test_at_the_default_interval_a_trial_takes_as_long_as_without_checkpoints(prepared, say, tmp_path):
    runs = []
    for number in range(NUM_DEFAULT_PAIRS):
        (tmp_path / f"default-{number}").mkdir()
        runs.append(side_by_side(prepared, (CHECKPOINT_INTERVAL_S, math.inf), tmp_path / f"default-{number}"))
    default, never = joined(runs)
    found = {
        name: interval(np.stack(pair, axis=1), ratio)
        for name, pair in (("wall", (default.wall_s, never.wall_s)), ("cpu", (default.cpu_s, never.cpu_s)))
    }
    say(
        f"default interval, {NUM_DEFAULT_PAIRS} pairs of {never.wall_s.sum() / NUM_DEFAULT_PAIRS:.1f} s, "
        f"{int(default.num_saves.sum())} checkpoints: {shown(found['wall'])} more wall time, "
        f"{shown(found['cpu'])} more processor time"
    )
    assert found["cpu"][1] < MAX_OVERHEAD and found["wall"][1] < MAX_OVERHEAD
