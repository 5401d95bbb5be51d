import math

import pytest
import torch

from core.interfaces import Standalone
from core.train.minibatches import draw, initialise, seeded
from core.train.phases import Phase, PhasedTraining, cosine_factor


class StoppedError(Exception):
    pass


class Interrupted(Standalone):
    """Stops at a step, and remembers the checkpoint made there."""

    def __init__(self, folder, stop_at=None, checkpoint=None):
        super().__init__(folder)
        self.stop_at, self.checkpoint = stop_at, checkpoint

    def restore(self):
        return self.checkpoint

    def report(self, step, metrics, *, state=None):
        super().report(step, metrics)
        if step == self.stop_at:
            torch.save(state(), self.folder / "state.pt")
            self.checkpoint = torch.load(self.folder / "state.pt", weights_only=True)
            raise StoppedError


def train(trial):
    """Two phases with dropout, minibatches and Adam: everything a checkpoint must carry."""
    torch.manual_seed(3)
    data = torch.randn(50, 4, generator=seeded(1))
    training = PhasedTraining(trial, report_every=1)
    results = []
    for index, num_steps in enumerate([6, 5]):
        module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        initialise(module, seeded(index))
        generator = seeded(7, index)

        def loss(module=module, generator=generator):
            return module(data[draw(50, 8, generator)]).square().mean(), {}

        optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
        phase = Phase(
            name=f"phase{index}",
            module=module,
            optimiser=optimiser,
            generator=generator,
            num_steps=num_steps,
            loss=loss,
            max_gradient_norm=1.0,
            final_learning_rate=0.1,
        )
        training.run(phase)
        results += [parameter.detach().clone() for parameter in module.parameters()]
    return results


@pytest.mark.parametrize("stop_at", range(1, 12))
def test_a_training_stopped_at_any_step_ends_in_the_same_bits(tmp_path, stop_at):
    undisturbed = Interrupted(tmp_path)
    expected = train(undisturbed)
    stopped = Interrupted(tmp_path, stop_at=stop_at)
    with pytest.raises(StoppedError):
        train(stopped)
    resumed = Interrupted(tmp_path, checkpoint=stopped.checkpoint)
    found = train(resumed)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    assert stopped.reports + resumed.reports == undisturbed.reports


def test_a_loss_that_is_not_finite_ends_the_trial_with_a_sentence(tmp_path):
    module = torch.nn.Linear(1, 1)
    phase = Phase(
        name="fit",
        module=module,
        optimiser=torch.optim.SGD(module.parameters(), lr=1.0),
        generator=seeded(0),
        num_steps=1,
        loss=lambda: (module.weight.sum() * math.inf, {}),
    )
    with pytest.raises(FloatingPointError, match=r"fit: the loss is -?inf; lower the learning rate"):
        PhasedTraining(Standalone(tmp_path)).run(phase)


def test_the_learning_rate_falls_along_half_a_cosine():
    assert cosine_factor(0.0, 0.1) == 1.0
    assert cosine_factor(0.5, 0.1) == pytest.approx(0.55)
    assert cosine_factor(1.0, 0.1) == pytest.approx(0.1)


def test_seeded_generators_differ_by_every_number_and_by_order():
    seeds = {seeded(*numbers).initial_seed() for numbers in [(0,), (1,), (0, 0), (0, 1), (1, 0), (2, 1), (1, 2)]}
    assert len(seeds) == 7


def test_a_minibatch_repeats_nothing_while_there_is_enough():
    assert len(set(draw(10, 10, seeded(0)).tolist())) == 10
    assert draw(3, 8, seeded(0)).shape == (8,)
