"""The fixtures of benchmarks, and what a saved run of them carries and leaves behind."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bench import machine, table
from tests.bench.measuring import Comparison, Contract, Peer, Samples, measure, quartiles

README = Path(__file__).with_name("README.md")
CONTRACT = Contract()


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a figure although pytest captures what passing tests print."""

    def write(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}")

    return write


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def measured() -> dict[str, Comparison]:
    """What was measured in this run, by group: the rows of a group come of one comparison."""
    return {}


@pytest.fixture
def side_by_side(request: pytest.FixtureRequest, measured: dict[str, Comparison]) -> Callable[..., Comparison]:
    """Measure the peers of a group, once for all its rows, and hand one peer's row to pytest-benchmark."""

    def row(
        group: str, peer: str, peers: Callable[[], Mapping[str, Peer]], *, unit: str, contract: Contract = CONTRACT
    ) -> Comparison:
        clock = ReplayClock()
        request.node.add_marker(pytest.mark.benchmark(group=group, timer=clock.read))
        benchmark = request.getfixturevalue("benchmark")
        if not benchmark.enabled:
            peers()[peer].call()
            pytest.skip("called once and not timed: benchmarks are disabled")
        if group not in measured:
            measured[group] = measure(peers(), contract)
        comparison = measured[group]
        benchmark.extra_info.update(facts(comparison, peer), unit=unit, section=request.path.name)
        clock.replay(comparison.samples[peer], benchmark)
        return comparison

    return row


class ReplayClock:
    """A timer for pytest-benchmark that shows times measured before: its rounds cannot be interleaved.

    Its statistics, its files and its comparisons are then of the times that were measured side by side.
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def read(self) -> float:
        """Give the time, as `time.perf_counter` does."""
        return self._now_s

    def replay(self, samples: Samples, benchmark: Any) -> None:
        """Let a benchmark's rounds take what was measured."""
        times_s = iter(samples.wall_s)

        def pass_time() -> None:
            self._now_s += next(times_s)

        benchmark.pedantic(pass_time, rounds=len(samples.wall_s))


def facts(comparison: Comparison, peer: str) -> dict[str, Any]:
    """Give what stands in a saved run beside pytest-benchmark's own statistics of the wall time."""
    samples = comparison.samples[peer]
    ratios = {"wall": comparison.wall_ratio(peer), "cpu": comparison.cpu_ratio(peer)}
    return {
        "peer": peer,
        "place": list(comparison.samples).index(peer),
        "reference": comparison.reference,
        "amount": samples.amount,
        "loops": samples.num_loops,
        "rounds": len(samples.wall_s),
        "wall_s": [*quartiles(samples.wall_s)],
        "cpu_s": [*quartiles(samples.cpu_s)],
        "cpu_data_s": list(samples.cpu_s),
        "ratios": {name: [one.median, one.low, one.high] for name, one in ratios.items()},
    }


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Add versions, threads and cores; leave out what differs from minute to minute."""
    for name in ("hz_actual", "hz_actual_friendly"):
        machine_info["cpu"].pop(name, None)
    machine_info.update(machine.facts())


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: list[Any], output_json: dict[str, Any]) -> None:
    """Note how busy the machine was; a run that is saved also renews its rows of the table."""
    output_json["load_average"] = list(os.getloadavg())
    if config.getoption("benchmark_autosave") or config.getoption("benchmark_save"):
        README.write_text(table.renewed(README.read_text(), output_json))
