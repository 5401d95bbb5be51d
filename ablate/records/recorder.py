"""The listener interface: the progress display and the MLflow mirror are both recorders."""

from typing import Protocol

from ablate.trial import Outcome, Report, TrialSpec


class Recorder(Protocol):
    """Hears of a run on the driver. A recorder must neither block nor raise: the store is the truth, not it."""

    def started(self, spec: TrialSpec, attempt: int) -> None:
        """Take note that an attempt at a trial begins."""
        ...

    def reported(self, report: Report) -> None:
        """Take one point of the curves."""
        ...

    def ended(self, spec: TrialSpec, outcome: Outcome) -> None:
        """Take the outcome of an attempt."""
        ...

    def close(self) -> None:
        """Deliver what is still waiting."""
        ...
