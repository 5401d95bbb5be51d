from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

from core.interfaces import Standalone
from core.train.epochs import EpochTraining, Fit, Plateau, Schedule
from core.train.fits import Progress
from core.train.minibatches import seeded


def same_bits(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_one_seed_ends_in_the_bits_of_the_loop_written_by_hand(toys, tmp_path):
    schedule = replace(toys.schedule, plateau=None, keep="last")
    trial = Standalone(tmp_path)
    (found,) = toys.run([trial], [5], schedule)

    fit = toys.make_fit(5)
    optimiser = torch.optim.Adam(
        [one for one in fit.network.parameters() if one.requires_grad], lr=0.05, weight_decay=0.01, fused=True
    )
    curve = []
    for epoch in range(6):
        optimiser.param_groups[0]["lr"] = 0.05 * 0.9**epoch
        fit.network.train()
        losses, absolutes = [], []
        for _ in range(4):
            batch = fit.minibatch(fit.generator)
            optimiser.zero_grad()
            loss, metrics = fit.loss(fit.network, batch, epoch)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            absolutes.append(metrics["absolute"].item())
        fit.network.eval()
        with torch.no_grad():
            validation = fit.validate(fit.network)
        curve.append((epoch + 1, sum(losses) / 4, sum(absolutes) / 4, validation))
    assert same_bits(found.network.state_dict(), fit.network.state_dict())
    assert torch.equal(found.generator.get_state(), fit.generator.get_state())
    assert not found.network.training
    names = ("fit/loss", "fit/absolute", "fit/validation")
    assert [(step, *(values[name] for name in names)) for step, values in trial.reports] == [
        pytest.approx(point, rel=1e-12) for point in curve
    ]


@pytest.mark.parametrize("stop_at", range(1, 13))
def test_a_training_stopped_at_any_epoch_ends_in_the_same_bits(toys, tmp_path, stop_at):
    undisturbed = toys.Interrupted(tmp_path)
    expected = toys.run([undisturbed], [1], names=("fit", "second"))[0]
    stopped = toys.Interrupted(tmp_path, stop_at=stop_at)
    with pytest.raises(toys.StoppedError):
        toys.run([stopped], [1], names=("fit", "second"))
    resumed = toys.Interrupted(tmp_path, checkpoint=stopped.checkpoint)
    found = toys.run([resumed], [1], names=("fit", "second"))[0]
    assert same_bits(found.network.state_dict(), expected.network.state_dict())
    assert torch.equal(found.generator.get_state(), expected.generator.get_state())
    assert stopped.reports + resumed.reports == undisturbed.reports
    assert [step for step, _ in undisturbed.reports] == list(range(1, 13))


def test_a_training_that_is_done_leaves_its_weights_in_a_later_run(toys, tmp_path):
    stopped = toys.Interrupted(tmp_path, stop_at=8)
    with pytest.raises(toys.StoppedError):
        toys.run([stopped], [1], names=("fit", "second"))
    whole, resumed = toys.make_fit(1), toys.make_fit(1)
    EpochTraining([Standalone(tmp_path)]).run([whole], toys.schedule)
    trial = toys.Interrupted(tmp_path, checkpoint=stopped.checkpoint)
    EpochTraining([trial]).run([resumed], toys.schedule)
    assert trial.reports == []
    assert same_bits(resumed.network.state_dict(), whole.network.state_dict())
    assert torch.equal(resumed.generator.get_state(), whole.generator.get_state())


def progress_of(**options):
    network = torch.nn.Linear(1, 1)
    fit = Fit(
        name="fit", network=network, generator=seeded(0), minibatch=lambda _: {}, loss=lambda *_: (torch.zeros(()), {})
    )
    return Progress(fit, Schedule(num_epochs=1, steps_per_epoch=1, learning_rate=0.1, **options))


@given(
    losses=st.lists(st.sampled_from([1.0, 2.0, 3.0, 2.0 - 1e-9]) | st.floats(0.1, 10), max_size=40),
    patience=st.integers(0, 4),
    factor=st.sampled_from([0.5, 0.9]),
)
def test_a_plateau_lowers_the_rate_where_torch_does(losses, patience, factor):
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    scheduler = ReduceLROnPlateau(optimiser, factor=factor, patience=patience, threshold=0.0, eps=0.0)
    progress = progress_of(plateau=Plateau(factor=factor, patience=patience))
    for epoch, loss in enumerate(losses):
        progress.note(loss, None)
        scheduler.step(loss)
        assert progress.learning_rate(epoch + 1) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12)


def test_the_rate_decays_as_torch_decays_it():
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    scheduler = ExponentialLR(optimiser, gamma=0.96)
    progress = progress_of(decay=0.96)
    for epoch in range(50):
        assert progress.learning_rate(epoch) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-12)
        optimiser.step()
        scheduler.step()


def test_the_first_of_the_best_epochs_is_kept(toys, tmp_path):
    seen = []
    values = iter([3.0, 1.0, 2.0, 1.0, 4.0, 1.5])

    def validate(network):
        seen.append({name: one.clone() for name, one in network.state_dict().items()})
        return next(values)

    fit = replace(toys.make_fit(0), validate=validate)
    EpochTraining([Standalone(tmp_path)]).run([fit], toys.schedule)
    assert same_bits(fit.network.state_dict(), seen[1])
    assert not same_bits(seen[1], seen[3])


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_a_parameter_that_the_loss_does_not_reach_is_refused(toys, tmp_path, num_seeds):
    fits = [toys.make_fit(seed) for seed in range(num_seeds)]
    for fit in fits:
        fit.network.unused = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="fit: the loss does not reach the parameters unused; leave them out"):
        EpochTraining([Standalone(tmp_path)] * num_seeds).run(fits, toys.schedule)


def test_numbers_that_are_not_finite_end_a_training_with_a_sentence(toys, tmp_path):
    def broken(loss):
        return lambda network, batch, epoch: (loss(network, batch, epoch)[0] / (0.0 if epoch == 2 else 1.0), {})

    trial = Standalone(tmp_path)
    with pytest.raises(FloatingPointError, match=r"^fit: the loss is (nan|inf) in epoch 2; lower the learning rate$"):
        toys.run([trial], [0], loss_of=broken)
    assert [step for step, _ in trial.reports] == [1, 2]
    fit = replace(toys.make_fit(0), validate=lambda _: float("nan"))
    with pytest.raises(FloatingPointError, match="fit: the validation is nan in epoch 0"):
        EpochTraining([trial]).run([fit], toys.schedule)


def test_fits_that_do_not_go_together_are_refused(toys, tmp_path):
    trial = Standalone(tmp_path)
    one, two = toys.make_fit(0), toys.make_fit(1)
    with pytest.raises(ValueError, match="one fit for each of its 1 trials, all of one name, got fit, fit"):
        EpochTraining([trial]).run([one, two], toys.schedule)
    with pytest.raises(ValueError, match="all of one name, got fit, other"):
        EpochTraining([trial, trial]).run([one, replace(two, name="other")], toys.schedule)
    with pytest.raises(ValueError, match="two seeds share a network or a generator"):
        EpochTraining([trial, trial]).run([one, replace(two, network=one.network)], toys.schedule)
    with pytest.raises(ValueError, match="keep='best' needs a `validate`"):
        EpochTraining([trial]).run([replace(one, validate=None)], toys.schedule)
    training = EpochTraining([trial])
    training.run([one], toys.schedule)
    with pytest.raises(ValueError, match="fit: this trial has already run a training of that name"):
        training.run([two], toys.schedule)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"num_epochs": 0}, "at least 1 epoch of 1 step, got 0 epochs of 4"),
        ({"steps_per_epoch": 0}, "at least 1 epoch of 1 step, got 6 epochs of 0"),
        ({"learning_rate": 0.0}, "got 0.0, 0.9 and 0.01"),
        ({"decay": float("nan")}, "got 0.05, nan and 0.01"),
        ({"weight_decay": -1.0}, "got 0.05, 0.9 and -1.0"),
    ],
)
def test_a_schedule_out_of_range_is_refused(toys, options, found):
    with pytest.raises(ValueError, match=found):
        replace(toys.schedule, **options)
