"""What a run came to, read from the store: counts, failures with their reasons, and the exit code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ablate.errors import ExitCode
from ablate.plan.causes import last_line
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
        num_pruned: Ended early by a search, because they were hopeless.
        failures: The failed ones.
    """

    num_finished: int
    num_cached: int
    num_failed: int
    num_interrupted: int
    num_unreachable: int
    failures: tuple[Failure, ...]
    num_pruned: int = 0

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
    specs, labels = plan.specs, plan.labels
    finished = store.finished(specs)
    waiting = [trial_id for trial_id in specs if trial_id not in finished]
    found = (find_failure(store, trial_id, labels[trial_id]) for trial_id in waiting)
    failures = {failure.trial_id: failure for failure in found if failure}
    unreachable = find_unreachable(specs, set(failures))
    pruned = {trial_id for trial_id in waiting if _was_pruned(store, trial_id)}
    return RunSummary(
        num_finished=len(finished - cached),
        num_cached=len(finished & cached),
        num_failed=len(failures),
        num_interrupted=len(set(waiting) - set(failures) - unreachable - pruned),
        num_unreachable=len(unreachable - finished),
        failures=tuple(failures.values()),
        num_pruned=len(pruned),
    )


def _was_pruned(store: Store, trial_id: str) -> bool:
    record = store.record(trial_id)
    is_last = record is not None and record.run.attempt == store.last_attempt(trial_id)
    return is_last and record is not None and record.status is Status.PRUNED


def find_failure(store: Store, trial_id: str, label: str) -> Failure | None:
    """Give the failure of a trial whose last attempt failed, else `None`."""
    record = store.record(trial_id)
    if record is None or record.status is not Status.FAILED or record.run.attempt != store.last_attempt(trial_id):
        return None
    return Failure(trial_id=trial_id, label=label, reason=last_line(record.error), log=store.log_path(trial_id))


def find_unreachable(specs: Mapping[str, TrialSpec], failed: set[str]) -> set[str]:
    """Give the trials that need, directly or through others, one that failed."""
    if not failed:
        return set()
    dependants: dict[str, list[str]] = {}
    for trial_id, spec in specs.items():
        for need in spec.needs.values():
            dependants.setdefault(need, []).append(trial_id)
    lost, waiting = set(failed), list(failed)
    while waiting:
        for trial_id in dependants.get(waiting.pop(), []):
            if trial_id not in lost:
                lost.add(trial_id)
                waiting.append(trial_id)
    return lost - failed
