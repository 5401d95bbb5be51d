"""Errors of 3D poses in millimetres, one for each pose: as it is, after the best scale, after the best similarity.

None of them aligns the roots by itself: whether a pose is compared in the world or relative to its root is the
caller's to say (`root_aligned`).
"""

from core.geometry.alignment import align_scale, align_similarity
from core.typing import Float, Tensor


def root_aligned(pose: Float[Tensor, "*batch J 3"], root: int = 0) -> Float[Tensor, "*batch J 3"]:
    """Pose relative to its root joint."""
    return pose - pose[..., root : root + 1, :]


def mpjpe_mm(predicted: Float[Tensor, "*batch J 3"], truth: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch"]:
    """Mean per joint position error: mean distance of the joints from the truth."""
    return (predicted - truth).norm(dim=-1).mean(dim=-1)


def nmpjpe_mm(predicted: Float[Tensor, "*batch J 3"], truth: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch"]:
    """MPJPE after the scale that is best by least squares (Rhodin et al. 2018).

    The scale acts about the origin: give root-relative poses. It minimises squares, so that the mean of distances may
    exceed the plain MPJPE.
    """
    return mpjpe_mm(align_scale(predicted, truth), truth)


def pmpjpe_mm(predicted: Float[Tensor, "*batch J 3"], truth: Float[Tensor, "*batch J 3"]) -> Float[Tensor, "*batch"]:
    """MPJPE after the best rotation, translation and scale (Procrustes; mirror images are not made to fit)."""
    return mpjpe_mm(align_similarity(predicted, truth), truth)
