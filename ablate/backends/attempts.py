"""The rule that every backend shares: who runs next, under which attempt number, and what is tried again.

- A trial that raised is tried again `resources.retries` times, then it has failed; one that exceeded a limit at once.
- A trial whose process died, or was told to leave (preempted), is not at fault: it is started again without counting,
  until it has been lost `MAX_LOSSES` times in a row without a newer checkpoint; then it has failed.
- What came out is what the store says, whatever a worker said on its way.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ablate.errors import BackendError
from ablate.records.recorder import Recorder
from ablate.search.proposer import DONE, WAIT, Answer, Proposer
from ablate.store import RunFacts, Store
from ablate.trial import Outcome, Report, Status, TrialSpec
from ablate.worker.limits import is_over_limit

MAX_LOSSES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A claimed start of a trial."""

    spec: TrialSpec
    number: int


@dataclass(slots=True)
class _Tries:
    """What happened to an outstanding trial so far."""

    spec: TrialSpec
    num_raised: int = 0
    num_lost: int = 0
    step: int | None = None
    """Newest checkpoint at the last loss."""


class Attempts:
    """Stands between a backend and a proposer, and speaks to the recorder. Used from one thread.

    Args:
        proposer: Says what runs.
        recorder: Hears of every attempt.
        store: Hands out attempt numbers, and knows what came out.
        stopping: Once true, nothing is started any more.
    """

    def __init__(self, proposer: Proposer, recorder: Recorder, *, store: Store, stopping: Callable[[], bool]) -> None:
        self._proposer = proposer
        self._recorder = recorder
        self._store = store
        self._stopping = stopping
        self._outstanding: dict[str, _Tries] = {}
        self._again: deque[str] = deque()

    def next(self) -> TrialSpec | Answer:
        """Give the trial to start next, to be claimed with `claim` once there is room for it.

        Raises:
            BackendError: The proposer waits for nothing.
        """
        if self._stopping():
            return DONE
        if self._again:
            return self._outstanding[self._again.popleft()].spec
        answer = self._proposer.ask()
        if isinstance(answer, TrialSpec):
            if answer.id in self._outstanding:
                raise BackendError(f"trial {answer.id} was proposed while it is running: a bug of the proposer")
            self._outstanding[answer.id] = _Tries(answer)
        elif answer is WAIT and not self._outstanding:
            raise BackendError("the proposer waits although nothing is running: a bug of the proposer")
        elif answer is DONE and self._outstanding:
            return WAIT
        return answer

    def claim(self, spec: TrialSpec) -> Attempt:
        """Claim the next attempt number of a trial that `next` gave."""
        return Attempt(spec=spec, number=self._store.claim(spec.id))

    def started(self, attempt: Attempt) -> None:
        """Take note that the attempt has its resources and begins."""
        self._recorder.started(attempt.spec, attempt.number)

    def reported(self, report: Report) -> None:
        """Pass on one point of the curves."""
        self._recorder.reported(report)

    def ended(self, attempt: Attempt) -> None:
        """Find out what came of the attempt, and start the trial again or tell the proposer."""
        trial_id = attempt.spec.id
        tries = self._outstanding[trial_id]
        outcome = self._truth(attempt)
        match outcome.status:
            case Status.FAILED:
                tries.num_raised += 1
                is_over = is_over_limit(outcome) or tries.num_raised > attempt.spec.resources.retries
            case Status.INTERRUPTED:
                is_over = self._is_lost_too_often(tries)
                if is_over:
                    outcome = self._given_up(attempt, tries)
            case _:
                is_over = True
        self._recorder.ended(attempt.spec, outcome)
        if is_over or self._stopping():
            del self._outstanding[trial_id]
            self._proposer.tell(outcome)
        else:
            self._again.append(trial_id)

    def close(self, running: list[Attempt]) -> None:
        """Tell of all that did not end: the attempts that still ran, and the trials that wait for another start."""
        for attempt in running:
            if attempt.spec.id in self._outstanding:
                self._recorder.ended(attempt.spec, self._truth(attempt))
        for trial_id in list(self._outstanding):
            spec = self._outstanding.pop(trial_id).spec
            self._proposer.tell(self._truth(Attempt(spec=spec, number=self._store.last_attempt(trial_id))))

    def _truth(self, attempt: Attempt) -> Outcome:
        record = self._store.record(attempt.spec.id)
        if record is not None and (record.run.attempt == attempt.number or record.status is Status.FINISHED):
            return record.outcome
        return Outcome(trial_id=attempt.spec.id, attempt=attempt.number, status=Status.INTERRUPTED)

    def _is_lost_too_often(self, tries: _Tries) -> bool:
        step = self._store.checkpoint_step(tries.spec.id)
        tries.num_lost = 1 if step != tries.step else tries.num_lost + 1
        tries.step = step
        return tries.num_lost >= MAX_LOSSES

    def _given_up(self, attempt: Attempt, tries: _Tries) -> Outcome:
        """Write the record that no worker could write."""
        error = (
            f"lost {tries.num_lost} times in a row without a newer checkpoint: its process died or was told to leave "
            f"(out of memory? a crash in native code?); what it printed: {self._store.log_path(attempt.spec.id)}"
        )
        outcome = Outcome(trial_id=attempt.spec.id, attempt=attempt.number, status=Status.FAILED, error=error)
        now = datetime.now(UTC).isoformat()
        run = RunFacts(attempt=attempt.number, started=now, ended=now, seconds=0.0, host="", python="")
        self._store.finish(attempt.spec.id, attempt.number, outcome, run)
        return outcome
