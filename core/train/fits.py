"""What an epoch-wise training is told: the seeds' shares, the schedule, and how far a seed has come."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from core.typing import Tensor

Batch = Mapping[str, Tensor]
"""One minibatch, by name."""

Network = Callable[..., Any]
"""A module, or its functional form over one seed's slice of stacked parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """One seed's share of a training.

    Args:
        name: Names the training in checkpoints and in front of its metrics; the same for every seed.
        network: What is trained: its parameters that require a gradient, each of which the loss must reach.
        generator: Decides the minibatches.
        minibatch: Draws one. Keys, shapes and types are the same for every seed and step. Dropout masks are drawn here
            too and handed to the network as inputs.
        loss: The loss of `(network, minibatch, epoch)` and numbers to report, each a tensor without axes. A pure
            function, the same for every seed (what differs is in the minibatch or in the network's buffers), without
            `.item()`, branches on values, or changes of its inputs: several seeds are computed by one call.
        validate: Called with the network in eval mode after every epoch; lower is better.
    """

    name: str
    network: nn.Module
    generator: torch.Generator
    minibatch: Callable[[torch.Generator], Batch]
    loss: Callable[[Network, Batch, int], tuple[Tensor, dict[str, Tensor]]]
    validate: Callable[[nn.Module], float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateau:
    """Lower the learning rate where the mean training loss of an epoch has stopped falling.

    Counts as `torch.optim.lr_scheduler.ReduceLROnPlateau` with `threshold=0` does.

    Args:
        factor: The rate is multiplied by it.
        patience: So many epochs in a row without a new minimum are let pass; the next one lowers the rate.
    """

    factor: float = 0.9
    patience: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long, how fast, and which weights are kept. The optimiser is Adam.

    Args:
        num_epochs: Length of the training.
        steps_per_epoch: Minibatches of an epoch.
        learning_rate: Of the first epoch.
        weight_decay: Added to the gradient, times the weights, as `torch.optim.Adam` does.
        decay: The rate is multiplied by it after every epoch.
        plateau: Lowers the rate further, each seed's by its own loss.
        keep: The weights after the last epoch, or those of the epoch with the lowest validation (the first of equals).

    Raises:
        ValueError: A number is out of its range.
    """

    num_epochs: int
    steps_per_epoch: int
    learning_rate: float
    weight_decay: float = 0.0
    decay: float = 1.0
    plateau: Plateau | None = None
    keep: Literal["last", "best"] = "last"

    def __post_init__(self) -> None:
        if self.num_epochs < 1 or self.steps_per_epoch < 1:
            raise ValueError(
                f"a training needs at least 1 epoch of 1 step, got {self.num_epochs} epochs of {self.steps_per_epoch}"
            )
        if not (self.learning_rate > 0 and self.decay > 0 and self.weight_decay >= 0):
            raise ValueError(
                "learning_rate and decay must be above 0 and weight_decay not below, "
                f"got {self.learning_rate}, {self.decay} and {self.weight_decay}"
            )


class Progress:
    """What one seed remembers between epochs beside its network and optimiser: rate and best weights."""

    def __init__(self, fit: Fit, schedule: Schedule) -> None:
        self._fit = fit
        self._schedule = schedule
        self._rate_factor = 1.0
        self._lowest_loss = math.inf
        self._num_bad_epochs = 0
        self._best_validation = math.inf
        self._best_network: dict[str, Tensor] | None = None

    def learning_rate(self, epoch: int) -> float:
        """Give the rate of an epoch, counted from 0."""
        return self._schedule.learning_rate * self._schedule.decay**epoch * self._rate_factor

    def note(self, loss: float, validation: float | None) -> None:
        """Take in an epoch's mean training loss and its validation."""
        if self._schedule.plateau is not None:
            self._note_plateau(loss, self._schedule.plateau)
        if self._schedule.keep == "best" and validation is not None and validation < self._best_validation:
            self._best_validation = validation
            self._best_network = copied(self._fit.network.state_dict())

    def _note_plateau(self, loss: float, plateau: Plateau) -> None:
        self._num_bad_epochs = 0 if loss < self._lowest_loss else self._num_bad_epochs + 1
        self._lowest_loss = min(self._lowest_loss, loss)
        if self._num_bad_epochs > plateau.patience:
            self._rate_factor *= plateau.factor
            self._num_bad_epochs = 0

    def final(self) -> dict[str, Any]:
        """Give what stays of a finished training: the weights to keep, and where the generator stands."""
        kept = self._best_network if self._best_network is not None else copied(self._fit.network.state_dict())
        return {"network": kept, "generator": self._fit.generator.get_state()}

    def state(self) -> dict[str, Any]:
        """Give everything that decides the rest of the training but the optimiser's state."""
        return {
            "network": copied(self._fit.network.state_dict()),
            "generator": self._fit.generator.get_state(),
            "rate_factor": self._rate_factor,
            "lowest_loss": self._lowest_loss,
            "num_bad_epochs": self._num_bad_epochs,
            "best_validation": self._best_validation,
            "best_network": None if self._best_network is None else dict(self._best_network),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        self._fit.network.load_state_dict(state["network"])
        self._fit.generator.set_state(state["generator"].cpu())
        self._rate_factor = state["rate_factor"]
        self._lowest_loss = state["lowest_loss"]
        self._num_bad_epochs = state["num_bad_epochs"]
        self._best_validation = state["best_validation"]
        self._best_network = state["best_network"]


def trained_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    """Name the parameters that are trained."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors, so that later steps do not change them and a file holds no more than them."""
    return {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}


def refuse_unreached(name: str, gradients: Mapping[str, Tensor | None]) -> None:
    """Refuse parameters without a gradient: Adam would leave them, or decay them, depending on how it is called.

    Raises:
        ValueError: Some have none.
    """
    if unreached := [parameter for parameter, gradient in gradients.items() if gradient is None]:
        raise ValueError(
            f"{name}: the loss does not reach the parameters {', '.join(unreached)}; "
            "leave them out of the network, or freeze them with requires_grad_(False)"
        )
