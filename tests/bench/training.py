"""What is trained in benchmarks: a network, its data and its schedule, and the loops that people write by hand."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from torch import nn

import core.tasks.crossview_ugcn as crossview
import core.tasks.multiview_consistency as consistency
import core.tasks.triangulation_ssl as triangulation
from core.data.keypoints import KeypointsConfig
from core.interfaces import Standalone
from core.methods.triangulation_ssl import Detectors
from core.simulator.court import CourtConfig
from core.simulator.dataset import render_court
from core.skeleton import HUMAN36M
from core.train.epochs import EpochTraining, Fit, Schedule
from core.train.minibatches import draw, initialise, seeded
from core.train.phases import PhasedTraining

NUM_SEEDS = 5
COURT = CourtConfig(num_labelled=8, num_unlabelled=24, num_validation=2, num_test=2, num_frames=60)


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


def task_phases(device, folder):
    """Take the phases that an arm of Roy et al. would train: fine-tuning through the triangulation, then lifting."""
    method = triangulation.ArmPart()
    render_court(COURT, 0, folder / "court")
    detectors = Detectors(method.detector, HUMAN36M.num_joints)
    initialise(detectors, seeded(0, 0))
    torch.save(detectors.state_dict(), folder / "detector.pt")
    trial = Standalone(folder, inputs={"court": folder, "adapted": folder}, device=device)
    found = []

    class Recorder(PhasedTraining):
        def run(self, phase):
            found.append(phase)
            if len(found) == 2:
                raise CapturedError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(CapturedError):
        patch.setattr(triangulation, "PhasedTraining", Recorder)
        triangulation.run(method=method, seed=0, trial=trial)
    for phase in found:
        phase.module.requires_grad_(True)
    return {phase.name: phase for phase in found}


def phased(phase, num_steps, folder):
    """Train a phase for some steps."""
    PhasedTraining(Standalone(folder)).run(replace(phase, num_steps=num_steps))


def phase_by_hand(phase, num_steps):
    """The loop that people write, with clipping and a cosine."""
    rates = [group["lr"] for group in phase.optimiser.param_groups]
    phase.module.train()
    losses = []
    for step in range(num_steps):
        share = 0.5 * (1 + math.cos(math.pi * step / num_steps))
        for group, rate in zip(phase.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * (phase.final_learning_rate + (1 - phase.final_learning_rate) * share)
        phase.optimiser.zero_grad()
        loss, _ = phase.loss()
        loss.backward()
        if phase.max_gradient_norm is not None:
            for group in phase.optimiser.param_groups:
                nn.utils.clip_grad_norm_(group["params"], phase.max_gradient_norm)
        phase.optimiser.step()
        losses.append(loss.item())
    for group, rate in zip(phase.optimiser.param_groups, rates, strict=True):
        group["lr"] = rate
    phase.module.eval()
