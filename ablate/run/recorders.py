"""Recorders side by side: a faulty one is reported once and muted, and the run goes on without it."""

import logging
from collections.abc import Callable, Sequence

from ablate.plan.model import PlannedTrial
from ablate.records.recorder import GrowingRecorder, Recorder
from ablate.trial import Outcome, Report, TrialSpec

_log = logging.getLogger(__name__)


class Recorders:
    """One recorder made of many. The store is the truth, so no fault of a listener may cost a trial."""

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._heard = list(recorders)

    def started(self, spec: TrialSpec, attempt: int) -> None:
        """Take note that an attempt at a trial begins."""
        self._each(lambda recorder: recorder.started(spec, attempt))

    def reported(self, report: Report) -> None:
        """Take one point of the curves."""
        self._each(lambda recorder: recorder.reported(report))

    def ended(self, spec: TrialSpec, outcome: Outcome) -> None:
        """Take the outcome of an attempt."""
        self._each(lambda recorder: recorder.ended(spec, outcome))

    def planned(self, trials: Sequence[PlannedTrial]) -> None:
        """Take note of trials that join the plan."""
        self._each(lambda recorder: recorder.planned(trials) if isinstance(recorder, GrowingRecorder) else None)

    def close(self) -> None:
        """Deliver what is still waiting."""
        self._each(lambda recorder: recorder.close())

    def _each(self, call: Callable[[Recorder], None]) -> None:
        for recorder in list(self._heard):
            try:
                call(recorder)
            except Exception:
                self._heard.remove(recorder)
                name = type(recorder).__name__
                _log.exception("%s failed and hears no more of this run; the store has everything", name)
