"""A small training with everything in it that several seeds at once could get wrong."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from core.interfaces import Standalone
from core.train.epochs import EpochTraining, Fit, Plateau, Schedule
from core.train.minibatches import draw, initialise, seeded

WIDTH = 6


class StoppedError(BaseException):
    """As the platform's own: no `Exception`."""


class Interrupted(Standalone):
    """Stops at a step, and remembers the checkpoint made there; `last` is that of the newest step."""

    def __init__(self, folder, stop_at=None, checkpoint=None):
        super().__init__(folder)
        self.stop_at, self.checkpoint = stop_at, checkpoint

    def restore(self):
        return self.checkpoint

    def report(self, step, metrics, *, state=None):
        super().report(step, metrics)
        self.last = state
        if step == self.stop_at:
            torch.save(state(), self.folder / "state.pt")
            self.checkpoint = torch.load(self.folder / "state.pt", weights_only=True)
            raise StoppedError


class Network(nn.Module):
    """Batch normalisation, dropout by masks, shared modules and weights, frozen ones, a table outside the state."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, WIDTH, bias=False)
        self.norm = nn.BatchNorm1d(WIDTH)
        self.middle = nn.Linear(WIDTH, WIDTH, bias=False)
        self.again = nn.Linear(WIDTH, WIDTH, bias=False)
        self.again.weight = self.middle.weight
        self.frozen = nn.Parameter(torch.zeros(WIDTH), requires_grad=False)
        self.last = nn.Linear(WIDTH, 1)
        self.also_last = self.last
        self.register_buffer("order", torch.arange(WIDTH).flip(0), persistent=False)

    def forward(self, inputs, masks):
        hidden = torch.relu(self.norm(self.first(inputs))) * masks + self.frozen
        return self.last(torch.tanh(self.again(torch.tanh(self.middle(hidden[..., self.order])))))[..., 0]


def make_fit(seed, name="fit", loss_of=None, dtype=torch.float32):
    network = Network()
    initialise(network, seeded(seed, 0))
    with torch.no_grad():
        network.frozen.copy_(0.1 * torch.randn(WIDTH, generator=seeded(seed, 1)))
    network.to(dtype)
    data = torch.randn(60, 4, generator=seeded(seed, 2)).to(dtype)
    wanted = (data[:, 0] * data[:, 1] + 0.3 * torch.randn(60, generator=seeded(seed, 3))).to(dtype)

    def minibatch(generator):
        chosen = draw(40, 8, generator)
        masks = torch.empty(8, WIDTH).bernoulli_(0.7, generator=generator).to(dtype)
        return {"inputs": data[chosen], "wanted": wanted[chosen], "masks": masks / 0.7}

    def loss(network, batch, epoch):
        errors = network(batch["inputs"], batch["masks"]) - batch["wanted"]
        weight = 1.0 if epoch < 3 else 0.5
        total = (errors.square() + weight * errors.abs()).mean()
        return total, {"absolute": errors.abs().mean()}

    def validate(network):
        assert not network.training
        assert not torch.is_grad_enabled()
        return float((network(data[40:], torch.ones(WIDTH).to(dtype)) - wanted[40:]).square().mean())

    return Fit(
        name=name,
        network=network,
        generator=seeded(seed, 4),
        minibatch=minibatch,
        loss=loss if loss_of is None else loss_of(loss),
        validate=validate,
    )


SCHEDULE = Schedule(
    num_epochs=6,
    steps_per_epoch=4,
    learning_rate=0.05,
    weight_decay=0.01,
    decay=0.9,
    plateau=Plateau(factor=0.5, patience=0),
    keep="best",
)


def run(trials, seeds, schedule=SCHEDULE, names=("fit",), **options):
    """Train one fit after another; give each seed's last network."""
    training = EpochTraining(trials)
    for name in names:
        fits = [make_fit(seed, name, **options) for seed in seeds]
        training.run(fits, schedule)
    return fits


@pytest.fixture(scope="session")
def toys():
    return SimpleNamespace(
        Interrupted=Interrupted, StoppedError=StoppedError, make_fit=make_fit, run=run, schedule=SCHEDULE
    )
