"""The question and answer between the driver and whatever decides what runs next."""

from enum import Enum
from typing import Literal, Protocol

from ablate.trial import Outcome, Report, TrialSpec


class Answer(Enum):
    """What a proposer says instead of a trial."""

    WAIT = "not now: ask again when something that runs has ended"
    DONE = "never again"


WAIT: Literal[Answer.WAIT] = Answer.WAIT
DONE: Literal[Answer.DONE] = Answer.DONE


class Proposer(Protocol):
    """Decides what runs next. Backends call it from one thread.

    Trials that may run as a stack (`ablate.search.stacks`) should come one after the other: a backend looks for them no
    farther than a stack is large.

    `WAIT` while nothing is outstanding is a bug of the proposer, and backends raise on it.
    """

    def ask(self) -> TrialSpec | Answer:
        """Give the next trial, `WAIT`, or `DONE`."""
        ...

    def reported(self, report: Report) -> bool:
        """Hear a point of a running trial's curves, and say whether the trial is hopeless: it then ends as pruned."""
        ...

    def tell(self, outcome: Outcome) -> None:
        """Take the last outcome of a trial that was given; called once for each."""
        ...
