"""What `EpochTraining` costs beside a loop written by hand, and what it saves to train five seeds at once.

Rounds of both sides alternate and medians of their ratios count. On the CPU it is processor time of one thread, which a
busy machine disturbs least; on a GPU it is the wall's.
"""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median, quantiles

import pytest
import torch
from torch import nn

import core.tasks.crossview_ugcn as crossview
import core.tasks.multiview_consistency as consistency
from core.data.keypoints import KeypointsConfig
from core.interfaces import Standalone
from core.train.epochs import EpochTraining, Fit, Schedule
from core.train.minibatches import draw, initialise, seeded

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

NUM_SEEDS = 5
NUM_ROUNDS = 9
MIN_SPEED = 0.95
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.fixture
def say(capsys):
    """Print a figure although pytest captures what passing tests print."""

    def write(text):
        with capsys.disabled():
            print(f"\n{text}")

    return write


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Mlp(nn.Module):
    """Five linear layers, the first four with batch normalisation and dropout."""

    def __init__(self, width):
        super().__init__()
        sizes = [36, width, width, width, width]
        self.linears = nn.ModuleList(nn.Linear(*pair, bias=False) for pair in pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in sizes[1:])
        self.last = nn.Linear(width, 54)

    def forward(self, hidden, masks):
        for layer, (linear, norm) in enumerate(zip(self.linears, self.norms, strict=True)):
            hidden = torch.relu(norm(linear(hidden))) * masks[layer]
        return self.last(hidden)


def mlp_fit(seed, width, batch_size, device):
    network = Mlp(width)
    initialise(network, seeded(seed, 0))
    inputs = torch.randn(2_000, 36, generator=seeded(seed, 1)).to(device)
    wanted = (inputs @ torch.randn(36, 54, generator=seeded(seed, 2)).to(device)).tanh()

    def minibatch(generator):
        chosen = draw(2_000, batch_size, generator).to(device)
        masks = torch.empty(4, batch_size, width).bernoulli_(0.9, generator=generator).to(device) / 0.9
        return {"inputs": inputs[chosen], "wanted": wanted[chosen], "masks": masks}

    def loss(network, batch, epoch):
        errors = network(batch["inputs"], batch["masks"]) - batch["wanted"]
        return errors.square().mean(), {"absolute": errors.abs().mean()}

    return Fit(name="fit", network=network.to(device), generator=seeded(seed, 3), minibatch=minibatch, loss=loss)


class CapturedError(Exception):
    pass


def task_fits(task, method, device, folder):
    """Take the fits that a task would train."""
    trials = tuple(Standalone(folder, device=device) for _ in range(NUM_SEEDS))
    found = []

    class Recorder(EpochTraining):
        def run(self, fits, schedule):
            found.append((fits, schedule))
            raise CapturedError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(CapturedError):
        patch.setattr(task, "EpochTraining", Recorder)
        task.run_stacked(method=method, data=KeypointsConfig(), seeds=tuple(range(NUM_SEEDS)), trials=trials)
    ((fits, schedule),) = found
    return [replace(fit, validate=None) for fit in fits], replace(schedule, keep="last")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A network, its data and its schedule for every seed."""

    name: str
    make: Callable
    num_steps: int

    def fits(self, device, folder):
        fits, schedule = self.make(device, folder)
        return fits, replace(schedule, num_epochs=2, steps_per_epoch=self.num_steps)


def mlp_case(width, batch_size, num_steps):
    schedule = Schedule(num_epochs=2, steps_per_epoch=num_steps, learning_rate=1e-3, weight_decay=1e-4)

    def make(device, folder):
        return [mlp_fit(seed, width, batch_size, device) for seed in range(NUM_SEEDS)], schedule

    return Case(name=f"MLP of width {width}, batch {batch_size}", make=make, num_steps=num_steps)


LIFTER = Case(
    name="residual lifter, standard scale",
    make=lambda *at: task_fits(consistency, consistency.MultiViewConsistency(), *at),
    num_steps=30,
)
UGCN = Case(
    name="CV-UGCN, standard scale",
    make=lambda *at: task_fits(crossview, crossview.CrossviewConfig(), *at),
    num_steps=8,
)
SMALL, MIDDLE, LARGE = mlp_case(64, 64, 60), mlp_case(256, 64, 20), mlp_case(1024, 64, 4)


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def by_hand(fit, schedule):
    """The loop that people write."""
    parameters = [one for one in fit.network.parameters() if one.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True)
    curve = []
    for epoch in range(schedule.num_epochs):
        optimiser.param_groups[0]["lr"] = schedule.learning_rate * schedule.decay**epoch
        fit.network.train()
        total = 0.0
        for _ in range(schedule.steps_per_epoch):
            batch = fit.minibatch(fit.generator)
            optimiser.zero_grad()
            loss, _ = fit.loss(fit.network, batch, epoch)
            loss.backward()
            optimiser.step()
            total += loss.detach()
        curve.append(float(total) / schedule.steps_per_epoch)
    fit.network.eval()
    return curve


def trained(fits, schedule, folder):
    trials = [Standalone(folder) for _ in fits]
    EpochTraining(trials).run(fits, schedule)
    return [
        [values[f"{fit.name}/loss"] for _, values in trial.reports] for trial, fit in zip(trials, fits, strict=True)
    ]


def seconds(work, device):
    if device == "cpu":
        start_s = time.process_time()
        work()
        return time.process_time() - start_s
    torch.cuda.synchronize()
    start_s = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start_s


def alternate(first, second, device):
    """Time two pieces of work in turn, after a warm-up; give the medians and the ratios second to first."""
    first()
    second()
    pairs = []
    for index in range(NUM_ROUNDS):
        sides = {side: seconds((first, second)[side], device) for side in ((0, 1) if index % 2 else (1, 0))}
        pairs.append((sides[0], sides[1]))
    ratios = [pair[1] / pair[0] for pair in pairs]
    return [median(pair[side] for pair in pairs) for side in (0, 1)], median(ratios), quantiles(ratios, n=4)


@pytest.mark.parametrize("device", DEVICES)
@named([SMALL, MIDDLE, LIFTER, UGCN])
def test_the_loop_keeps_at_least_95_percent_of_the_speed_of_one_by_hand(say, tmp_path, case, device):
    fits, schedule = case.fits(device, tmp_path)
    ours, theirs = fits[0], replace(fits[0], network=deepcopy(fits[0].network), generator=seeded(9))
    ours = replace(ours, generator=seeded(9))
    assert trained([ours], schedule, tmp_path)[0] == pytest.approx(by_hand(theirs, schedule), rel=1e-4)
    times_s, ratio, (low, _, high) = alternate(
        lambda: trained([ours], schedule, tmp_path), lambda: by_hand(theirs, schedule), device
    )
    per_s = [schedule.num_epochs * schedule.steps_per_epoch / time_s for time_s in times_s]
    say(
        f"{case.name} on {device}: {per_s[0]:.1f} steps/s, by hand {per_s[1]:.1f}; "
        f"ratio {ratio:.3f} (quartiles {low:.3f} to {high:.3f}, {NUM_ROUNDS} rounds)"
    )
    assert ratio >= MIN_SPEED


@pytest.mark.parametrize("device", DEVICES)
@named([mlp_case(64, 16, 60), SMALL, MIDDLE, LARGE, LIFTER, UGCN])
def test_five_seeds_at_once_beside_five_runs(say, tmp_path, case, device):
    fits, schedule = case.fits(device, tmp_path)
    apart = [replace(fit, network=deepcopy(fit.network), generator=seeded(9, seed)) for seed, fit in enumerate(fits)]
    together = [replace(fit, generator=seeded(9, seed)) for seed, fit in enumerate(fits)]
    curves = [trained([fit], schedule, tmp_path)[0] for fit in apart]
    for found, expected in zip(trained(together, schedule, tmp_path), curves, strict=True):
        assert found == pytest.approx(expected, rel=0.02)
    times_s, ratio, (low, _, high) = alternate(
        lambda: trained(together, schedule, tmp_path),
        lambda: [trained([fit], schedule, tmp_path) for fit in apart],
        device,
    )
    steps = schedule.num_epochs * schedule.steps_per_epoch
    say(
        f"{case.name} on {device}: {1e3 * times_s[0] / steps:.2f} ms a step of {NUM_SEEDS} seeds at once, "
        f"{1e3 * times_s[1] / steps:.2f} ms apart; {ratio:.2f} times as fast "
        f"(quartiles {low:.2f} to {high:.2f}, {NUM_ROUNDS} rounds)"
    )
    if "width 64" in case.name:
        assert ratio > 1.0
