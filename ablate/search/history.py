"""What a search has done: its configurations, which one is best, and whether its budget is spent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ablate.search.model import Search
from ablate.trial import Json


class State(StrEnum):
    """How a configuration stands."""

    OPEN = "open"
    TOLD = "told"
    FAILED = "failed"
    PRUNED = "pruned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A configuration.

    Args:
        number: Its place in the order of proposals.
        parameters: What it sets, by dotted key; parameters whose condition does not hold are left out.
        parent: Number of the configuration from whose last state it goes on, if it does.
        open: Earlier configurations that the sampler had not been told of when it proposed this one. With it, the
            sampler's draws can be repeated exactly.
        state: How it stands.
        values: Mean over its seeds, for each of the search's objectives; `None` where there is none.
        points: Value at each step that the pruner looked at.
        trials: Id of its trial by seed; the seed of a task without one is empty.
        stages: Name and id of each stage that its trials need.
        seconds: Work of its trials, and of the stages that no configuration before it needed.
        origin: Empty, or where it came from: another study, or another driver.
        reason: Why it failed.
    """

    number: int
    parameters: Mapping[str, Json]
    parent: int | None = None
    open: tuple[int, ...] = ()
    state: State = State.OPEN
    values: tuple[float, ...] | None = None
    points: Mapping[int, float] = field(default_factory=dict)
    trials: Mapping[str, str] = field(default_factory=dict)
    stages: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0
    origin: str = ""
    reason: str = ""

    @property
    def is_warm(self) -> bool:
        """Whether it was known before the search began, and so costs it nothing."""
        return self.origin.startswith(WARM)


WARM = "study "
"""Begins the origin of a configuration that came from another study's search."""


def is_spent(search: Search, entries: Sequence[Entry]) -> bool:
    """Say whether no further configuration may be proposed."""
    own = [entry for entry in entries if not entry.is_warm]
    budget, most = search.budget, search.num_configurations
    if most is not None and len(own) >= most:
        return True
    if budget.hours is not None and sum(entry.seconds for entry in own) >= budget.hours * 3600:
        return True
    return budget.no_improvement is not None and _num_since_best(search, own) >= budget.no_improvement


def _num_since_best(search: Search, entries: Sequence[Entry]) -> int:
    """Count the configurations that ended after the best one (the newest of the best, where there are several)."""
    ended = [entry for entry in entries if entry.state is not State.OPEN]
    front = {entry.number for entry in pareto(search, ended)}
    since = 0
    for entry in reversed(ended):
        if entry.number in front:
            return since
        since += 1
    return since


def best(search: Search, entries: Sequence[Entry]) -> Entry | None:
    """Give the configuration that wins: of several objectives the first one counts; of equal ones the earliest."""
    told = [entry for entry in entries if entry.state is State.TOLD and entry.values and not entry.is_warm]
    told = [entry for entry in told if entry.number >= search.first_to_win]
    return min(told, key=lambda entry: (_losses(search, entry)[0], entry.number), default=None)


def pareto(search: Search, entries: Sequence[Entry]) -> list[Entry]:
    """Give the configurations that none other beats on all objectives; for one objective, the best."""
    told = [entry for entry in entries if entry.state is State.TOLD and entry.values]
    losses = {entry.number: _losses(search, entry) for entry in told}
    return [entry for entry in told if not any(_beats(losses[one.number], losses[entry.number]) for one in told)]


def _losses(search: Search, entry: Entry) -> tuple[float, ...]:
    assert entry.values is not None
    signs = (1.0 if objective.better == "lower" else -1.0 for objective in search.objectives)
    return tuple(sign * value for sign, value in zip(signs, entry.values, strict=True))


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
