"""The listener interface: the progress display and the MLflow mirror are both recorders."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ablate.trial import Outcome, Report, TrialSpec

if TYPE_CHECKING:
    from ablate.plan.model import PlannedTrial


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


@runtime_checkable
class GrowingRecorder(Recorder, Protocol):
    """A recorder that also wants to know what trials are which join a plan while it runs."""

    def planned(self, trials: "Sequence[PlannedTrial]") -> None:
        """Take note of trials that join the plan; some may have been told before."""
        ...
