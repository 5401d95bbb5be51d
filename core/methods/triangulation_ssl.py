"""Roy, Citraro, Honari, Fua: "On Triangulation as a Form of Self-Supervision for 3D Human Pose Estimation" (2022).

The 2D detector f is pre-trained, adapted to the labelled set L, then fine-tuned with L_f = L_sup(L) + L_tri(U) (Eq. 1
and 3): joints triangulated from all views of an unlabelled set are projected back and pull the detections towards
them. The lifter g then learns from the triangulated poses (Eq. 2, `core.methods.lifting`).
"""

from dataclasses import dataclass
from typing import Literal

import torch

from core.geometry.projection import project_points
from core.geometry.triangulation import RobustConfig, WssRule, triangulate_dlt, triangulate_robust
from core.losses.pose import smooth_pose_mse
from core.losses.triangulation import supervised_loss, triangulation_loss
from core.methods.multiview import MultiViewBatch, box_size, to_box
from core.nn.detector import Detection, DetectorConfig, PoseDetector
from core.nn.soft_argmax import heatmap_cross_entropy
from core.nn.view_weights import ConfidenceHead, normalise_over_views
from core.typing import Bool, Float, Tensor, UInt8

Weighting = Literal["geometric", "uniform", "learned"]

_BOX_LIMIT = 2.0
"""Reprojections further than this from the box's centre, in half boxes, are held there: they are nobody's joints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsConfig:
    """A phase of gradient steps with Adam.

    Args:
        num_steps: How many.
        batch_size: Labelled crops (pre-training, adaptation), or crops in all (lifting).
        learning_rate: At the start.
        final_learning_rate: At the end, as a fraction of the start; in between half a cosine. 1 keeps it constant.
    """

    num_steps: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingConfig(StepsConfig):
    """Pre-training on the other synthetic domain."""

    num_steps: int = 3500
    batch_size: int = 32
    learning_rate: float = 2e-3
    final_learning_rate: float = 0.05
    heatmap_weight: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptationConfig(StepsConfig):
    """Adaptation to the labelled set, shared by all arms of a seed."""

    num_steps: int = 150
    batch_size: int = 32
    learning_rate: float = 5e-4
    final_learning_rate: float = 1.0
    heatmap_weight: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftingConfig(StepsConfig):
    """Training of the lifter with the detector frozen (Eq. 2)."""

    num_steps: int = 800
    batch_size: int = 96
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuningConfig:
    """Fine-tuning on labelled and unlabelled sets together (sec. 3.2).

    Args:
        num_steps: How many steps.
        num_labelled_sets: Multi-view sets with truth in a minibatch (8 crops each on the court; 8 in the paper).
        num_unlabelled_sets: Multi-view sets without truth in a minibatch.
        learning_rate: Of the detector.
        head_learning_rate: Of the confidence head of the learned weighting.
        max_gradient_norm: The gradient is clipped to this norm.
    """

    num_steps: int = 250
    num_labelled_sets: int = 1
    num_unlabelled_sets: int = 3
    learning_rate: float = 3e-4
    head_learning_rate: float = 1e-3
    max_gradient_norm: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfSupervisionConfig:
    """The switches of table 3, and the controls it lacks.

    Args:
        weighting: View weights: `geometric` (Eq. 5), `uniform` (none), or `learned` (Iskakov et al. 2019).
        weights_in_loss: The weights also multiply the loss (Eq. 3); else they act in the DLT only.
        differentiable: The gradient also flows through the triangulation; else its result is a fixed target
            (alpha = 1 of Eq. 8, with the detection term's coefficient 1 in both cases: ambiguity A6).
        wss_selection: Joints whose view pairs disagree (Eq. 6) are left out of the step.
        triangulation_loss_weight: Factor of L_tri; the paper has 1, and 0 is the supervised control.
        sigma_mm: Width of Eq. 5. The paper's 10 mm fits detections of a few millimetres (A5); chosen with the
            two thresholds on validation subjects of seeds that no report uses.
        wss_threshold_mm: RMS distance of the pairs' points to their centre (A1) above which a joint is left out.
        fallback_mm: The same statistic above which a measurement falls back to equal weights.
    """

    weighting: Weighting = "geometric"
    weights_in_loss: bool = True
    differentiable: bool = True
    wss_selection: bool = True
    triangulation_loss_weight: float = 1.0
    sigma_mm: float = 100.0
    wss_threshold_mm: float = 120.0
    fallback_mm: float = 250.0

    def training(self) -> RobustConfig:
        """Give Eq. 4 to 6 as used in a training step: a joint above the threshold is discarded."""
        rule = WssRule(statistic="rms_mm", threshold=self.wss_threshold_mm, above="discard")
        return RobustConfig(sigma_mm=self.sigma_mm, wss=rule)

    def measuring(self) -> RobustConfig:
        """Give Eq. 4 to 6 as used on test data: every joint gets a position."""
        rule = WssRule(statistic="rms_mm", threshold=self.fallback_mm, above="equal_weights")
        return RobustConfig(sigma_mm=self.sigma_mm, wss=rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Triangulated:
    """Joints in space, the view weights behind them, and which joints Eq. 6 keeps."""

    points_mm: Float[Tensor, "B J 3"]
    weights: Float[Tensor, "B V J"]
    kept: Bool[Tensor, "B J"]


class Detectors(torch.nn.Module):
    """What fine-tuning trains: the detector f and, for learned weights, the confidence head."""

    def __init__(self, config: DetectorConfig, num_joints: int) -> None:
        super().__init__()
        self.detector = PoseDetector(config, num_joints)
        self.head = ConfidenceHead(self.detector.num_features, num_joints)


def detect_views(
    detector: PoseDetector, images: UInt8[Tensor, "B V 3 H W"], amp: bool
) -> tuple[Float[Tensor, "B V J 2"], Detection]:
    """Run the detector on every view of every set; gives positions by view and the flat detection."""
    with torch.autocast(images.device.type, enabled=amp and images.device.type == "cuda"):
        detection: Detection = detector(images.flatten(0, 1))
    points_px = detection.points_px.unflatten(0, images.shape[:2])
    return points_px, detection


def triangulate(
    batch: MultiViewBatch,
    points_px: Float[Tensor, "B V J 2"],
    confidences: Float[Tensor, "B V J"] | None,
    weighting: Weighting,
    robust: RobustConfig,
) -> Triangulated:
    """Triangulate under one of the three weightings; views whose crop left the image do not take part.

    The spread of the pairs (Eq. 6) is measured whatever the weighting, so that selection can be studied alone.
    """
    usable = batch.usable[..., None].expand(points_px.shape[:-1])
    found = triangulate_robust(batch.projections, points_px, robust, visible=usable)
    if weighting == "geometric":
        return Triangulated(points_mm=found.points_mm, weights=found.weights * usable, kept=found.kept)
    weights = usable.to(points_px.dtype)
    if weighting == "learned":
        assert confidences is not None, "learned weights come with the head's confidences"
        num_views = weights.sum(-2, keepdim=True)
        weights = normalise_over_views(confidences * weights) * num_views * weights
    points_mm = triangulate_dlt(batch.projections, points_px, weights)
    return Triangulated(points_mm=points_mm, weights=weights, kept=found.kept)


def finetuning_loss(
    detectors: Detectors,
    labelled: MultiViewBatch,
    unlabelled: MultiViewBatch,
    config: SelfSupervisionConfig,
    amp: bool,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Compute L_f = L_sup(L) + L_tri(U) (Eq. 1; with Eq. 3's weights) and the numbers that tell how it goes.

    Both terms are sums over crops in the paper; here both are divided by the number of labelled crops, so that a crop
    counts the same with and without a label.
    """
    size_px = box_size(labelled.images)
    num_labelled = labelled.images.shape[0]
    images = torch.cat([labelled.images, unlabelled.images])
    points_px, detection = detect_views(detectors.detector, images, amp)
    labels = to_box(labelled.joints_px, size_px)
    usable = labelled.usable[..., None].expand(labels.shape[:-1])
    supervised = supervised_loss(to_box(points_px[:num_labelled], size_px), labels, usable)
    confidences = None
    head_loss = torch.zeros_like(supervised)
    if config.weighting == "learned":
        confidences = detectors.head(detection.features.detach()).unflatten(0, images.shape[:2])
        head_loss = confidence_loss(labelled, points_px[:num_labelled].detach(), confidences[:num_labelled], config)
        confidences = confidences[num_labelled:].detach()
    if config.triangulation_loss_weight == 0:
        return supervised + head_loss, {"supervised": supervised.detach()}
    self_supervised, kept = self_supervision(unlabelled, points_px[num_labelled:], confidences, config)
    metrics = {"supervised": supervised.detach(), "triangulation": self_supervised.detach(), "kept": kept}
    factor = config.triangulation_loss_weight * unlabelled.images.shape[0] / num_labelled
    return supervised + factor * self_supervised + head_loss, metrics


def self_supervision(
    batch: MultiViewBatch,
    points_px: Float[Tensor, "B V J 2"],
    confidences: Float[Tensor, "B V J"] | None,
    config: SelfSupervisionConfig,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Compute L_tri(U) (Eq. 3) and the fraction of joints kept.

    The weights carry no gradient: with one, w -> 0 would minimise the loss.
    """
    size_px = box_size(batch.images)
    triangulated = triangulate(batch, points_px, confidences, config.weighting, config.training())
    points_mm = triangulated.points_mm if config.differentiable else triangulated.points_mm.detach()
    reprojected = to_box(project_points(batch.projections, points_mm), size_px).clamp(-_BOX_LIMIT, _BOX_LIMIT)
    usable = batch.usable[..., None].to(points_px.dtype)
    weights = triangulated.weights.detach() if config.weights_in_loss else usable.expand(points_px.shape[:-1])
    kept = triangulated.kept if config.wss_selection else points_mm.isfinite().all(-1)
    loss = triangulation_loss(to_box(points_px, size_px), reprojected, weights=weights, kept=kept)
    return loss, triangulated.kept.float().mean()


def confidence_loss(
    labelled: MultiViewBatch,
    points_px: Float[Tensor, "B V J 2"],
    confidences: Float[Tensor, "B V J"],
    config: SelfSupervisionConfig,
) -> Float[Tensor, ""]:
    """Teach the confidence head on the labelled sets: Iskakov's smooth 3D error of the weighted DLT.

    Only the head learns from it (detections come detached): the detector gets the same supervision in every arm.
    """
    found = triangulate(labelled, points_px, confidences, "learned", config.measuring())
    return smooth_pose_mse(found.points_mm, labelled.joints_mm, found.points_mm.isfinite().all(-1))


def supervised_step_loss(
    detector: PoseDetector,
    images: UInt8[Tensor, "B 3 H W"],
    joints_px: Float[Tensor, "B J 2"],
    heatmap_weight: float,
    amp: bool,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Compute L_sup on single crops, as in pre-training and adaptation.

    The heatmaps' cross-entropy, times `heatmap_weight`, shapes them early on.
    """
    size_px = box_size(images)
    with torch.autocast(images.device.type, enabled=amp and images.device.type == "cuda"):
        detection: Detection = detector(images)
    usable = torch.ones_like(joints_px[..., 0], dtype=torch.bool)
    coordinates = supervised_loss(to_box(detection.points_px, size_px), to_box(joints_px, size_px), usable)
    heatmaps = heatmap_cross_entropy(detection.logits, joints_px, detector.stride).mean()
    error_px = (detection.points_px.detach() - joints_px).norm(dim=-1).mean()
    return coordinates + heatmap_weight * heatmaps, {"coordinates": coordinates.detach(), "error_px": error_px}
