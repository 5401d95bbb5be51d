"""Training in phases, one after another, that can be resumed at any step with the same result in the same bits.

A phase owns a module, an optimiser and the generator of its minibatches. A checkpoint holds the state of the phase that
runs and the final modules of those before it, and the state of the global generators (dropout draws from them).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from core.interfaces import Trial
from core.typing import Float, Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Some steps of one kind.

    Args:
        name: Names the phase in checkpoints and in front of its metrics.
        module: What is trained.
        optimiser: Over the module's parameters.
        generator: Decides the minibatches.
        num_steps: How many steps.
        loss: The loss of one minibatch and numbers to report; called once a step.
        max_gradient_norm: The gradient of each of the optimiser's groups is scaled down to this norm, if given: by
            group, so that one network's large gradient does not slow another's learning.
        final_learning_rate: The rate falls to this fraction of its start along half a cosine.
    """

    name: str
    module: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    num_steps: int
    loss: Callable[[], tuple[Float[Tensor, ""], Mapping[str, Tensor]]]
    max_gradient_norm: float | None = None
    final_learning_rate: float = 1.0

    def state(self) -> dict[str, Any]:
        """Give everything that decides the rest of the phase."""
        return {
            "module": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "minibatches": self.generator.get_state(),
            "random": random_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go back to a state."""
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["minibatches"].cpu())
        set_random_state(state["random"])


class PhasedTraining:
    """Runs phases within a trial, and skips what a checkpoint says is done.

    The steps of all phases are counted together, so that the trial's curves have one axis.
    """

    def __init__(self, trial: Trial, report_every: int = 25) -> None:
        self._trial = trial
        self._report_every = report_every
        self._checkpoint = trial.restore()
        self._done: dict[str, Any] = {}
        self._num_steps_done = 0

    def run(self, phase: Phase) -> None:
        """Train to the end of the phase, from wherever the checkpoint stands."""
        checkpoint = self._checkpoint
        first_step = 0
        if checkpoint is not None and phase.name in checkpoint["done"]:
            self._close(phase, checkpoint["done"][phase.name])
            return
        if checkpoint is not None and checkpoint["phase"] == phase.name:
            phase.load(checkpoint["state"])
            first_step = checkpoint["step"]
        phase.module.train()
        initial_rates = [group.setdefault("initial_lr", group["lr"]) for group in phase.optimiser.param_groups]
        for step in range(first_step, phase.num_steps):
            for group, rate in zip(phase.optimiser.param_groups, initial_rates, strict=True):
                group["lr"] = rate * cosine_factor(step / phase.num_steps, phase.final_learning_rate)
            metrics = _take_step(phase)
            if (step + 1) % self._report_every == 0 or step + 1 == phase.num_steps:
                self._report(phase, step + 1, metrics)
        self._close(phase, {"module": phase.module.state_dict(), "random": random_state()})

    def _report(self, phase: Phase, step: int, metrics: Mapping[str, Tensor]) -> None:
        named = {f"{phase.name}/{name}": float(value) for name, value in metrics.items()}
        self._trial.report(
            self._num_steps_done + step,
            named,
            state=lambda: {"phase": phase.name, "step": step, "state": phase.state(), "done": self._done},
        )

    def _close(self, phase: Phase, final: dict[str, Any]) -> None:
        phase.module.load_state_dict(final["module"])
        set_random_state(final["random"])
        phase.module.eval()
        self._done[phase.name] = final
        self._num_steps_done += phase.num_steps


def _take_step(phase: Phase) -> dict[str, Tensor]:
    """Take one optimiser step; a loss that is not finite ends the trial with a sentence, not with NaN in a table."""
    phase.optimiser.zero_grad(set_to_none=True)
    loss, metrics = phase.loss()
    if not torch.isfinite(loss):
        raise FloatingPointError(f"{phase.name}: the loss is {loss.item()}; lower the learning rate or clip more")
    loss.backward()
    if phase.max_gradient_norm is not None:
        for group in phase.optimiser.param_groups:
            nn.utils.clip_grad_norm_(group["params"], phase.max_gradient_norm)
    phase.optimiser.step()
    return {"loss": loss.detach(), **metrics}


def cosine_factor(progress: float, final: float) -> float:
    """Fall from 1 to `final` along half a cosine as `progress` goes from 0 to 1."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def random_state() -> dict[str, Tensor]:
    """Take the state of torch's global generators."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Tensor]) -> None:
    """Put torch's global generators back."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu())
