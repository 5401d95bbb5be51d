"""Roy et al. (2022) as a study runs it: pre-train the detector, adapt it per seed, fine-tune and lift per arm."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from core.interfaces import Trial
from core.methods.lifting import lifting_loss
from core.methods.multiview import MultiViewBatch, MultiViewData, box_size, take, to_box
from core.methods.pose_errors import detection_errors, lifting_targets, multi_view_errors, single_view_errors
from core.methods.triangulation_ssl import (
    AdaptationConfig,
    Detectors,
    FinetuningConfig,
    LiftingConfig,
    PretrainingConfig,
    SelfSupervisionConfig,
    detect_views,
    finetuning_loss,
    supervised_step_loss,
    triangulate,
)
from core.nn.detector import DetectorConfig
from core.nn.lifter import Lifter, LifterConfig
from core.simulator.dataset import Court, open_court
from core.simulator.pretraining import open_pretraining
from core.skeleton import HUMAN36M
from core.train.minibatches import draw, initialise, seeded
from core.train.phases import Phase, PhasedTraining
from core.typing import Bool, Float, Tensor

_DETECTOR_FILE = "detector.pt"
_ROOT = HUMAN36M.root


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedPart:
    """What pre-training takes of the method's configuration."""

    detector: DetectorConfig = field(default_factory=DetectorConfig)
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    amp: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptedPart:
    """What adaptation takes of the method's configuration."""

    detector: DetectorConfig = field(default_factory=DetectorConfig)
    adaptation: AdaptationConfig = field(default_factory=AdaptationConfig)
    amp: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmPart:
    """What an arm takes of the method's configuration.

    Args:
        detector: The 2D network f.
        finetuning: Its training with Eq. 1 and 3.
        self_supervision: The switches under study.
        lifter: The network g (and h).
        lifting: Its training with Eq. 2.
        evaluate_on: Subjects that are measured: settings are chosen on `validation`, claims are made on `test`.
        amp: Half precision for the detector where the device is a GPU.
    """

    detector: DetectorConfig = field(default_factory=DetectorConfig)
    finetuning: FinetuningConfig = field(default_factory=FinetuningConfig)
    self_supervision: SelfSupervisionConfig = field(default_factory=SelfSupervisionConfig)
    lifter: LifterConfig = field(default_factory=LifterConfig)
    lifting: LiftingConfig = field(default_factory=LiftingConfig)
    evaluate_on: Literal["validation", "test"] = "test"
    amp: bool = True


def pretrain_detector(*, method: PretrainedPart, trial: Trial) -> dict[str, float]:
    """Train the detector on the other synthetic domain, once for all arms and seeds."""
    crops = open_pretraining(trial.inputs["pictures"] / "pretraining")
    detectors = _new_detectors(method.detector, seed=0).to(trial.device)
    error_px = _train_supervised(
        detectors,
        crops.images,
        crops.joints_px,
        steps=method.pretraining,
        name="pretraining",
        amp=method.amp,
        seed=0,
        trial=trial,
    )
    torch.save(detectors.state_dict(), trial.artifact(_DETECTOR_FILE))
    return {"pretraining/error_px": error_px}


def adapt_detector(*, method: AdaptedPart, seed: int, trial: Trial) -> dict[str, float]:
    """Train the pre-trained detector on the labelled sets of a seed; every arm of the seed forks from it."""
    court = open_court(trial.inputs["court"] / "court")
    detectors = _load_detectors(method.detector, trial.inputs["detector"] / _DETECTOR_FILE, trial.device)
    labelled = court.labelled
    usable = labelled.inside.flatten()
    images = labelled.images.flatten(0, 1)[usable]
    joints_px = labelled.joints_px.flatten(0, 1)[usable]
    error_px = _train_supervised(
        detectors,
        images,
        joints_px,
        steps=method.adaptation,
        name="adaptation",
        amp=method.amp,
        seed=seed,
        trial=trial,
    )
    torch.save(detectors.state_dict(), trial.artifact(_DETECTOR_FILE))
    return {"adaptation/error_px": error_px}


def run(*, method: ArmPart, seed: int, trial: Trial) -> dict[str, float]:
    """Fine-tune the adapted detector with one arm's self-supervision, train the lifter, and measure both."""
    court = open_court(trial.inputs["court"] / "court")
    detectors = _load_detectors(method.detector, trial.inputs["adapted"] / _DETECTOR_FILE, trial.device)
    training = PhasedTraining(trial)
    training.run(_finetuning(detectors, court, method, seed, trial.device))
    detectors.requires_grad_(False)
    labelled = _detect_all(detectors, court.labelled, method, trial.device)
    unlabelled = _detect_all(detectors, court.unlabelled, method, trial.device)
    lifter = Lifter(method.lifter, HUMAN36M.num_joints).to(trial.device)
    initialise(lifter, seeded(seed, 2))
    training.run(_lifting(lifter, labelled, unlabelled, method, seed))
    measured = _detect_all(detectors, getattr(court, method.evaluate_on), method, trial.device)
    return {**_measure(measured, lifter, method), "kept/unlabelled": float(unlabelled.kept.float().mean())}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Detected:
    """Sets with their detections and the pose that the arm's own estimator makes of them."""

    sets: MultiViewBatch
    visible: Bool[Tensor, "N V J"]
    points_px: Float[Tensor, "N V J 2"]
    confidences: Float[Tensor, "N V J"]
    joints_mm: Float[Tensor, "N J 3"]
    kept: Bool[Tensor, "N J"]


def _new_detectors(config: DetectorConfig, seed: int) -> Detectors:
    detectors = Detectors(config, HUMAN36M.num_joints)
    if config.imagenet_weights is None:
        initialise(detectors, seeded(seed, 0))
    return detectors


def _load_detectors(config: DetectorConfig, path: Path, device: str) -> Detectors:
    detectors = Detectors(config, HUMAN36M.num_joints)
    detectors.load_state_dict(torch.load(path, weights_only=True))
    return detectors.to(device)


def _train_supervised(
    detectors: Detectors,
    images: Tensor,
    joints_px: Tensor,
    *,
    steps: PretrainingConfig | AdaptationConfig,
    name: str,
    amp: bool,
    seed: int,
    trial: Trial,
) -> float:
    """Train the detector alone on labelled crops; gives its mean error on the last minibatch's crops, in pixels."""
    generator = seeded(seed, 1)
    device = trial.device
    last: dict[str, Tensor] = {}

    def loss() -> tuple[Tensor, dict[str, Tensor]]:
        chosen = draw(len(images), steps.batch_size, generator)
        value, metrics = supervised_step_loss(
            detectors.detector,
            images[chosen].to(device),
            joints_px[chosen].float().to(device),
            steps.heatmap_weight,
            amp,
        )
        last.update(metrics)
        return value, metrics

    PhasedTraining(trial).run(
        Phase(
            name=name,
            module=detectors,
            optimiser=torch.optim.Adam(detectors.detector.parameters(), lr=steps.learning_rate),
            generator=generator,
            num_steps=steps.num_steps,
            loss=loss,
            max_gradient_norm=1.0,
            final_learning_rate=steps.final_learning_rate,
        )
    )
    return float(last["error_px"]) if last else float("nan")


def _finetuning(detectors: Detectors, court: Court, method: ArmPart, seed: int, device: str) -> Phase:
    config = method.finetuning
    labelled, unlabelled = court.labelled, court.unlabelled
    generator = seeded(seed, 3)

    def loss() -> tuple[Tensor, dict[str, Tensor]]:
        with_truth = take(labelled, draw(len(labelled.images), config.num_labelled_sets, generator), device)
        without = take(unlabelled, draw(len(unlabelled.images), config.num_unlabelled_sets, generator), device)
        return finetuning_loss(detectors, with_truth, without, method.self_supervision, method.amp)

    groups = [
        {"params": detectors.detector.parameters(), "lr": config.learning_rate},
        {"params": detectors.head.parameters(), "lr": config.head_learning_rate},
    ]
    return Phase(
        name="finetuning",
        module=detectors,
        optimiser=torch.optim.Adam(groups),
        generator=generator,
        num_steps=config.num_steps,
        loss=loss,
        max_gradient_norm=config.max_gradient_norm,
    )


@torch.no_grad()
def _detect_all(detectors: Detectors, data: MultiViewData, method: ArmPart, device: str) -> _Detected:
    """Run the frozen detector and the arm's own estimator over all sets, a few at a time."""
    options = method.self_supervision
    parts: list[tuple[Tensor, Tensor]] = []
    for chosen in torch.arange(len(data.images)).split(8):
        images = data.images[chosen].to(device)
        points_px, detection = detect_views(detectors.detector, images, method.amp)
        parts.append((points_px, detectors.head(detection.features.float()).unflatten(0, images.shape[:2])))
    points_px, confidences = (torch.cat(column) for column in zip(*parts, strict=True))
    sets = take(data, torch.arange(len(data.images)), device)
    pose = triangulate(sets, points_px, confidences, options.weighting, options.measuring())
    kept = triangulate(sets, points_px, None, "geometric", options.training()).kept
    return _Detected(
        sets=sets,
        visible=data.visible.to(device),
        points_px=points_px,
        confidences=confidences,
        joints_mm=pose.points_mm,
        kept=kept,
    )


def _lifting(lifter: Lifter, labelled: _Detected, unlabelled: _Detected, method: ArmPart, seed: int) -> Phase:
    """Set up Eq. 2: a third of each minibatch has the truth, the rest triangulated pseudo poses."""
    config = method.lifting
    generator = seeded(seed, 4)
    everywhere = torch.ones_like(labelled.kept)
    selected = unlabelled.kept if method.self_supervision.wss_selection else torch.ones_like(unlabelled.kept)
    sources = [
        (labelled, *lifting_targets(labelled.sets, labelled.sets.joints_mm, everywhere, _ROOT), config.batch_size // 3),
        (
            unlabelled,
            *lifting_targets(unlabelled.sets, unlabelled.joints_mm, selected, _ROOT),
            config.batch_size - config.batch_size // 3,
        ),
    ]

    def loss() -> tuple[Tensor, dict[str, Tensor]]:
        points, images, depths_m, known = [], [], [], []
        for source, source_depths_m, source_known, num_samples in sources:
            size_px = box_size(source.sets.images)
            views = source.sets.usable.flatten().nonzero().squeeze(1)
            chosen = views[draw(len(views), num_samples, generator).to(views.device)]
            points.append(to_box(source.points_px.flatten(0, 1)[chosen], size_px))
            images.append(source.sets.images.flatten(0, 1)[chosen])
            depths_m.append(source_depths_m.flatten(0, 1)[chosen])
            known.append(source_known.flatten(0, 1)[chosen])
        predicted_m = lifter(torch.cat(points), torch.cat(images))
        return lifting_loss(predicted_m, torch.cat(depths_m), torch.cat(known)), {}

    return Phase(
        name="lifting",
        module=lifter,
        optimiser=torch.optim.Adam(lifter.parameters(), lr=config.learning_rate),
        generator=generator,
        num_steps=config.num_steps,
        loss=loss,
        final_learning_rate=config.final_learning_rate,
    )


@torch.no_grad()
def _measure(measured: _Detected, lifter: Lifter, method: ArmPart) -> dict[str, float]:
    options = method.self_supervision
    sets, points_px = measured.sets, measured.points_px
    points = to_box(points_px, box_size(sets.images)).flatten(0, 1)
    relative_m = lifter(points, sets.images.flatten(0, 1)).unflatten(0, points_px.shape[:2])
    return {
        **multi_view_errors(
            sets,
            points_px,
            measured.confidences,
            weighting=options.weighting,
            robust=options.measuring(),
            root=_ROOT,
        ),
        **single_view_errors(sets, points_px, relative_m, _ROOT),
        **detection_errors(sets, points_px, measured.visible),
        "kept/measured": float(measured.kept.float().mean()),
    }
