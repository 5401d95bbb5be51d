"""Progress of a run: a live table on a terminal, plain lines elsewhere; a failure is told when it happens."""

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ablate.plan.causes import last_line
from ablate.plan.model import Plan, PlannedTrial
from ablate.run.estimate import Estimate, TimeLeft, duration
from ablate.run.summary import find_unreachable
from ablate.store import Store
from ablate.trial import Outcome, Report, Status, TrialSpec

HEARTBEAT_S = 10.0
MAX_ROWS = 12
MAX_METRICS = 4


@dataclass(slots=True)
class _Running:
    """A trial that runs: what is shown of it."""

    spec: TrialSpec
    attempt: int
    start_s: float
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class Progress:
    """A recorder for people.

    Args:
        plan: Gives the trials their names.
        store: Says what was finished before, and where the logs are.
        console: Where to; by default standard error, which leaves standard output to results.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        store: Store,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(file=sys.stderr)
        self._store = store
        self._clock = clock
        self._lock = threading.RLock()
        self._specs = dict(plan.specs)
        self._labels = {trial.spec.id: trial.label for trial in reversed(plan.trials)}
        self._running: dict[str, _Running] = {}
        self._failed: set[str] = set()
        self._time_left = TimeLeft()
        self._finished = store.finished(self._specs)
        self._num_cached = len(self._finished)
        for trial_id in self._finished:
            record = store.record(trial_id)
            if record is not None:
                self._time_left.learn(self._specs[trial_id].task, record.run.seconds)
        self._at_most = "at most " if plan.study.adaptive else ""  # results may ask for less
        self._to_come = " so far" if plan.searches else ""  # a search proposes more
        self._num_slots = 1
        self._last_line_s = clock()
        self._live: Live | None = None

    @property
    def _num_trials(self) -> str:
        return f"{self._at_most}{len(self._specs)}{self._to_come}"

    def planned(self, trials: Sequence[PlannedTrial]) -> None:
        """Show trials that join the plan under their names."""
        finished = self._store.finished(trial.spec.id for trial in trials)
        with self._lock:
            for trial in trials:
                self._labels.setdefault(trial.spec.id, trial.label)
            new = {trial.spec.id: trial.spec for trial in trials if trial.spec.id not in self._specs}
            self._specs |= new
            self._num_cached += len(finished & new.keys())
            self._finished |= finished

    def started(self, spec: TrialSpec, attempt: int) -> None:
        """Show an attempt as running."""
        with self._lock:
            self._failed.discard(spec.id)
            self._running[spec.id] = _Running(spec, attempt, self._clock())
            self._num_slots = max(self._num_slots, len(self._running))
        if self._live is None and self._console.is_terminal:
            self._live = Live(
                get_renderable=self._table, console=self._console, refresh_per_second=4, redirect_stdout=False
            )
            self._live.start()

    def reported(self, report: Report) -> None:
        """Show a running trial's newest metrics; on no terminal, a line now and then."""
        with self._lock:
            running = self._running.get(report.trial_id)
            if running is not None:
                running.step, running.metrics = report.step, report.metrics
        if self._live is None and self._clock() - self._last_line_s >= HEARTBEAT_S:
            self._say(self._state())

    def ended(self, spec: TrialSpec, outcome: Outcome) -> None:
        """Say how an attempt ended."""
        with self._lock:
            self._running.pop(spec.id, None)
            if outcome.status is Status.FINISHED:
                self._finished.add(spec.id)
                self._time_left.learn(spec.task, outcome.seconds)
            elif outcome.status is Status.FAILED:
                self._failed.add(spec.id)
        label = self._labels.get(spec.id, spec.id)
        place = f"[{len(self._finished)}/{self._num_trials}] {label}"
        if outcome.status is Status.FAILED:
            log = self._store.log_path(spec.id)
            self._say(
                f"{place}: FAILED (attempt {outcome.attempt}): {last_line(outcome.error)}; log: {log}", "bold red"
            )
        elif outcome.status is Status.FINISHED:
            self._say(f"{place}: finished in {duration(outcome.seconds)}; {_written(outcome.metrics)}")
        else:
            self._say(f"{place}: {outcome.status} (attempt {outcome.attempt})", "yellow")

    def close(self) -> None:
        """Leave the last state on the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _say(self, text: str, style: str = "") -> None:
        self._last_line_s = self._clock()
        self._console.print(Text(text, style=style), soft_wrap=True)

    def _state(self) -> str:
        estimate = self._estimate()
        return f"{self._counts()}; {self._at_most if estimate.num_known else ''}{estimate}"

    def _counts(self) -> str:
        with self._lock:
            unreachable = find_unreachable(self._specs, self._failed)
            num_waiting = len(self._specs.keys() - self._finished - self._failed - self._running.keys() - unreachable)
            parts = [f"{len(self._finished)} of {self._num_trials} finished"]
            parts += [f"({self._num_cached} before)"] if self._num_cached else []
            states = {
                "running": len(self._running),
                "waiting or not needed" if self._at_most else "waiting": num_waiting,
                "failed": len(self._failed),
                "unreachable": len(unreachable),
            }
        return ", ".join([" ".join(parts), *(f"{number} {state}" for state, number in states.items() if number)])

    def _estimate(self) -> Estimate:
        with self._lock:
            now_s = self._clock()
            gone = self._finished | self._failed | find_unreachable(self._specs, self._failed)
            waiting = self._specs.keys() - gone - self._running.keys()
            return self._time_left.estimate(
                [self._specs[trial_id].task for trial_id in waiting],
                [(running.spec.task, now_s - running.start_s) for running in self._running.values()],
                num_slots=self._num_slots,
            )

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("trial", "step", "metrics", "for"):
            table.add_column(heading, no_wrap=heading != "metrics", justify="right" if heading == "step" else "left")
        with self._lock:
            now_s, rows = self._clock(), list(self._running.values())
        for row in rows[:MAX_ROWS]:
            label = self._labels.get(row.spec.id, row.spec.id)
            name = label if row.attempt == 1 else f"{label} (attempt {row.attempt})"
            step = "" if row.step is None else str(row.step)
            table.add_row(Text(name), step, Text(_written(row.metrics)), duration(now_s - row.start_s))
        if len(rows) > MAX_ROWS:
            table.add_row(f"... and {len(rows) - MAX_ROWS} more", "", "", "")
        return Group(table, Text(self._state(), style="bold"))


def _written(metrics: Mapping[str, float]) -> str:
    """Write the first few metrics on one line."""
    shown = [f"{name} {value:.4g}" for name, value in list(metrics.items())[:MAX_METRICS]]
    return ", ".join(shown + ["..."] * (len(metrics) > MAX_METRICS))
