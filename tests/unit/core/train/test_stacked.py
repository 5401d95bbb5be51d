import io
from dataclasses import replace

import pytest
import torch
from torch import nn

from core.interfaces import Standalone
from core.train.epochs import EpochTraining
from core.train.minibatches import seeded

SEEDS = (0, 1, 2)


def assert_close(found, expected, tolerance=1e-9):
    assert found.keys() == expected.keys()
    for name, one in found.items():
        torch.testing.assert_close(one, expected[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: n + m)


def trials_of(toys, tmp_path, num=3, **options):
    folders = [tmp_path / str(index) for index in range(num)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    return [toys.Interrupted(folder, **options) for folder in folders]


@pytest.fixture
def alone(toys, tmp_path):
    """Each seed by itself, in float64: its trial and its fit at the end."""
    trials = trials_of(toys, tmp_path)
    fits = [toys.run([trial], [seed], dtype=torch.float64)[0] for trial, seed in zip(trials, SEEDS, strict=True)]
    return trials, fits


def assert_like_alone(trials, fits, alone, first_step=0):
    for trial, fit, trial_alone, fit_alone in zip(trials, fits, *alone, strict=True):
        assert_close(fit.network.state_dict(), fit_alone.network.state_dict())
        assert torch.equal(fit.generator.get_state(), fit_alone.generator.get_state())
        assert not fit.network.training
        points = trial_alone.reports[first_step:]
        assert [step for step, _ in trial.reports] == [step for step, _ in points]
        for (_, found), (_, expected) in zip(trial.reports, points, strict=True):
            assert found == pytest.approx(expected, rel=1e-9)


def test_seeds_trained_at_once_end_like_separate_runs(toys, tmp_path, alone):
    """Weights, running statistics and their counts, curves, generators; with rates and best epochs that differ."""
    trials = trials_of(toys, tmp_path)
    fits = toys.run(trials, SEEDS, dtype=torch.float64)
    assert_like_alone(trials, fits, alone)
    states = [trial.last()["state"]["progress"] for trial in trials]
    assert len({state["rate_factor"] for state in states}) > 1
    best_epochs = [min(trial.reports, key=lambda point: point[1]["fit/validation"])[0] for trial in trials]
    assert len(set(best_epochs)) > 1
    assert all(
        int(fit.network.norm.num_batches_tracked) == 4 * best for fit, best in zip(fits, best_epochs, strict=True)
    )


def test_seeds_in_float32_agree_within_its_precision(toys, tmp_path):
    fits = toys.run(trials_of(toys, tmp_path), SEEDS)
    for seed, fit in zip(SEEDS, fits, strict=True):
        (apart,) = toys.run([Standalone(tmp_path)], [seed])
        assert_close(fit.network.state_dict(), apart.network.state_dict(), tolerance=1e-4)


def test_a_checkpoint_is_the_same_in_both_kinds_of_training(toys, tmp_path):
    single, stacked = (
        [trial.checkpoint for trial in stopped(toys, tmp_path, stop_at=3, groups=groups)]
        for groups in ([[0], [1], [2]], [[0, 1, 2]])
    )

    def compare(found, expected):
        assert type(found) is type(expected)
        if isinstance(found, dict):
            assert found.keys() == expected.keys()
            for name in found:
                compare(found[name], expected[name])
        elif isinstance(found, torch.Tensor):
            assert found.stride() == expected.stride()
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        else:
            assert found == pytest.approx(expected) if isinstance(found, float) else found == expected

    for found, expected in zip(stacked, single, strict=True):
        compare(found, expected)


def stopped(toys, tmp_path, stop_at, groups, names=("fit",)):
    trials = trials_of(toys, tmp_path, stop_at=stop_at)
    for group in groups:
        with pytest.raises(toys.StoppedError):
            toys.run([trials[seed] for seed in group], group, names=names, dtype=torch.float64)
    return trials


@pytest.mark.parametrize("order", [("apart", "together"), ("together", "apart")])
@pytest.mark.parametrize("stop_at", [1, 3, 6])
def test_trials_go_on_in_other_company_than_they_began(toys, tmp_path, alone, stop_at, order):
    groups = {"apart": [[0], [1], [2]], "together": [[0, 1, 2]]}
    first, then = order
    resumed = trials_of(toys, tmp_path)
    for trial, before in zip(resumed, stopped(toys, tmp_path, stop_at, groups[first]), strict=True):
        trial.checkpoint = before.checkpoint
    fits = []
    for group in groups[then]:
        fits += toys.run([resumed[seed] for seed in group], group, dtype=torch.float64)
    assert_like_alone(resumed, fits, alone, first_step=stop_at)


@pytest.mark.parametrize("stop_at", [2, 6, 7])
def test_seeds_stopped_together_end_in_the_same_bits(toys, tmp_path, stop_at):
    names = ("fit", "second")
    expected = toys.run(trials_of(toys, tmp_path), SEEDS, names=names, dtype=torch.float64)
    resumed = trials_of(toys, tmp_path)
    for trial, before in zip(resumed, stopped(toys, tmp_path, stop_at, [[0, 1, 2]], names), strict=True):
        trial.checkpoint = before.checkpoint
    found = toys.run(resumed, SEEDS, names=names, dtype=torch.float64)
    for one, other in zip(found, expected, strict=True):
        assert_close(one.network.state_dict(), other.network.state_dict(), tolerance=0)


def test_trials_at_different_epochs_are_refused(toys, tmp_path):
    trials = trials_of(toys, tmp_path)
    trials[0].checkpoint = stopped(toys, tmp_path, 2, [[0, 1, 2]])[0].checkpoint
    with pytest.raises(ValueError, match=r"fit: trials that train together must stand at the same epoch.* 2, 0, 0"):
        toys.run(trials, SEEDS, dtype=torch.float64)


def test_one_seed_that_diverges_spoils_no_other(toys, tmp_path, alone):
    fits = [toys.make_fit(seed, dtype=torch.float64) for seed in SEEDS]
    draw = fits[1].minibatch
    num_drawn = 0

    def poisoned(generator):
        nonlocal num_drawn
        num_drawn += 1
        batch = draw(generator)
        return {**batch, "wanted": batch["wanted"] / 0.0} if num_drawn == 10 else batch

    trials = trials_of(toys, tmp_path)
    message = r"^fit: the loss is (nan|inf) of seed 1 of 3 \(counted from 0\) in epoch 2; lower the learning rate$"
    with pytest.raises(FloatingPointError, match=message):
        EpochTraining(trials).run([fits[0], replace(fits[1], minibatch=poisoned), fits[2]], toys.schedule)
    assert [len(trial.reports) for trial in trials] == [3, 2, 3]
    for index, (trial, trial_alone) in enumerate(zip(trials, alone[0], strict=True)):
        for (_, found), (_, expected) in zip(trial.reports, trial_alone.reports, strict=False):
            assert found == pytest.approx(expected, rel=1e-9)
        if index != 1:
            assert all(bool(one.isfinite().all()) for one in trial.last()["state"]["optimiser"]["exp_avg_sq"].values())


def test_a_trial_that_is_stopped_lets_the_others_save(toys, tmp_path):
    trials = trials_of(toys, tmp_path, stop_at=2)
    with pytest.raises(toys.StoppedError):
        toys.run(trials, SEEDS)
    assert [trial.checkpoint["state"]["epoch"] for trial in trials] == [2, 2, 2]


def test_each_network_has_its_own_memory_afterwards(toys, tmp_path):
    (fit, other) = toys.run(trials_of(toys, tmp_path, 2), (0, 1))
    for tensor in fit.network.state_dict().values():
        assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        assert tensor.is_contiguous()
    before = other.network.first.weight.clone()
    with torch.no_grad():
        fit.network.first.weight.zero_()
    assert torch.equal(other.network.first.weight, before)
    sizes = []
    for one in (fit, toys.make_fit(0)):
        file = io.BytesIO()
        torch.save(one.network.state_dict(), file)
        sizes.append(file.tell())
    assert sizes[0] == sizes[1]


def test_losses_that_differ_between_seeds_are_refused(toys, tmp_path):
    fits = [
        toys.make_fit(0),
        toys.make_fit(1, loss_of=lambda loss: lambda *at: (2 * loss(*at)[0], {"absolute": at[2]})),
    ]
    with pytest.raises(ValueError, match=r"fit: seed 1 \(counted from 0\) has a loss of .* alone, but .* by the first"):
        EpochTraining(trials_of(toys, tmp_path, 2)).run(fits, toys.schedule)


def test_networks_that_differ_are_refused(toys, tmp_path):
    fits = [toys.make_fit(0), toys.make_fit(1)]
    fits[1].network.first = nn.Linear(4, 6)
    with pytest.raises(ValueError, match=r"seeds 0 and 1 .* cannot be stacked: they differ in first.bias$"):
        EpochTraining(trials_of(toys, tmp_path, 2)).run(fits, toys.schedule)
    fits = [toys.make_fit(0), toys.make_fit(1)]
    for fit in fits:
        fit.network.last.double()
    with pytest.raises(ValueError, match="the trained parameters must have one type"):
        EpochTraining(trials_of(toys, tmp_path, 2)).run(fits, toys.schedule)


@pytest.mark.parametrize("track", [True, False])
def test_batch_normalisation_of_images_keeps_each_seeds_statistics(toys, tmp_path, track):
    """Kernels, more axes, and layers without running statistics."""

    def fit_of(seed):
        network = nn.Sequential(
            nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3, track_running_stats=track), nn.ReLU(), nn.Conv2d(3, 1, 2)
        ).double()
        for parameter in network.parameters():
            parameter.data = torch.randn(parameter.shape, generator=seeded(seed)).double()
        return replace(
            toys.make_fit(seed),
            network=network,
            minibatch=lambda generator: {"images": torch.randn(4, 2, 6, 6, generator=generator).double()},
            loss=lambda network, batch, epoch: (network(batch["images"]).square().mean(), {}),
            validate=None,
        )

    schedule = replace(toys.schedule, keep="last", num_epochs=2)
    together = [fit_of(seed) for seed in SEEDS]
    EpochTraining(trials_of(toys, tmp_path)).run(together, schedule)
    for seed, fit in zip(SEEDS, together, strict=True):
        apart = fit_of(seed)
        EpochTraining([Standalone(tmp_path)]).run([apart], schedule)
        assert_close(fit.network.state_dict(), apart.network.state_dict(), tolerance=1e-8)
