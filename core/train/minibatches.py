"""Minibatch order and initial weights from seeds, equal in every arm of a study."""

import torch
from torch import nn

from core.typing import Int, Tensor


def seeded(*numbers: int) -> torch.Generator:
    """Make a CPU generator whose stream depends on every number and on their order."""
    mixed = 0x9E3779B97F4A7C15
    for number in numbers:
        mixed = ((mixed ^ (number & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**64
        mixed ^= mixed >> 31
    return torch.Generator().manual_seed(mixed % 2**63)


def draw(num_items: int, batch_size: int, generator: torch.Generator) -> Int[Tensor, " N"]:
    """Draw a minibatch of indices: without repetition if there are enough items, else with."""
    if batch_size <= num_items:
        return torch.randperm(num_items, generator=generator)[:batch_size]
    return torch.randint(num_items, (batch_size,), generator=generator)


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw a module's weights anew from a generator: He's normal for matrices and kernels, zero for biases.

    Normalisation layers keep their ones and zeros.
    """
    with torch.no_grad():
        for parameter_name, parameter in module.named_parameters():
            if parameter.ndim > 1:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator).to(parameter) * (2 / fan_in) ** 0.5)
            elif parameter_name.endswith("bias"):
                parameter.zero_()
