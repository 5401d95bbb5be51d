"""Training in epochs, for one seed or several at once, that can be resumed at any epoch with the same result.

One seed runs the loop everybody writes by hand, several run as one (`core.train.stacked`). A seed's checkpoint is the
same in both, so that a trial that began alone may go on among others and the reverse.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from core.interfaces import Trial
from core.train.fits import (
    Batch,
    Fit,
    Network,
    Plateau,
    Progress,
    Schedule,
    copied,
    refuse_unreached,
    trained_parameters,
)
from core.train.stacked import StackedSteps
from core.typing import Tensor

__all__ = ["Batch", "EpochTraining", "Fit", "Network", "Plateau", "Schedule"]


@runtime_checkable
class Steps(Protocol):
    """Optimiser steps of all seeds of a training; both kinds do this."""

    def epoch(self, epoch: int, learning_rates: Sequence[float]) -> list[dict[str, float]]:
        """Take the steps of an epoch; give each seed's mean loss (`loss`) and mean metrics."""
        ...

    def state(self, index: int) -> dict[str, Any]:
        """Give one seed's optimiser state."""
        ...

    def load(self, index: int, state: Mapping[str, Any]) -> None:
        """Take one seed's optimiser state."""
        ...

    def release(self) -> None:
        """Leave each network with tensors of its own."""
        ...


class EpochTraining:
    """Runs trainings one after another within trials, one trial to a seed, and skips what checkpoints say is done.

    The epochs of all trainings are counted together, so that a trial's curves have one axis.
    """

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = tuple(trials)
        self._checkpoints = [trial.restore() for trial in self._trials]
        self._done: list[dict[str, Any]] = [{} for _ in self._trials]
        self._num_epochs_done = 0

    def run(self, fits: Sequence[Fit], schedule: Schedule) -> None:
        """Train every seed to the end, from wherever its checkpoint stands; report once an epoch.

        Leaves the weights to keep in each network, in eval mode.

        Args:
            fits: One for each trial, in the trials' order.
            schedule: The same for all.

        Raises:
            ValueError: The fits do not go together, or their checkpoints stand at different epochs.
            FloatingPointError: A seed's loss or validation is not finite. The other seeds have reported that epoch;
                none of them is touched by it, and each may go on alone from its checkpoint.
        """
        self._check(fits, schedule)
        first_epoch = self._first_epoch(fits[0].name, schedule)
        progress = [Progress(fit, schedule) for fit in fits]
        if first_epoch < schedule.num_epochs:
            steps: Steps = SingleSteps(fits[0], schedule) if len(fits) == 1 else StackedSteps(fits, schedule)
            for index, state in enumerate(self._states(fits[0].name)):
                if state is not None:
                    progress[index].load(state["progress"])
                    steps.load(index, state["optimiser"])
            for epoch in range(first_epoch, schedule.num_epochs):
                self._run_epoch(fits, progress, steps, epoch)
            steps.release()
            finals = [one.final() for one in progress]
        else:
            finals = self._finals(fits, progress)
        for index, (fit, final) in enumerate(zip(fits, finals, strict=True)):
            fit.network.load_state_dict(final["network"])
            fit.network.eval()
            fit.generator.set_state(final["generator"].cpu())
            self._done[index][fit.name] = final
        self._num_epochs_done += schedule.num_epochs

    def _check(self, fits: Sequence[Fit], schedule: Schedule) -> None:
        if len(fits) != len(self._trials) or len({fit.name for fit in fits}) != 1:
            raise ValueError(
                f"a training takes one fit for each of its {len(self._trials)} trials, all of one name, "
                f"got {', '.join(fit.name for fit in fits) or 'none'}"
            )
        name = fits[0].name
        if name in self._done[0]:
            raise ValueError(f"{name}: this trial has already run a training of that name; give each its own")
        if len({id(fit.network) for fit in fits}) + len({id(fit.generator) for fit in fits}) != 2 * len(fits):
            raise ValueError(f"{name}: two seeds share a network or a generator; each needs its own")
        if schedule.keep == "best" and any(fit.validate is None for fit in fits):
            raise ValueError(f"{name}: keep='best' needs a `validate` in every fit")

    def _states(self, name: str) -> list[dict[str, Any] | None]:
        """Give the state of each trial that was stopped in this training."""
        return [
            checkpoint["state"] if checkpoint is not None and checkpoint["fit"] == name else None
            for checkpoint in self._checkpoints
        ]

    def _first_epoch(self, name: str, schedule: Schedule) -> int:
        """Give the epoch at which all trials stand."""
        epochs = []
        for checkpoint, state in zip(self._checkpoints, self._states(name), strict=True):
            done = checkpoint is not None and name in checkpoint["done"]
            epochs.append(schedule.num_epochs if done else 0 if state is None else int(state["epoch"]))
        if len(set(epochs)) != 1:
            raise ValueError(
                f"{name}: trials that train together must stand at the same epoch, but their checkpoints are at "
                f"{', '.join(map(str, epochs))}; run those that differ apart"
            )
        return epochs[0]

    def _finals(self, fits: Sequence[Fit], progress: Sequence[Progress]) -> list[dict[str, Any]]:
        """Give what stays of a training whose last epoch is behind every trial."""
        finals = []
        name = fits[0].name
        for checkpoint, state, one in zip(self._checkpoints, self._states(name), progress, strict=True):
            if state is not None:
                one.load(state["progress"])
                finals.append(one.final())
            else:
                assert checkpoint is not None
                finals.append(checkpoint["done"][name])
        return finals

    def _run_epoch(self, fits: Sequence[Fit], progress: Sequence[Progress], steps: Steps, epoch: int) -> None:
        for fit in fits:
            fit.network.train()
        metrics = steps.epoch(epoch, [one.learning_rate(epoch) for one in progress])
        stops: list[BaseException] = []
        faults: list[str] = []
        for index, (fit, one, values) in enumerate(zip(fits, progress, metrics, strict=True)):
            if math.isfinite(values["loss"]) and fit.validate is not None:
                values["validation"] = _validation(fit.network, fit.validate)
            if fault := _fault(values):
                seed = f" of seed {index} of {len(fits)} (counted from 0)" if len(fits) > 1 else ""
                faults.append(f"{fit.name}: {fault}{seed} in epoch {epoch}")
                continue
            one.note(values["loss"], values.get("validation"))
            # A trial that is stopped must not keep the others from saving the same epoch.
            try:
                self._report(index, fit.name, epoch + 1, values, (one, steps))
            except BaseException as stop:
                stops.append(stop)
        if stops:
            raise stops[0]
        if faults:
            raise FloatingPointError(f"{'; '.join(faults)}; lower the learning rate")

    def _report(
        self, index: int, name: str, epoch: int, values: Mapping[str, float], of: tuple[Progress, Steps]
    ) -> None:
        progress, steps = of

        def checkpoint() -> dict[str, Any]:
            state = {"epoch": epoch, "progress": progress.state(), "optimiser": steps.state(index)}
            return {"fit": name, "state": state, "done": self._done[index]}

        named = {f"{name}/{metric}": value for metric, value in values.items()}
        self._trials[index].report(self._num_epochs_done + epoch, named, state=checkpoint)


class SingleSteps:
    """The plain loop: one seed, its own module, `torch.optim.Adam`."""

    def __init__(self, fit: Fit, schedule: Schedule) -> None:
        self._fit = fit
        self._num_steps = schedule.steps_per_epoch
        self._parameters = trained_parameters(fit.network)
        self._optimiser = torch.optim.Adam(
            self._parameters.values(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
        )

    def epoch(self, epoch: int, learning_rates: Sequence[float]) -> list[dict[str, float]]:
        """Take the steps of an epoch; give the mean loss and metrics."""
        (self._optimiser.param_groups[0]["lr"],) = learning_rates
        fit, optimiser = self._fit, self._optimiser
        history: list[dict[str, Tensor]] = []
        for step in range(self._num_steps):
            batch = fit.minibatch(fit.generator)
            optimiser.zero_grad(set_to_none=True)
            loss, metrics = fit.loss(fit.network, batch, epoch)
            loss.backward()
            if step == 0:
                refuse_unreached(fit.name, {name: one.grad for name, one in self._parameters.items()})
            optimiser.step()
            history.append({**metrics, "loss": loss.detach()})
        # One conversion an epoch: on a GPU each of them waits for the device.
        return [{name: _mean(one[name] for one in history) for name in history[0]}]

    def state(self, index: int) -> dict[str, Any]:
        """Give the optimiser's state, by parameter name."""
        del index
        states = {name: self._optimiser.state[parameter] for name, parameter in self._parameters.items()}
        return {
            "step": int(next(iter(states.values()))["step"]),
            "exp_avg": copied({name: state["exp_avg"] for name, state in states.items()}),
            "exp_avg_sq": copied({name: state["exp_avg_sq"] for name, state in states.items()}),
        }

    def load(self, index: int, state: Mapping[str, Any]) -> None:
        """Take the optimiser's state."""
        del index
        for name, parameter in self._parameters.items():
            self._optimiser.state[parameter] = {
                "step": torch.tensor(float(state["step"]), device=parameter.device),
                "exp_avg": state["exp_avg"][name].to(parameter, copy=True),
                "exp_avg_sq": state["exp_avg_sq"][name].to(parameter, copy=True),
            }

    def release(self) -> None:
        """Do nothing: the network's tensors are its own."""


def _mean(values: Iterable[Tensor]) -> float:
    return float(torch.stack([value.detach() for value in values]).double().mean())


def _validation(network: nn.Module, validate: Callable[[nn.Module], float]) -> float:
    network.eval()
    with torch.no_grad():
        return float(validate(network))


def _fault(values: Mapping[str, float]) -> str | None:
    """Say which of the numbers that decide the training is not finite."""
    for name in ("loss", "validation"):
        if not math.isfinite(values.get(name, 0.0)):
            return f"the {name} is {values[name]}"
    return None
