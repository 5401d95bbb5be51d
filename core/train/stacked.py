"""Steps of several seeds at once: one call computes all of them over stacked parameters.

The axes: `S` seeds, `N` numbers of one seed's row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, vmap

from core.train.fits import Batch, Fit, Network, Schedule, copied, refuse_unreached, trained_parameters
from core.typing import Float, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a parameter lies in its seed's row.

    The weights of linear layers lie transposed: the gradient of a batched `x @ weight.T` comes out that way, and to
    turn a large one costs as much as the product itself.
    """

    start: int
    shape: torch.Size
    transposed: bool

    def of(self, rows: Float[Tensor, "S N"]) -> Tensor:
        """View the parameter of each seed, in its own shape."""
        values = rows[:, self.start : self.start + self.shape.numel()]
        if self.transposed:
            return values.view(-1, self.shape[1], self.shape[0]).mT
        return values.view(-1, *self.shape)

    def laid(self, values: Tensor) -> Tensor:
        """Turn a parameter (or one of each seed) the way it lies."""
        return values.mT if self.transposed else values


class StackedSteps:
    """Optimiser steps of several seeds over stacked parameters.

    The parameters of all seeds lie in one matrix, a row to a seed. Each network's parameters and buffers become views
    of the stacks, so that nothing is copied to validate a seed or to save it.

    On a CPU it pays for networks whose steps are mostly the cost of calls (widths of about 100 and less). Larger ones
    are faster one after another, since a single seed's numbers stay in the cache (`tests/bench/test_training.py`).

    Raises:
        ValueError: The networks differ in their parameters or buffers.
    """

    def __init__(self, fits: Sequence[Fit], schedule: Schedule) -> None:
        self._fits = tuple(fits)
        self._num_steps = schedule.steps_per_epoch
        _refuse_unlike(self._fits)
        self._places = _places(self._fits[0])
        self._aliases = _aliases(self._fits[0].network)
        self._flat = torch.stack([_row(self._places, trained_parameters(fit.network)) for fit in fits])
        self._leaves = {name: place.of(self._flat).requires_grad_() for name, place in self._places.items()}
        self._shared = _shared(self._fits)
        self._rest = _stack_rest(self._fits, {*self._leaves, *self._shared})
        self._point_networks_here()
        self._optimiser = torch.optim.Adam(
            [{"params": [row]} for row in self._flat.unbind()],
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        self._gradient = torch.empty_like(self._flat)
        for row, gradient in zip(self._rows, self._gradient.unbind(), strict=True):
            row.grad = gradient
        self._is_compared = False

    @property
    def _rows(self) -> list[Tensor]:
        return [group["params"][0] for group in self._optimiser.param_groups]

    def _point_networks_here(self) -> None:
        for index, fit in enumerate(self._fits):
            for name, parameter in fit.network.named_parameters():
                parameter.data = self._leaves[name].detach()[index] if name in self._leaves else self._rest[name][index]
            for name, buffer in fit.network.named_buffers():
                if name in self._rest:
                    buffer.data = self._rest[name][index]

    def epoch(self, epoch: int, learning_rates: Sequence[float]) -> list[dict[str, float]]:
        """Take the steps of an epoch; give each seed's mean loss and metrics."""
        for group, rate in zip(self._optimiser.param_groups, learning_rates, strict=True):
            group["lr"] = rate
        all_seeds = vmap(self._one_seed(epoch), in_dims=(0, 0, None, 0))
        history = [self._step(all_seeds, epoch, is_first=step == 0) for step in range(self._num_steps)]
        means = {name: torch.stack([one[name] for one in history]).double().mean(0).tolist() for name in history[0]}
        return [{name: values[index] for name, values in means.items()} for index in range(len(self._fits))]

    def _one_seed(self, epoch: int) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
        module, loss, aliases = self._fits[0].network, self._fits[0].loss, self._aliases

        def one_seed(
            leaves: dict[str, Tensor], rest: dict[str, Tensor], shared: dict[str, Tensor], batch: Batch
        ) -> tuple[Tensor, dict[str, Tensor]]:
            return loss(_bound(module, leaves | rest | shared, aliases), batch, epoch)

        return one_seed

    def _step(
        self, all_seeds: Callable[..., tuple[Tensor, dict[str, Tensor]]], epoch: int, *, is_first: bool
    ) -> dict[str, Tensor]:
        """Take one step of every seed; give losses and metrics."""
        batches = [fit.minibatch(fit.generator) for fit in self._fits]
        batch = {key: torch.stack([one[key] for one in batches]) for key in batches[0]}
        before = None if self._is_compared else copied(self._rest)
        losses, metrics = all_seeds(self._leaves, self._rest, self._shared, batch)
        # Seeds do not meet anywhere, so the gradient of the sum is each seed's own. The backward pass runs outside of
        # vmap, on ordinary batched kernels: small networks take 0.7 of the time of vmap over grad.
        gradients = torch.autograd.grad(losses.sum(), list(self._leaves.values()), allow_unused=is_first)
        if is_first:
            refuse_unreached(self._fits[0].name, dict(zip(self._leaves, gradients, strict=True)))
        if before is not None:
            self._compare(losses.detach(), before, batches, epoch)
        laid = [place.laid(one).flatten(1) for place, one in zip(self._places.values(), gradients, strict=True)]
        torch.cat(laid, dim=1, out=self._gradient)
        self._optimiser.step()
        return {name: value.detach() for name, value in {**metrics, "loss": losses}.items()}

    def _compare(self, losses: Tensor, rest: Mapping[str, Tensor], batches: Sequence[Batch], epoch: int) -> None:
        """Refuse losses that differ between seeds in more than network and minibatch: the first would serve for all."""
        self._is_compared = True
        for index, fit in enumerate(self._fits):
            own = self._shared | {name: tensor[index].clone() for name, tensor in rest.items()}
            own |= {name: tensor.detach()[index] for name, tensor in self._leaves.items()}
            with torch.no_grad():
                alone, _ = fit.loss(_bound(fit.network, own, self._aliases), batches[index], epoch)
            if not torch.isclose(alone, losses[index], rtol=1e-2, atol=1e-6, equal_nan=True):
                raise ValueError(
                    f"{fit.name}: seed {index} (counted from 0) has a loss of {alone.item():.6g} alone, but "
                    f"{losses[index].item():.6g} by the first seed's loss function; what differs between seeds belongs "
                    "into the minibatch or into a buffer of the network"
                )

    def state(self, index: int) -> dict[str, Any]:
        """Give one seed's optimiser state, by parameter name, as the plain loop does."""
        state = self._optimiser.state[self._rows[index]]
        return {
            "step": int(state["step"]),
            "exp_avg": self._named(state["exp_avg"]),
            "exp_avg_sq": self._named(state["exp_avg_sq"]),
        }

    def _named(self, row: Tensor) -> dict[str, Tensor]:
        return copied({name: place.of(row[None])[0] for name, place in self._places.items()})

    def load(self, index: int, state: Mapping[str, Any]) -> None:
        """Take one seed's optimiser state."""
        row = self._rows[index]
        self._optimiser.state[row] = {
            "step": torch.tensor(float(state["step"]), device=row.device),
            **{moment: _row(self._places, state[moment]).to(row) for moment in ("exp_avg", "exp_avg_sq")},
        }

    def release(self) -> None:
        """Leave each network with tensors of its own."""
        for fit in self._fits:
            for tensor in (*fit.network.parameters(), *fit.network.buffers()):
                tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)


def _bound(module: nn.Module, tensors: Mapping[str, Tensor], aliases: Mapping[str, str]) -> Network:
    """Give the module as a function with these tensors in place of its own."""
    own = {name: tensors[origin] for name, origin in aliases.items()}

    def network(*args: Any, **kwargs: Any) -> Any:
        return functional_call(module, own, args, kwargs, tie_weights=False)

    return network


def _aliases(network: nn.Module) -> dict[str, str]:
    """Map the name of each module's parameters and buffers to the first name of the tensor: shared ones have several.

    A module that is used in two places appears once: binding it twice would not undo itself.
    """
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for prefix, module in network.named_modules():
        own: list[tuple[str, Tensor]] = [*module.named_parameters(prefix, recurse=False, remove_duplicate=False)]
        own += module.named_buffers(prefix, recurse=False, remove_duplicate=False)
        found |= {name: first.setdefault(id(tensor), name) for name, tensor in own}
    return found


def _refuse_unlike(fits: Sequence[Fit]) -> None:
    """Refuse networks that cannot be stacked."""

    def facts(fit: Fit) -> list[tuple[Any, ...]]:
        tensors = _named_tensors(fit.network).items()
        return [(name, one.shape, one.dtype, one.device, one.requires_grad) for name, one in tensors]

    first = facts(fits[0])
    for index, fit in enumerate(fits):
        if facts(fit) != first:
            different = [name for name, *_ in set(facts(fit)) ^ set(first)]
            raise ValueError(
                f"{fit.name}: the networks of seeds 0 and {index} (counted from 0) cannot be stacked: they differ in "
                f"{', '.join(sorted(set(different)))}"
            )
    if len({(parameter.dtype, parameter.device) for parameter in trained_parameters(fits[0].network).values()}) != 1:
        raise ValueError(f"{fits[0].name}: the trained parameters must have one type and lie on one device")


def _places(fit: Fit) -> dict[str, Place]:
    """Give each trained parameter's place in a seed's row."""
    linear = {
        f"{prefix}.weight".lstrip(".")
        for prefix, module in fit.network.named_modules()
        if isinstance(module, nn.Linear)
    }
    found, start = {}, 0
    for name, parameter in trained_parameters(fit.network).items():
        found[name] = Place(start=start, shape=parameter.shape, transposed=name in linear)
        start += parameter.numel()
    return found


def _row(places: Mapping[str, Place], tensors: Mapping[str, Tensor]) -> Tensor:
    """Lay one seed's tensors into a row."""
    return torch.cat([place.laid(tensors[name].detach()).flatten() for name, place in places.items()])


def _named_tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _shared(fits: Sequence[Fit]) -> dict[str, Tensor]:
    """Take the buffers that are equal in all networks and no part of their state: adjacency matrices, index tables."""
    each = [_named_tensors(fit.network) for fit in fits]
    constant = each[0].keys() - fits[0].network.state_dict().keys()
    return {name: each[0][name] for name in constant if all(torch.equal(each[0][name], one[name]) for one in each)}


def _stack_rest(fits: Sequence[Fit], but: set[str]) -> dict[str, Tensor]:
    """Stack the other buffers and the frozen parameters, each by itself: normalisation changes its buffers in place."""
    each = [_named_tensors(fit.network) for fit in fits]
    return {name: torch.stack([one[name].detach() for one in each]) for name in each[0] if name not in but}
