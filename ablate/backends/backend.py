"""The one small interface that every way of running trials implements."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ablate.records.recorder import Recorder
from ablate.search.proposer import Proposer


class Backend(Protocol):
    """Runs what a proposer proposes until it says `DONE` or `stopping()` is true.

    Every attempt goes through `ablate.worker.run_trials`, which writes the store; the outcome told to the proposer
    and the recorder is the store's. When stopping, running trials are asked to checkpoint and end interrupted.
    """

    def run(self, proposer: Proposer, recorder: Recorder, *, store: str | Path, stopping: Callable[[], bool]) -> None:
        """Run until done or stopped.

        Raises:
            BackendError: The machinery could not be started or broke down.
        """
        ...
