"""The worker's side of trials: a clean process, captured logs, the `trial` object, and the record at the end."""

from ablate.worker.context import StopTrial, TrialContext
from ablate.worker.run import run_trial, run_trials

__all__ = ["StopTrial", "TrialContext", "run_trial", "run_trials"]
