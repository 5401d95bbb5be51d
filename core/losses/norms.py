"""Norms of difference vectors: Huber, L1 and L2, as functions to pass around.

Each norm takes difference vectors and gives one number for each, a function of their Euclidean length d. The three are
one family: `huber` is `l2` up to `delta` and `delta * (l1 - delta / 2)` beyond, so that it becomes `l2` as delta grows
and, over delta, `l1` as it vanishes. Minimising the sum over a sample gives its mean (`l2`) or its spatial median
(`l1`). All gradients are finite, at d = 0 too, where they are zero. Units are the caller's: scale the differences.
"""

from collections.abc import Callable
from typing import Literal

import torch

from core.typing import Bool, Float, Tensor

Norm = Callable[[Float[Tensor, "*batch D"]], Float[Tensor, "*batch"]]
"""What each of the three is, once Huber's delta is bound."""

NormName = Literal["huber", "l1", "l2"]


def lengths(differences: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
    """Euclidean lengths whose gradient at zero is zero (`norm` is right too; a root of a sum of squares gives NaN)."""
    squares = differences.square().sum(dim=-1)
    is_zero = squares == 0
    return torch.where(is_zero, 0.0, torch.where(is_zero, 1.0, squares).sqrt())


def huber(differences: Float[Tensor, "*batch D"], delta: float = 1.0) -> Float[Tensor, "*batch"]:
    """Huber's function of the length (Rochette et al. 2019, Eq. 15): `d^2 / 2` up to delta, `delta (d - delta / 2)` on.

    Args:
        differences: Difference vectors.
        delta: Length at which the square ends, in the unit of the differences.
    """
    distances = lengths(differences)
    return torch.where(distances <= delta, 0.5 * distances.square(), delta * (distances - 0.5 * delta))


def l1(differences: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
    """The length itself: every point pulls with the same force, however far it is."""
    return lengths(differences)


def l2(differences: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
    """Half the squared length: a point pulls with a force as large as its distance."""
    return 0.5 * differences.square().sum(dim=-1)


def choose_norm(name: NormName, delta: float) -> Norm:
    """Give the named norm as a function of the differences alone.

    Args:
        name: Which.
        delta: For `huber`; must be positive. The others have no use for it.

    Raises:
        ValueError: `delta` is not positive.
    """
    if not delta > 0:
        raise ValueError(f"Huber's delta must be > 0, got {delta}")
    if name == "huber":
        return lambda differences: huber(differences, delta)
    return {"l1": l1, "l2": l2}[name]


def masked_differences(
    first: Float[Tensor, "*batch D"], second: Float[Tensor, "*batch D"], counts: Bool[Tensor, "*batch"]
) -> Float[Tensor, "*batch D"]:
    """`first - second` where it counts and 0 elsewhere, where both may hold anything, NaN too."""
    return torch.where(counts[..., None], first, 0.0) - torch.where(counts[..., None], second, 0.0)
