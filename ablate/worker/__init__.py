"""The worker's side of a trial: a clean process, a captured log, the `trial` object, and the record at the end."""

from ablate.worker.context import StopTrial, TrialContext
from ablate.worker.run import run_trial

__all__ = ["StopTrial", "TrialContext", "run_trial"]
