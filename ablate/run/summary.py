"""What a run came to, read from the store: counts, failures with their reasons, and the exit code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import ExitCode
from ablate.plan.model import Plan
from ablate.store import Store
from ablate.trial import Status, TrialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A trial that failed: its readable name, the last line of its error, and where to read more."""

    trial_id: str
    label: str
    reason: str
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """Counts of a plan's trials; each trial is in exactly one of them.

    Args:
        num_finished: Finished in this run.
        num_cached: Finished before it.
        num_failed: Raised, or died, more often than it may.
        num_interrupted: Not finished and not failed: the same command goes on with them.
        num_unreachable: Never started, because something they need failed.
        failures: The failed ones.
    """

    num_finished: int
    num_cached: int
    num_failed: int
    num_interrupted: int
    num_unreachable: int
    failures: tuple[Failure, ...]

    @property
    def exit_code(self) -> ExitCode:
        """What the command line returns."""
        if self.num_interrupted:
            return ExitCode.INTERRUPTED
        if self.num_failed or self.num_unreachable:
            return ExitCode.SOME_FAILED
        return ExitCode.DONE


def summarise(plan: Plan, store: Store, cached: set[str]) -> RunSummary:
    """Read off the store what became of a plan.

    Args:
        plan: The plan.
        store: Where its trials are.
        cached: Those that were finished before the run.
    """
    specs = plan.specs
    finished = store.finished(specs)
    failures = {trial_id: failure for trial_id in specs if (failure := find_failure(plan, store, trial_id))}
    unreachable = find_unreachable(specs, set(failures))
    return RunSummary(
        num_finished=len(finished - cached),
        num_cached=len(finished & cached),
        num_failed=len(failures),
        num_interrupted=len(set(specs) - finished - set(failures) - unreachable),
        num_unreachable=len(unreachable),
        failures=tuple(failures.values()),
    )


def find_failure(plan: Plan, store: Store, trial_id: str) -> Failure | None:
    """Give the failure of a trial whose last attempt failed, else `None`."""
    record = store.record(trial_id)
    if record is None or record.status is not Status.FAILED or record.run.attempt != store.last_attempt(trial_id):
        return None
    label = next(trial.label for trial in plan.trials if trial.spec.id == trial_id)
    return Failure(trial_id=trial_id, label=label, reason=last_line(record.error), log=store.log_path(trial_id))


def find_unreachable(specs: Mapping[str, TrialSpec], failed: set[str]) -> set[str]:
    """Give the trials that need, directly or through others, one that failed."""
    lost = set(failed)
    while True:
        more = {trial_id for trial_id, spec in specs.items() if lost & set(spec.needs.values())} - lost
        if not more:
            return lost - failed
        lost |= more


def last_line(error: str | None) -> str:
    """Give the last line of a traceback: the exception and its text."""
    lines = (error or "").strip().splitlines()
    return lines[-1].strip() if lines else "no reason was recorded"
