"""The statistic of interleaved rounds, on peers whose times are known."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from tests.bench import measuring
from tests.bench.measuring import Comparison, Contract, Peer, Samples, Timing, cpu_s, measure, median_interval, turn

FEW = Contract(warm_up_s=0.0, round_s=0.0, budget_s=0.0, min_rounds=6)


class Clock:
    """A clock that stands still but for naps and work."""

    def __init__(self):
        self.wall_s = self.cpu_s = 0.0

    def nap(self, seconds):
        self.wall_s += seconds

    def work(self, seconds):
        self.wall_s += seconds
        self.cpu_s += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    reading = SimpleNamespace(perf_counter=lambda: clock.wall_s, process_time=lambda: clock.cpu_s)
    monkeypatch.setattr(measuring, "time", reading)
    return clock


def samples(wall_s, cpu_s=None, amount=1.0):
    return Samples(wall_s=tuple(wall_s), cpu_s=tuple(cpu_s or wall_s), amount=amount, num_loops=1)


def test_every_peer_begins_in_turn_and_follows_each_other_one():
    names = ["a", "b", "c"]
    rounds = [turn(names, number) for number in range(6)]
    assert {order[0] for order in rounds[:3]} == set(names)
    assert all(sorted(order) == names for order in rounds)
    followed = {pair for order in rounds for pair in itertools.pairwise(order)}
    assert followed == set(itertools.permutations(names, 2))


@pytest.mark.parametrize(
    ("num_values", "expected"),
    [(1, (0, 0)), (5, (0, 4)), (6, (0, 5)), (9, (1, 7)), (25, (7, 17))],
)
def test_the_interval_of_a_median_is_of_the_tabled_order_statistics(num_values, expected):
    """Conover's table of the sign test: ranks 2 and 8 of 9 values, 8 and 18 of 25."""
    assert median_interval(range(num_values)) == expected


def test_the_interval_covers_a_median_at_least_so_often():
    draws = np.random.default_rng(0).exponential(size=(2_000, 9))
    covered = [low <= math.log(2) <= high for low, high in map(median_interval, draws.tolist())]
    assert np.mean(covered) >= 0.95


def test_a_ratio_is_taken_within_each_round():
    """A machine that slows down for a while slows both: the ratio of every round is 2."""
    comparison = Comparison({"slow": samples([2, 4, 2, 20, 2, 2]), "fast": samples([1, 2, 1, 10, 1, 1])})
    ratio = comparison.wall_ratio("fast")
    assert (ratio.median, ratio.low, ratio.high) == (0.5, 0.5, 0.5)
    assert comparison.wall_ratio("slow").median == 1.0


def test_a_ratio_is_of_times_per_unit():
    comparison = Comparison({"by ten": samples([10.0] * 6, amount=10.0), "one": samples([3.0] * 6)})
    assert comparison.reference == "by ten"
    assert comparison.wall_ratio("one").median == 3.0


def test_processor_time_has_a_ratio_of_its_own():
    waiting = samples([1.0] * 6, cpu_s=[0.5] * 6)
    comparison = Comparison({"working": samples([1.0] * 6), "waiting": waiting})
    assert comparison.wall_ratio("waiting").median == 1.0
    assert comparison.cpu_ratio("waiting").median == 0.5


def test_peers_are_warmed_up_and_then_called_in_turn():
    calls = []
    measure({name: Peer(lambda name=name: calls.append(name)) for name in "ab"}, FEW)
    assert "".join(calls) == "aabb" + "ab" + "ba" + "ba" + "ab" + "ab" + "ba"


def test_short_calls_are_repeated_and_their_times_are_per_call(clock):
    def call():
        clock.nap(0.001)
        clock.work(0.003)

    found = measure({"call": Peer(call)}, Contract(round_s=0.018, budget_s=0.0, min_rounds=3)).samples["call"]
    assert found.num_loops == 5
    assert found.wall_s == pytest.approx([0.004] * 3)
    assert found.cpu_s == pytest.approx([0.003] * 3)


def test_the_budget_decides_how_many_rounds(clock):
    peers = {"nap": Peer(lambda: clock.nap(0.01))}
    assert len(measure(peers, Contract(budget_s=0.0, min_rounds=4)).samples["nap"].wall_s) == 4
    assert len(measure(peers, Contract(budget_s=0.095, min_rounds=4)).samples["nap"].wall_s) == 9
    assert len(measure(peers, Contract(budget_s=60.0, max_rounds=5)).samples["nap"].wall_s) == 5


def test_a_peer_may_time_itself():
    found = measure({"own": Peer(lambda: Timing(3.0, 2.0))}, FEW).samples["own"]
    assert (set(found.wall_s), set(found.cpu_s)) == ({3.0}, {2.0})


def test_processor_time_counts_children_that_have_ended(tmp_path):
    import subprocess
    import sys

    before_s = cpu_s()
    code = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert cpu_s() - before_s >= 0.2
