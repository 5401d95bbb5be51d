"""The rule that every backend shares: who runs next, under which attempt number, and what is tried again.

- A trial that raised is tried again `resources.retries` times, then it has failed; one that exceeded a limit at once.
- A trial whose process died, or was told to leave (preempted), is not at fault: it is started again without counting,
  until it has been lost `MAX_LOSSES` times in a row without a newer checkpoint; then it has failed.
- What came out is what the store says, whatever a worker said on its way.
- A trial that the proposer finds hopeless ends at its report as pruned; its record is written here, because a worker
  that is ended may not get the time. A stack ends when all of it is hopeless.
- Trials that differ in nothing but their seed start as a stack where `resources.stack_seeds` allows it: those that are
  ready at the same time and stand at the same checkpoint. Nobody can tell which of a stack made it fail, so that counts
  for none of them: each is tried again apart from the others. So is each of a stack that was lost `MAX_STACK_LOSSES`
  times in a row without a newer checkpoint; otherwise what was lost together starts together again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain

from ablate.errors import BackendError
from ablate.records.recorder import Recorder
from ablate.search.proposer import DONE, WAIT, Answer, Proposer
from ablate.search.stacks import Likeness, has_room
from ablate.store import RunFacts, Store
from ablate.trial import Outcome, Report, Status, TrialSpec
from ablate.worker.limits import is_over_limit

MAX_LOSSES = 10
MAX_STACK_LOSSES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A claimed start of a trial."""

    spec: TrialSpec
    number: int


Stack = tuple[Attempt, ...]
"""Attempts that run together in one process; mostly one."""


@dataclass(slots=True)
class _Tries:
    """What happened to an outstanding trial so far."""

    spec: TrialSpec
    num_raised: int = 0
    num_lost: int = 0
    step: int | None = None
    """Newest checkpoint at the last loss."""
    is_apart: bool = False
    """Whether it is never stacked again."""


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
        self._likeness = Likeness(store.read_spec)
        self._outstanding: dict[str, _Tries] = {}
        self._running: dict[str, tuple[Stack, float]] = {}
        """The stack that each trial runs in, and when it started."""
        self._hopeless: set[str] = set()
        self._waiting: deque[str] = deque()
        """Those to start before the proposer is asked again."""

    def next(self) -> tuple[TrialSpec, ...] | Answer:
        """Give the trials to start next in one process, to be claimed with `claim` once there is room for it.

        To fill a stack the proposer is asked past trials that do not belong to it, as many as a stack takes; they wait
        here and come next.

        Raises:
            BackendError: The proposer waits for nothing.
        """
        if self._stopping():
            return DONE
        first = self._outstanding[self._waiting.popleft()].spec if self._waiting else self._ask()
        if isinstance(first, Answer):
            return first
        stack = [first]
        if self._is_open(stack):
            self._fill(stack)
        return tuple(stack)

    def _fill(self, stack: list[TrialSpec]) -> None:
        """Add what may join a stack: of the trials that wait here, then of those that the proposer gives."""
        for trial_id in tuple(self._waiting):
            if self._may_join(self._outstanding[trial_id].spec, stack):
                self._waiting.remove(trial_id)
                stack.append(self._outstanding[trial_id].spec)
        while self._is_open(stack) and len(self._waiting) < stack[0].resources.stack_seeds:
            answer = self._ask()
            if isinstance(answer, Answer):
                return
            if self._may_join(answer, stack):
                stack.append(answer)
            else:
                self._waiting.append(answer.id)

    def _is_open(self, stack: Sequence[TrialSpec]) -> bool:
        return has_room(stack) and not self._outstanding[stack[0].id].is_apart

    def _may_join(self, spec: TrialSpec, stack: Sequence[TrialSpec]) -> bool:
        return (
            not self._outstanding[spec.id].is_apart
            and self._likeness.may_join(spec, stack)
            and self._store.checkpoint_step(spec.id) == self._store.checkpoint_step(stack[0].id)
        )

    def _ask(self) -> TrialSpec | Answer:
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

    def claim(self, specs: Iterable[TrialSpec]) -> Stack:
        """Claim the next attempt number of each trial that `next` gave."""
        return tuple(Attempt(spec=spec, number=self._store.claim(spec.id)) for spec in specs)

    def started(self, stack: Stack) -> None:
        """Take note that the attempts have their resources and begin."""
        for attempt in stack:
            self._running[attempt.spec.id] = (stack, time.monotonic())
            self._recorder.started(attempt.spec, attempt.number)

    def reported(self, report: Report) -> bool:
        """Pass on one point of the curves, and say whether the trial's whole stack is to end with it."""
        self._recorder.reported(report)
        if self._proposer.reported(report):
            self._hopeless.add(report.trial_id)
        if report.trial_id not in self._hopeless:
            return False
        stack, _ = self._running[report.trial_id]
        return all(attempt.spec.id in self._hopeless for attempt in stack)

    def ended(self, stack: Stack) -> None:
        """Find out what came of the attempts, and start each trial again or tell the proposer."""
        for attempt in stack:
            self._ended(attempt, is_stacked=len(stack) > 1)

    def _ended(self, attempt: Attempt, *, is_stacked: bool) -> None:
        trial_id = attempt.spec.id
        tries = self._outstanding[trial_id]
        outcome = self._truth(attempt)
        if trial_id in self._hopeless and outcome.status is not Status.FINISHED:
            outcome = self._pruned(attempt)
        self._running.pop(trial_id, None)
        self._hopeless.discard(trial_id)
        match outcome.status:
            case Status.FAILED if is_stacked:
                tries.is_apart, is_over = True, False
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
            self._waiting.append(trial_id)

    def close(self, running: Iterable[Stack]) -> None:
        """Tell of all that did not end: the attempts that still ran, and the trials that wait for a start."""
        for attempt in chain.from_iterable(running):
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
        tries.is_apart = tries.is_apart or tries.num_lost >= MAX_STACK_LOSSES
        return tries.num_lost >= MAX_LOSSES

    def _given_up(self, attempt: Attempt, tries: _Tries) -> Outcome:
        """Write the record that no worker could write."""
        error = (
            f"lost {tries.num_lost} times in a row without a newer checkpoint: its process died or was told to leave "
            f"(out of memory? a crash in native code?); what it printed: {self._store.log_path(attempt.spec.id)}"
        )
        outcome = Outcome(trial_id=attempt.spec.id, attempt=attempt.number, status=Status.FAILED, error=error)
        return self._written(outcome, seconds=0.0)

    def _pruned(self, attempt: Attempt) -> Outcome:
        """Write the record of an attempt that was ended because it is hopeless."""
        stack, start_s = self._running[attempt.spec.id]
        outcome = Outcome(trial_id=attempt.spec.id, attempt=attempt.number, status=Status.PRUNED)
        return self._written(outcome, seconds=time.monotonic() - start_s, num_stacked=len(stack))

    def _written(self, outcome: Outcome, *, seconds: float, num_stacked: int = 1) -> Outcome:
        ended = datetime.now(UTC)
        run = RunFacts(
            attempt=outcome.attempt,
            started=(ended - timedelta(seconds=seconds)).isoformat(),
            ended=ended.isoformat(),
            seconds=seconds,
            host="",
            python="",
            num_stacked=num_stacked,
        )
        self._store.finish(outcome.trial_id, outcome.attempt, outcome, run)
        return replace(outcome, seconds=seconds)
