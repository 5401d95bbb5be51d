"""The `trial` object that a task receives: checkpoints, curves, files, and the request to stop."""

import math
import numbers
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ablate.store import Store, packed
from ablate.trial import PARENT, Report, TrialSpec
from ablate.worker.capture import Capture
from ablate.worker.rounds import Rounds

CHECKPOINT_INTERVAL_S = 30.0


class StopTrial(BaseException):
    """Ends a task that was asked to stop: its state is saved, and it will be started again.

    Not an `Exception`, so that a task's own `except Exception` lets it pass.
    """


class EndedByDriver(StopTrial):
    """Ends a task that the driver wants no more of; what came of it is the driver's to write down."""


class TrialContext:
    """The platform's implementation of what tasks expect (`core.interfaces.Trial`, by structure).

    Args:
        store: Where everything goes.
        spec: The trial.
        attempt: The claimed attempt that every write carries.
        device: Where the task should compute.
        on_report: Takes each point after it is in the store; says whether the driver ends the trial with it.
        rounds: Says when to save and when to stop; shared by the trials of a stack.
        capture: Suspended while the driver's code runs in the trial's thread.
    """

    def __init__(
        self,
        *,
        store: Store,
        spec: TrialSpec,
        attempt: int,
        device: str,
        on_report: Callable[[Report], bool],
        rounds: Rounds,
        capture: Capture,
    ) -> None:
        self.inputs: Mapping[str, Path] = {name: store.artifacts(needed) for name, needed in spec.needs.items()}
        self.device = device
        self.workers = 1
        self._store = store
        self._trial_id = spec.id
        self._attempt = attempt
        self._on_report = on_report
        self._rounds = rounds
        self._capture = capture
        self._is_positioned = self._is_restored = False
        self._parent = spec.needs.get(PARENT)
        self._keeps_state = spec.keeps_state
        self._last: tuple[int, bytes] | None = None
        """Step and state of the last report, where the state is kept and no checkpoint has it."""

    def restore(self) -> dict[str, Any] | None:
        """Give the state of the last checkpoint, or nothing; the curves are taken back to its step.

        A trial that goes on from another one begins with the last state of that.

        Raises:
            RuntimeError: The other one has none.
        """
        checkpoint = self._store.load_checkpoint(self._trial_id)
        if checkpoint is None and self._parent is not None:
            checkpoint = self._store.load_checkpoint(self._parent)
            if checkpoint is None:
                raise RuntimeError(f"trial {self._parent} has no state, which this trial goes on from")
        self._position(checkpoint.step if checkpoint else None)
        self._is_restored = True
        return checkpoint.state if checkpoint else None

    def report(
        self, step: int, metrics: Mapping[str, float], *, state: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        """Add one point to the curves, and save `state()` when a checkpoint is due or the trial is to stop.

        Raises:
            StopTrial: The trial is to stop, to go on later or (pruned) never.
            TypeError: A metric is not a number, or the state could not be read back safely.
            StoreError: The store cannot be written, or this attempt was overtaken.
        """
        report = Report(
            trial_id=self._trial_id,
            attempt=self._attempt,
            step=int(step),
            metrics=as_metrics(metrics, "trial.report"),
        )
        if not self._is_positioned:
            self._position(None)
        self._store.append_report(report)
        self._rounds.enter(self._trial_id, report.step)
        if state is not None and self._rounds.is_due:
            self._store.save_checkpoint(self._trial_id, self._attempt, report.step, state())
            self._rounds.saved()
            self._last = None
        elif state is not None and self._keeps_state:
            self._last = (report.step, packed(state()))
        with self._capture.suspended():
            is_over = self._on_report(report)
        if is_over:
            raise EndedByDriver(f"ended by the driver after step {report.step}")
        if self._rounds.is_last:
            raise StopTrial(f"asked to stop after step {report.step}")

    def artifact(self, name: str) -> Path:
        """Give the path of a file of the trial; its folder is made.

        Raises:
            ValueError: The name leads out of the trial's folder.
        """
        folder = self._store.artifact_folder(self._trial_id)
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"trial.artifact: {name!r} leads out of the trial's folder; expected a relative path")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        """Save the last state of a task that finished, if it is kept.

        Leave no points of earlier attempts behind one that neither restored nor reported.

        Raises:
            RuntimeError: The task gave no state although it is kept, or never asked for the one it goes on from.
            StoreError: The store cannot be written, or this attempt was overtaken.
        """
        if self._parent is not None and not self._is_restored:
            raise RuntimeError(f"the task never called trial.restore(), but was to go on from trial {self._parent}")
        if not self._is_positioned:
            self._position(None)
        if self._last is not None:
            self._store.save_checkpoint(self._trial_id, self._attempt, *self._last)
        if self._keeps_state and self._store.checkpoint_step(self._trial_id) is None:
            raise RuntimeError("the task saved no state for others to go on from: give trial.report(..., state=...)")

    def _position(self, step: int | None) -> None:
        self._store.rewind_curves(self._trial_id, self._attempt, step)
        self._is_positioned = True


def as_metrics(found: object, where: str) -> dict[str, float]:
    """Check and convert a dict of numbers; scalars of numpy and torch count as numbers.

    Raises:
        TypeError: It is something else; the text says which key.
    """
    if not isinstance(found, Mapping):
        raise TypeError(f"{where}: expected a dict of numbers, got {type(found).__name__}")
    metrics: dict[str, float] = {}
    for name, value in found.items():
        is_number = isinstance(value, numbers.Real) or (hasattr(value, "item") and getattr(value, "ndim", None) == 0)
        if not isinstance(name, str) or not is_number:
            raise TypeError(
                f"{where}: expected a dict of numbers by name, got {type(value).__name__} {value!r:.60} at {name!r}"
            )
        metrics[name] = float(value)
    return metrics


def num_threads(num_cpus: float) -> int:
    """Give the threads that a trial's libraries may use: whole CPUs, one at least."""
    return max(1, math.floor(num_cpus))
