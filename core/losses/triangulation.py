"""Losses on image points: labels (Eq. 1, first term) and agreement with the triangulation (Eq. 1, 3 and 8).

Equations are those of Roy et al. 2022. They are sums; here each loss is its sum divided by the number of detections
given (all of `*batch V J`, whether they count or not), so that its size does not depend on the batch, while a joint
left out lowers it as it lowers the sum. The paper sets no weight between the two terms, and scales coordinates to
[-1, 1] by the person's box beforehand: give both arguments in the coordinates you want.
"""

import torch

from core.typing import Bool, Float, Tensor


def supervised_loss(
    predicted: Float[Tensor, "*batch J 2"],
    labels: Float[Tensor, "*batch J 2"],
    labelled: Bool[Tensor, "*batch J"] | None = None,
) -> Float[Tensor, ""]:
    """Squared distance of detections from their labels (Eq. 1, first term).

    Args:
        predicted: Detections, of any number of views or images.
        labels: Their true positions; where there is no label they may hold anything.
        labelled: Which labels exist; `None`: all.
    """
    return _weighted_mean_square(predicted, labels, None, labelled)


def triangulation_loss(
    detected: Float[Tensor, "*batch V J 2"],
    reprojected: Float[Tensor, "*batch V J 2"],
    weights: Float[Tensor, "*batch V J"] | None = None,
    kept: Bool[Tensor, "*batch J"] | None = None,
) -> Float[Tensor, ""]:
    """Squared distance of detections from the projected triangulation (Eq. 1, second term; weighted: Eq. 3).

    Gradients reach both arguments: the detections directly, and again through the triangulation.

    Args:
        detected: Detections.
        reprojected: Projections of the joints triangulated from them, in the same coordinates.
        weights: Reliability of each detection (Eq. 5); `None`: all ones.
        kept: Joints that count (Eq. 6); `None`: all. A joint that is not kept may hold anything, NaN too.
    """
    counts = None if kept is None else kept[..., None, :].expand(detected.shape[:-1])
    return _weighted_mean_square(detected, reprojected, weights, counts)


def blended_triangulation_loss(
    detected: Float[Tensor, "*batch V J 2"],
    reprojected: Float[Tensor, "*batch V J 2"],
    alpha: float,
    weights: Float[Tensor, "*batch V J"] | None = None,
    kept: Bool[Tensor, "*batch J"] | None = None,
) -> Float[Tensor, ""]:
    """Triangulation loss whose gradient takes the two paths in chosen parts (Eq. 8); alpha does not change its value.

    `alpha L(x, stop(xbar)) + (1 - alpha) L(stop(x), xbar)`: with alpha = 1 detections chase fixed targets (the paper's
    "non-differentiable"), with 0 gradients pass through the triangulation only, 0.5 is half of the full gradient.

    Args:
        detected: Detections.
        reprojected: Projections of the joints triangulated from them, in the same coordinates.
        alpha: Part of the direct path, in [0, 1].
        weights: As in `triangulation_loss`.
        kept: As in `triangulation_loss`.

    Raises:
        ValueError: `alpha` is not in [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha}")
    direct = triangulation_loss(detected, reprojected.detach(), weights, kept)
    through = triangulation_loss(detected.detach(), reprojected, weights, kept)
    return alpha * direct + (1 - alpha) * through


def _weighted_mean_square(
    first: Float[Tensor, "*batch 2"],
    second: Float[Tensor, "*batch 2"],
    weights: Float[Tensor, "*batch"] | None,
    counts: Bool[Tensor, "*batch"] | None,
) -> Float[Tensor, ""]:
    """Weighted sum of squared distances over the number of points; what does not count has no gradient."""
    if counts is not None:
        first = torch.where(counts[..., None], first, 0.0)
        second = torch.where(counts[..., None], second, 0.0)
    squares = (first - second).square().sum(dim=-1)
    if weights is not None:
        squares = squares * (weights if counts is None else torch.where(counts, weights, 0.0))
    return squares.sum() / max(squares.numel(), 1)
