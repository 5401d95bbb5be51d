"""Moving one set of points onto another by least squares: the scale alone, or a similarity (Procrustes)."""

import torch

from core.typing import Float, Tensor


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
    is_finite = (source.isfinite() & target.isfinite()).all(dim=-1).all(dim=-1)[..., None, None]
    source, target = torch.where(is_finite, source, 0.0), torch.where(is_finite, target, 0.0)
    source_mean, target_mean = source.mean(dim=-2, keepdim=True), target.mean(dim=-2, keepdim=True)
    centred = source - source_mean
    left, values, right = torch.linalg.svd((target - target_mean).mT @ centred)
    signs = torch.ones_like(values)
    signs[..., 2] = torch.where(torch.linalg.det(left @ right) < 0, -1.0, 1.0)
    rotation = (left * signs[..., None, :]) @ right
    size = centred.square().sum(dim=(-2, -1), keepdim=True)
    scale = (values * signs).sum(dim=-1)[..., None, None] / torch.where(size > 0, size, 1.0)
    aligned = scale * centred @ rotation.mT + target_mean
    return torch.where(is_finite, aligned, torch.nan)
