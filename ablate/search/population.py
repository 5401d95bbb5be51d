"""Population based training: the configurations of a generation, made of what came of the generation before.

After Jaderberg et al., Population Based Training of Neural Networks, 2017 (arXiv:1711.09846). A population trains side
by side. From time to time its worst members give up: each takes the state and the settings of one of the best
(exploit) and changes the settings a little (explore); all others go on as they are. The result is a schedule of
settings that no constant setting can have.

The paper copies weights into running trainings. Here nothing runs on: a member of a generation is a configuration of
its own, with trials of its own, that goes on from the stored state of one of the generation before. So everything it
is made of has an id, finished generations are never trained again, and a search that was killed goes on. The price is
that a generation begins when the one before is complete (the paper's members do not wait for each other).

A task needs two things for it: a state that it can be restored from, and a parameter that says how long it trains and
nothing else. Where more follows from the length (a learning rate that falls to zero at its end), a member of an early
generation is trained otherwise than the beginning of a whole training would be.

What is proposed depends on the search and on the generation before, and on nothing else: each member has random draws
of its own, seeded by the sampler's seed, its generation and its place. So it does not matter who asks, when, nor in
which order the members came out.
"""

import math
import random
from collections.abc import Mapping, Sequence

from ablate.search.history import Entry, State
from ablate.search.model import Parameter, Population, Search
from ablate.trial import Json

WEAKER, STRONGER = 0.8, 1.2
"""What a number is multiplied by to explore (Jaderberg et al. 2017, section 4.1.1 and appendix A)."""

SHIFT = 0.1
"""The part of a range by which a number is moved where the range reaches zero: no factor leads away from there."""

RESAMPLED = 0.25
"""How often a choice is drawn again to explore."""


class Breeder:
    """Proposes the members of generations; beside Optuna's samplers, of the same form.

    Args:
        search: The space and the population.
        entries: What was proposed, in order; read whenever something is asked, so it may grow and change.
    """

    def __init__(self, search: Search, entries: Sequence[Entry]) -> None:
        self._search = search
        self._entries = entries

    def ask(self) -> tuple[int, dict[str, Json]]:
        """Give the next configuration and its number; the generation before must be complete."""
        return len(self._entries), proposed(self._search, self._entries)[0]

    def tell(self, number: int, state: State, values: Sequence[float] | None = None) -> None:
        """Do nothing: what came of a configuration is read where it is needed."""

    def report(self, number: int, step: int, value: float) -> bool:
        """Let every member run to the end of its generation."""
        return False

    def adopt(self, entry: Entry) -> None:
        """Do nothing: a population has no members from elsewhere."""


def proposed(search: Search, entries: Sequence[Entry]) -> tuple[dict[str, Json], int | None]:
    """Give the parameters of the next configuration, and the number of the one that it goes on from.

    Where nothing came of the generation before, that is its own predecessor: there is no better one.

    Args:
        search: The search; it has a population.
        entries: All configurations so far, in order; the generation before must be complete.
    """
    population, number = _population(search), len(entries)
    generation, member = divmod(number, population.size)
    draws = random.Random(f"{search.sampler.seed} {generation} {member}")
    if generation == 0:
        return drawn(search.space, draws), None
    before = entries[(generation - 1) * population.size : generation * population.size]
    own = before[member]
    best, worst = _extremes(search, before)
    if own.number not in worst or not best:
        return dict(own.parameters), own.number
    parent = draws.choice(best)
    return explored(search.space, parent.parameters, draws), parent.number


def parent_of_next(search: Search, entries: Sequence[Entry]) -> int | None:
    """Give the number of the configuration that the next one goes on from; none where samplers have no such thing."""
    return proposed(search, entries)[1] if search.population is not None else None


def is_waiting(search: Search, entries: Sequence[Entry]) -> bool:
    """Say whether the next configuration has to wait: some of the generation before have not come out."""
    if search.population is None:
        return False
    first = search.population.generation_of(len(entries)) * search.population.size
    return any(entry.state is State.OPEN for entry in entries[:first])


def lineage(entries: Sequence[Entry], last: Entry) -> list[Entry]:
    """Give a configuration with all that it goes on from, the oldest first."""
    found = [last]
    while found[-1].parent is not None:
        found.append(entries[found[-1].parent])
    return found[::-1]


def _population(search: Search) -> Population:
    assert search.population is not None
    return search.population


def _extremes(search: Search, generation: Sequence[Entry]) -> tuple[list[Entry], set[int]]:
    """Give the best of a generation, and the numbers of its worst, those that failed among them.

    Each is a quantile of the population, one member at least; of equal ones the earlier counts as better.
    """
    population = _population(search)
    sign = 1.0 if search.objectives[0].better == "lower" else -1.0

    def loss(entry: Entry) -> tuple[float, int]:
        has_value = entry.state is State.TOLD and entry.values is not None
        return (sign * entry.values[0] if has_value and entry.values else math.inf, entry.number)

    ranked = sorted(generation, key=loss)
    number = max(1, int(population.quantile * len(ranked)))
    failed = {entry.number for entry in generation if entry.state is not State.TOLD}
    best = [entry for entry in ranked[:number] if entry.number not in failed]
    return best, failed | {entry.number for entry in ranked[-number:]}


def drawn(space: Sequence[Parameter], draws: random.Random) -> dict[str, Json]:
    """Draw a configuration: evenly between the bounds, or between their logarithms."""
    chosen: dict[str, Json] = {}
    for parameter in space:
        if parameter.is_active(chosen):
            chosen[parameter.key] = _drawn(parameter, draws)
    return chosen


def explored(space: Sequence[Parameter], given: Mapping[str, Json], draws: random.Random) -> dict[str, Json]:
    """Change a configuration a little.

    A number is multiplied by `WEAKER` or `STRONGER`, and an integer moves by one at least; where its range reaches
    zero or below, it moves by a tenth of the range instead. It stays within its bounds and on its steps. A choice
    is drawn again with the probability `RESAMPLED`. A parameter whose condition holds only now is drawn afresh.
    """
    chosen: dict[str, Json] = {}
    for one in space:
        if not one.is_active(chosen):
            continue
        if one.key not in given:
            chosen[one.key] = _drawn(one, draws)
        elif one.kind == "choices":
            others = [choice for choice in one.choices if choice != given[one.key]]
            is_changed = draws.random() < RESAMPLED
            chosen[one.key] = draws.choice(others) if is_changed and others else given[one.key]
        else:
            chosen[one.key] = _moved(one, given[one.key], is_up=draws.random() < 0.5)
    return chosen


def _drawn(parameter: Parameter, draws: random.Random) -> Json:
    if parameter.kind == "choices":
        return draws.choice(parameter.choices)
    step, share = _step(parameter), draws.random()
    if parameter.log:
        ratio = math.log(parameter.high / parameter.low)
        return _fitted(parameter, parameter.low * math.exp(share * ratio))
    if step is None:
        return _fitted(parameter, parameter.low + share * (parameter.high - parameter.low))
    number = round((parameter.high - parameter.low) / step) + 1
    return _fitted(parameter, parameter.low + int(share * number) * step)


def _moved(parameter: Parameter, value: float, *, is_up: bool) -> Json:
    if parameter.low > 0:
        wanted = value * (STRONGER if is_up else WEAKER)
    else:
        wanted = value + (SHIFT if is_up else -SHIFT) * (parameter.high - parameter.low)
    step, found = _step(parameter), _fitted(parameter, wanted)
    if step is not None and found == value:
        return _fitted(parameter, value + (step if is_up else -step))
    return found


def _fitted(parameter: Parameter, value: float) -> Json:
    """Bring a number to the nearest step and within the bounds."""
    step = _step(parameter)
    if step is not None:
        value = parameter.low + round((value - parameter.low) / step) * step
    value = min(max(value, parameter.low), parameter.high)
    return round(value) if parameter.kind == "int" else float(value)


def _step(parameter: Parameter) -> float | None:
    return 1 if parameter.step is None and parameter.kind == "int" else parameter.step
