"""The plainest backend: one trial (or stack) after the other in this process, so that `pdb` and profilers just work."""

from collections.abc import Callable
from pathlib import Path

from ablate.backends.attempts import Attempts
from ablate.records.recorder import Recorder
from ablate.search.proposer import Answer, Proposer
from ablate.store import Store
from ablate.worker import run_trials
from ablate.worker.context import CHECKPOINT_INTERVAL_S


class LocalBackend:
    """Runs trials in order, in the calling thread.

    Args:
        checkpoint_interval_s: Least time between two checkpoints of a trial.
    """

    def __init__(self, *, checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S) -> None:
        self._checkpoint_interval_s = checkpoint_interval_s

    def run(self, proposer: Proposer, recorder: Recorder, *, store: str | Path, stopping: Callable[[], bool]) -> None:
        """Run until done or stopped."""
        trials = Store(store)
        attempts = Attempts(proposer, recorder, store=trials, stopping=stopping)
        while not isinstance(specs := attempts.next(), Answer):
            stack = attempts.claim(specs)
            attempts.started(stack)
            run_trials(
                trials,
                [(attempt.spec.id, attempt.number) for attempt in stack],
                on_report=attempts.reported,
                stopping=stopping,
                checkpoint_interval_s=self._checkpoint_interval_s,
            )
            attempts.ended(stack)
        attempts.close([])
