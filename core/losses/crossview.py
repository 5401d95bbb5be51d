"""Weak losses on a pair of views: reprojection, symmetry, agreement of positions and of bones (Hua et al. 2022).

Each is the paper's sum over joints, bones and views of one sample, and a mean over the batch. Poses are in their own
camera's frame; the unit of lengths and of the image plane is the caller's. The paper states neither, and they decide
what its equal weights mean (ambiguity A11).
"""

import torch

from core.skeleton import Skeleton
from core.typing import Float, Tensor


def reprojection_loss(
    projected: Float[Tensor, "*batch V J 2"], truth: Float[Tensor, "*batch V J 2"]
) -> Float[Tensor, ""]:
    """L_r (Eq. 3): distances, not squared, of projected joints from their true image points.

    Args:
        projected: Image points of the refined joints (`project_normalised`, times K for pixels).
        truth: True image points in the same unit.
    """
    return (projected - truth).norm(dim=-1).sum(dim=(-2, -1)).mean()


def symmetry_loss(poses: Float[Tensor, "*batch V J 3"], skeleton: Skeleton) -> Float[Tensor, ""]:
    """L_s (Eq. 4): differences in length between every bone and its mirror image.

    The sum runs over all bones, as printed: a pair of bones counts twice, a bone on the midline is its own image.
    """
    order = {child: bone for bone, (_, child) in enumerate(skeleton.bones)}
    mirrored = [order[skeleton.mirror[child]] for _, child in skeleton.bones]
    lengths = bone_vectors(poses, skeleton).norm(dim=-1)
    return (lengths - lengths[..., mirrored]).abs().sum(dim=(-2, -1)).mean()


def transform_loss(
    poses: Float[Tensor, "*batch 2 J 3"], other_poses: Float[Tensor, "*batch 2 J 3"]
) -> Float[Tensor, ""]:
    """L_t (Eq. 5): distances between each view's pose and the other's in the same frame.

    The printed sum over `i = 1..V` has nothing that depends on `i`: a factor V, which is kept.

    Args:
        poses: `X_1` and `X_2`, each in its own camera's frame.
        other_poses: `X_{1<-2}` and `X_{2<-1}` (`exchange_views`).
    """
    distances = (poses - other_poses).norm(dim=-1).sum(dim=(-2, -1))
    return poses.shape[-3] * distances.mean()


def bone_direction_loss(
    poses: Float[Tensor, "*batch 2 J 3"], other_poses: Float[Tensor, "*batch 2 J 3"], skeleton: Skeleton
) -> Float[Tensor, ""]:
    """L_b (Eq. 6): one minus the cosine between each bone and the same bone of the other view, in the same frame.

    Args:
        poses: `X_1` and `X_2`, each in its own camera's frame.
        other_poses: `X_{1<-2}` and `X_{2<-1}` (`exchange_views`).
        skeleton: Tells the bones.
    """
    bones, others = bone_vectors(poses, skeleton), bone_vectors(other_poses, skeleton)
    cosines = torch.nn.functional.cosine_similarity(bones, others, dim=-1)
    return (1 - cosines).sum(dim=(-2, -1)).mean()


def bone_vectors(poses: Float[Tensor, "*batch J 3"], skeleton: Skeleton) -> Float[Tensor, "*batch K 3"]:
    """Vectors from parent to child, in the order of `skeleton.bones`."""
    parents, children = zip(*skeleton.bones, strict=True)
    return poses[..., list(children), :] - poses[..., list(parents), :]


def exchange_views(
    poses: Float[Tensor, "*batch 2 J 3"], to_other: Float[Tensor, "*batch 2 3 4"]
) -> Float[Tensor, "*batch 2 J 3"]:
    """Give `X_{1<-2} = T_{c1,c2} X_2` and `X_{2<-1} = T_{c2,c1} X_1`.

    Args:
        poses: `X_1` and `X_2`.
        to_other: `T_{c2,c1}`, which takes camera 1's frame to camera 2's, and `T_{c1,c2}`.
    """
    moved = poses @ to_other[..., :3].mT + to_other[..., None, :, 3]
    return moved.flip(-3)


def project_normalised(poses: Float[Tensor, "*batch J 3"], min_depth: float) -> Float[Tensor, "*batch J 2"]:
    """Project onto the plane `z = 1` (`x = Z^-1 X`; K takes the result to pixels).

    Args:
        poses: Joints in the camera's frame.
        min_depth: Depth at which nearer joints, and those behind the camera, are held, so that a step that throws a
            joint through the camera does not end the training.
    """
    return poses[..., :2] / poses[..., 2:].clamp(min=min_depth)
