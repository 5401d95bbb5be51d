import io
from dataclasses import replace

import pytest
from rich.console import Console

from ablate.run.progress import HEARTBEAT_S, Progress
from ablate.study.model import Adaptive
from ablate.trial import Report, Status


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _console(*, is_terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=200, color_system=None)


def _text(console: Console) -> str:
    return console.file.getvalue()


def _progress(toy, clock, *, is_terminal: bool = False):
    console = _console(is_terminal=is_terminal)
    return Progress(toy.plan, store=toy.store, console=console, clock=clock), console


def _report(trial_id: str, step: int, **metrics: float) -> Report:
    return Report(trial_id=trial_id, attempt=1, step=step, metrics=metrics)


def test_without_a_terminal_each_end_is_one_line(toy, clock):
    progress, console = _progress(toy, clock)
    for label in ("pretrained", "adapted seed 0"):
        spec = toy.plan.specs[toy.ids[label]]
        progress.started(spec, 1)
        progress.ended(spec, replace(toy.ends(spec.id, seconds=3.0), metrics={"start": 4.0}))
    assert _text(console).splitlines() == [
        "[1/9] pretrained: finished in 3 s; start 4",
        "[2/9] adapted seed 0: finished in 3 s; start 4",
    ]


def test_where_results_decide_how_many_seeds_there_are_every_number_is_an_upper_bound(toy, clock):
    study = replace(toy.plan.study, adaptive=Adaptive(min=1, max=2, step=1, metric="error"))
    console = _console(is_terminal=False)
    progress = Progress(replace(toy.plan, study=study), store=toy.store, console=console, clock=clock)
    spec = toy.plan.specs[toy.ids["pretrained"]]
    progress.started(spec, 1)
    clock.now_s = HEARTBEAT_S
    progress.reported(_report(spec.id, 1, error=1.0))
    progress.ended(spec, toy.ends(spec.id, seconds=3.0))
    first, second = _text(console).splitlines()
    assert first.startswith("0 of at most 9 finished, 1 running, 8 waiting or not needed; time left: not known")
    assert second.startswith("[1/at most 9] pretrained: finished")


def test_a_failure_is_told_when_it_happens_with_its_reason_and_log(toy, clock):
    progress, console = _progress(toy, clock)
    spec = toy.plan.specs[toy.ids["pretrained"]]
    progress.started(spec, 1)
    progress.ended(spec, toy.ends(spec.id, Status.FAILED, error="Traceback ...\nKeyError: 'x'\n"))
    log = toy.store.log_path(spec.id)
    assert _text(console) == f"[0/9] pretrained: FAILED (attempt 1): KeyError: 'x'; log: {log}\n"


def test_between_ends_there_is_a_line_now_and_then(toy, clock):
    progress, console = _progress(toy, clock)
    spec = toy.plan.specs[toy.ids["pretrained"]]
    progress.started(spec, 1)
    for step in range(30):
        clock.now_s += HEARTBEAT_S / 10
        progress.reported(_report(spec.id, step, loss=1.0))
    lines = _text(console).splitlines()
    assert lines == ["0 of 9 finished, 1 running, 8 waiting; time left: not known before a trial has finished"] * 3


def test_what_was_finished_before_is_counted_and_teaches_the_time(toy, clock):
    toy.ends(toy.ids["adapted seed 0"], seconds=70.0)
    progress, console = _progress(toy, clock)
    spec = toy.plan.specs[toy.ids["adapted seed 1"]]
    progress.started(spec, 1)
    clock.now_s = HEARTBEAT_S
    progress.reported(_report(spec.id, 1, loss=1.0))
    assert _text(console) == (
        "1 of 9 finished (1 before), 1 running, 7 waiting; "
        "about 1 min 00 s and 7 trials of a kind not seen yet left (from 1 finished, 1 at a time)\n"
    )


def test_trials_behind_a_failed_stage_are_shown_as_unreachable(toy, clock):
    progress, console = _progress(toy, clock, is_terminal=True)
    spec = toy.plan.specs[toy.ids["pretrained"]]
    progress.started(spec, 1)
    progress.ended(spec, toy.ends(spec.id, Status.FAILED, error="KeyError"))
    progress.close()
    assert "1 failed, 8 unreachable" in _text(console)


def test_a_terminal_shows_running_trials_with_their_metrics(toy, clock):
    progress, console = _progress(toy, clock, is_terminal=True)
    first, second = (toy.plan.specs[toy.ids[label]] for label in ("ours seed 0", "rough seed 0"))
    progress.started(first, 1)
    progress.started(second, 2)
    progress.reported(_report(first.id, 3, error=1.25))
    clock.now_s = 65.0
    progress.close()
    text = _text(console)
    assert "ours seed 0" in text
    assert "rough seed 0 (attempt 2)" in text
    assert "error 1.25" in text
    assert "1 min 05 s" in text
    assert "0 of 9 finished, 2 running, 7 waiting" in text


def test_closing_without_a_start_shows_nothing(toy, clock):
    progress, console = _progress(toy, clock, is_terminal=True)
    progress.close()
    assert _text(console) == ""
