"""Peers side by side: each is warmed up, then all are called in interleaved rounds; every round's times are kept.

The contract is written in `tests/bench/README.md`. Times are per call: wall time, and the processor time of this
process and of the child processes that it has waited for.
"""

import gc
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

CONFIDENCE = 0.95
LONG_CALL_S = 5.0
"""A peer whose call takes so long is warm after one."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a peer returns that times itself: the part of its call that counts."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Peer:
    """Something to measure.

    Attributes:
        call: The work; its result is dropped, unless it is a `Timing`, which then counts instead of the call's times
            (for long calls: it stands for one call, and short ones are timed several in a row).
        amount: How much is done in one call, in the comparison's unit. Ratios are of times per unit.
    """

    call: Callable[[], object]
    amount: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """How long is measured.

    Attributes:
        warm_up_s: Every peer is called for so long before it is timed, at least twice.
        round_s: A peer with shorter calls is called several times in a row, for about so long.
        budget_s: As many rounds as fit.
        min_rounds: At least so many, however long they take.
        max_rounds: At most so many.
    """

    warm_up_s: float = 0.05
    round_s: float = 0.005
    budget_s: float = 1.5
    min_rounds: int = 7
    max_rounds: int = 25


@dataclass(frozen=True, slots=True)
class Samples:
    """Times per call of one peer, one of each round.

    Attributes:
        wall_s: Wall time.
        cpu_s: Processor time.
        amount: How much a call does.
        num_loops: How many calls a round's times are the mean of.
    """

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]
    amount: float
    num_loops: int

    @property
    def median_wall_s(self) -> float:
        """The middle one of the wall times."""
        return median(self.wall_s)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A median of ratios by round, and an interval for it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """The samples of all peers, in the order they were named; the first is the reference."""

    samples: Mapping[str, Samples]

    @property
    def reference(self) -> str:
        """The peer to which ratios are taken."""
        return next(iter(self.samples))

    def wall_ratio(self, peer: str) -> Ratio:
        """By how much a unit takes a peer longer than the reference, in wall time."""
        return self._ratio(peer, lambda samples: samples.wall_s)

    def cpu_ratio(self, peer: str) -> Ratio:
        """By how much a unit takes a peer longer than the reference, in processor time."""
        return self._ratio(peer, lambda samples: samples.cpu_s)

    def _ratio(self, peer: str, times: Callable[[Samples], Sequence[float]]) -> Ratio:
        """Divide within each round: what slows the machine for a while slows both."""
        mine, theirs = self.samples[peer], self.samples[self.reference]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.divide(times(mine), times(theirs)) * (theirs.amount / mine.amount)
        return Ratio(median(ratios.tolist()), *median_interval(ratios.tolist()))


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Give the order statistics that enclose the median at least so often, whatever the distribution.

    The number of values below the median is binomial(n, 1/2) (Conover, Practical Nonparametric Statistics, sec. 3.2).
    Of fewer than six values no two enclose it in 95 % of cases: then it is their range.
    """
    ordered, num_values = sorted(values), len(values)
    outside, place = 0.0, 0
    for rank in range(num_values // 2):
        outside += 2.0 * math.comb(num_values, rank) / 2.0**num_values
        if outside > 1.0 - confidence:
            break
        place = rank
    return ordered[place], ordered[num_values - 1 - place]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Give the median, then the lower and the upper quartile."""
    lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return middle, lower, upper


def cpu_s() -> float:
    """Processor time of this process, and of the children it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(peers: Mapping[str, Peer], contract: Contract) -> Comparison:
    """Measure peers in interleaved rounds."""
    calls_s = {name: _warm_up(peer, contract) for name, peer in peers.items()}
    loops = {name: max(1, math.ceil(contract.round_s / call_s)) for name, call_s in calls_s.items()}
    round_s = sum(call_s * loops[name] for name, call_s in calls_s.items())
    num_rounds = min(max(int(contract.budget_s / round_s), contract.min_rounds), contract.max_rounds)
    timings: dict[str, list[Timing]] = {name: [] for name in peers}
    was_collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(num_rounds):
            for name in turn(list(peers), number):
                timings[name].append(_time(peers[name].call, loops[name]))
    finally:
        if was_collecting:
            gc.enable()
    return Comparison(
        {
            name: Samples(
                wall_s=tuple(one.wall_s for one in timings[name]),
                cpu_s=tuple(one.cpu_s for one in timings[name]),
                amount=peer.amount,
                num_loops=loops[name],
            )
            for name, peer in peers.items()
        }
    )


def turn(names: Sequence[str], number: int) -> list[str]:
    """Order the peers in a round: each begins in turn, and every second lap of turns goes backwards.

    Nobody always comes after the same one, which may leave the caches warm or the processor hot.
    """
    first = number % len(names)
    order = [*names[first:], *names[:first]]
    return order if number // len(names) % 2 == 0 else order[::-1]


def _warm_up(peer: Peer, contract: Contract) -> float:
    """Call a peer until it is warm; give the time of its last call."""
    spent_s, num_calls, last_s = 0.0, 0, 0.0
    while num_calls < 2 or spent_s < contract.warm_up_s:
        start_s = time.perf_counter()
        peer.call()
        last_s = time.perf_counter() - start_s
        spent_s += last_s
        num_calls += 1
        if last_s > LONG_CALL_S:
            break
    return max(last_s, 1e-9)


def _time(call: Callable[[], object], num_loops: int) -> Timing:
    """Time so many calls in a row; give the mean."""
    start_s, start_cpu_s = time.perf_counter(), cpu_s()
    for _ in range(num_loops):
        result = call()
    wall_s, spent_cpu_s = time.perf_counter() - start_s, cpu_s() - start_cpu_s
    if isinstance(result, Timing):
        assert num_loops == 1, "a peer that times itself has calls that are long enough to be timed one by one"
        return result
    return Timing(wall_s / num_loops, spent_cpu_s / num_loops)
