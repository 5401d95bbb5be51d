"""Moving one set of points onto another by least squares: the scale alone, or a similarity (Procrustes)."""

import torch

from core.typing import Bool, Float, Tensor

MIN_CLOSED_FORM = 256
"""Number of matrices from which on the closed form is faster than LAPACK."""

MIN_DIVISOR = 1e-4
"""Product of the three sums of two singular values, of a matrix of unit size, below which rounding would show."""

NUM_NEWTON_STEPS = 7
"""Enough where the divisor is not small; what has not settled goes the other way."""


def align_scale(
    source: Float[Tensor, "*batch N 3"], target: Float[Tensor, "*batch N 3"]
) -> Float[Tensor, "*batch N 3"]:
    """Scale the source about the origin so that squared distances to the target are smallest.

    A source of zeros stays where it is.
    """
    size = source.square().sum(dim=(-2, -1), keepdim=True)
    scale = (source * target).sum(dim=(-2, -1), keepdim=True) / torch.where(size > 0, size, 1.0)
    return scale * source


def align_similarity(
    source: Float[Tensor, "*batch N 3"], target: Float[Tensor, "*batch N 3"]
) -> Float[Tensor, "*batch N 3"]:
    """Rotate, scale and move the source so that squared distances to the target are smallest (Umeyama 1991).

    The rotation is proper: a mirror image is not turned inside out. A source whose points all coincide lands on the
    target's mean; a source or target that is not finite gives NaN, and leaves the rest of the batch alone. For
    evaluation: the gradient of the decomposition is undefined for symmetric poses.
    """
    is_finite = (source + target).sum(dim=(-2, -1), keepdim=True).isfinite()
    source, target = torch.where(is_finite, source, 0.0), torch.where(is_finite, target, 0.0)
    source_mean, target_mean = source.mean(dim=-2, keepdim=True), target.mean(dim=-2, keepdim=True)
    centred = source - source_mean
    products = (target - target_mean).mT @ centred
    rotation = nearest_rotation(products)
    size = centred.square().sum(dim=(-2, -1), keepdim=True)
    scale = (rotation * products).sum(dim=(-2, -1), keepdim=True) / torch.where(size > 0, size, 1.0)
    return centred @ (torch.where(is_finite, scale, torch.nan) * rotation).mT + target_mean


def nearest_rotation(matrices: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Proper rotation `R` with the largest `trace(R^T M)`, of finite matrices; any of them where there are several.

    In float64, in closed form from that largest trace (Markley 1993, FOAM), and one step towards orthogonality, which
    takes away what rounding of the trace leaves. Where the rotation is nearly undetermined, and in small batches, by
    singular value decomposition. Differentiable once where the rotation is unique.
    """
    flat = matrices.reshape(-1, 3, 3).double()
    if len(flat) < MIN_CLOSED_FORM:
        return _rotation_by_svd(flat).view(matrices.shape).to(matrices.dtype)
    size = flat.detach().square().sum(dim=(-2, -1), keepdim=True).sqrt()  # the rotation does not depend on it
    unit = flat / torch.where(size > 0, size, 1.0)
    cofactors = torch.linalg.cross(unit[:, [1, 2, 0]], unit[:, [2, 0, 1]])
    determinant, minors = (unit[:, 0] * cofactors[:, 0]).sum(dim=-1), cofactors.square().sum(dim=(-2, -1))
    trace, is_settled = _largest_trace(determinant, minors)
    half = (trace.square() - 1) / 2
    divisor = half * trace - determinant
    is_sound = is_settled & (divisor > MIN_DIVISOR)
    numerator = (half + 1)[:, None, None] * unit + trace[:, None, None] * cofactors - unit @ unit.mT @ unit
    rotation = numerator / torch.where(is_sound, divisor, 1.0)[:, None, None]
    rotation = 1.5 * rotation - 0.5 * rotation @ rotation.mT @ rotation
    if not bool(is_sound.all()):
        rest = (~is_sound).nonzero()[:, 0]
        rotation = rotation.index_copy(0, rest, _rotation_by_svd(flat[rest]))
    return rotation.view(matrices.shape).to(matrices.dtype)


def _largest_trace(
    determinant: Float[Tensor, "B"], minors: Float[Tensor, "B"]
) -> tuple[Float[Tensor, "B"], Bool[Tensor, "B"]]:
    """Largest root of `(x^2 - 1)^2 - 8 x determinant - 4 minors`, all of whose roots are real, and if it has settled.

    Newton's method from above falls onto it; the last step alone is recorded, which gives the root's gradient.
    """
    with torch.no_grad():
        trace = (1 + (12 * minors).sqrt()).sqrt()
        for _ in range(NUM_NEWTON_STEPS):
            step = _newton_step(trace, determinant, minors)
            trace = trace - step
        is_settled = step.abs() < 1e-6
    return trace - torch.where(is_settled, _newton_step(trace, determinant, minors), 0.0), is_settled


def _newton_step(
    trace: Float[Tensor, "B"], determinant: Float[Tensor, "B"], minors: Float[Tensor, "B"]
) -> Float[Tensor, "B"]:
    excess = trace.square() - 1
    slope = (4 * trace * excess - 8 * determinant).detach()
    slope = torch.where(slope > 0, slope, 1.0)
    return (excess.square() - 8 * trace * determinant - 4 * minors) / slope


def _rotation_by_svd(matrices: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B 3 3"]:
    """The same from the singular vectors, the last one turned where they would mirror."""
    left, _, right = torch.linalg.svd(matrices)
    signs = torch.ones_like(matrices[:, 0])
    signs[:, 2] = torch.where(torch.linalg.det(left @ right) < 0, -1.0, 1.0)
    return (left * signs[:, None]) @ right
