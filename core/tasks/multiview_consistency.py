"""Rochette et al. (2019) as a study runs it: reconstruct frames, train the lifter, measure single views."""

from dataclasses import dataclass, field
from typing import Literal

import torch

from core.data.keypoints import KeypointsConfig, load_keypoints
from core.geometry.reconstruction import ReconstructionConfig
from core.interfaces import Trial
from core.methods.consistency_data import SeenViews, TrainingViews, pose_statistics, reconstruct_frames
from core.methods.multiview_consistency import ConsistencyConfig, ViewBatch, strong_loss, weak_loss
from core.methods.single_views import SingleViews, mean_distance_mm, predict, single_view_errors
from core.nn.residual_lifter import (
    ResidualLifter,
    ResidualLifterConfig,
    dropout_masks,
    initialise_xavier,
    root_relative,
)
from core.train.epochs import Batch, EpochTraining, Fit, Network, Schedule
from core.train.minibatches import seeded
from core.typing import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The schedule; the numbers are those of `standard` scale, the paper's in brackets.

    Args:
        num_frames: Frames of a batch (8).
        num_views: Views of each frame of a batch, drawn anew each time (16).
        num_epochs: (100).
        steps_per_epoch: Batches of an epoch; `None`: as many as cover the training frames once (the paper's epoch).
        learning_rate: Adam's, of the first epoch (5e-4).
        final_learning_rate: That of the last epoch over that of the first; between them it decays exponentially
            (0.96 an epoch for 100 epochs: 0.96^99).
        weight_decay: The paper has one and does not print it.
        dropout: Rate, not printed either.
        keep: Weights of the last epoch, or of that with the best validation (the paper stops early).
        validation_target: What predictions for validation subjects are compared to: their `reconstruction`, so that no
            true pose enters the choice of weights, or the `truth`.
        num_validation_views: Views of each validation frame that are compared.
    """

    num_frames: int = 8
    num_views: int = 16
    num_epochs: int = 20
    steps_per_epoch: int | None = 100
    learning_rate: float = 1e-2
    final_learning_rate: float = 0.0176
    weight_decay: float = 0.0
    dropout: float = 0.1
    keep: Literal["last", "best"] = "best"
    validation_target: Literal["reconstruction", "truth"] = "reconstruction"
    num_validation_views: int = 4

    @property
    def decay(self) -> float:
        """Factor on the learning rate after every epoch."""
        return float(self.final_learning_rate ** (1 / max(self.num_epochs - 1, 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiViewConsistency:
    """The method's settings.

    Args:
        network: h_theta.
        consistency: The supervision under study.
        training: Schedule and batches.
        reconstruction: How roots, output statistics and the strong twin's targets are made.
        min_joints: A view with fewer detected joints does not take part, in training or in tests.
        evaluate_on: Subjects that are measured: settings are chosen on `validation`, claims are made on `test`.
    """

    network: ResidualLifterConfig = field(default_factory=ResidualLifterConfig)
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    min_joints: int = 6
    evaluate_on: Literal["validation", "test"] = "test"


def run(*, method: MultiViewConsistency, data: KeypointsConfig, seed: int, trial: Trial) -> dict[str, float]:
    """Train one arm on one seed's frames and measure its predictions for single views of unseen people."""
    return run_stacked(method=method, data=data, seeds=(seed,), trials=(trial,))[0]


def run_stacked(
    *, method: MultiViewConsistency, data: KeypointsConfig, seeds: tuple[int, ...], trials: tuple[Trial, ...]
) -> list[dict[str, float]]:
    """Train several seeds at once; each has its own frames, weights and batches."""
    shares = [_Share(method, data, seed, trial.device) for seed, trial in zip(seeds, trials, strict=True)]
    EpochTraining(trials).run([share.fit() for share in shares], _schedule(method, shares[0]))
    return [share.measure() for share in shares]


class _Share:
    """One seed: its frames, its network, and its part of the training."""

    def __init__(self, method: MultiViewConsistency, data: KeypointsConfig, seed: int, device: str) -> None:
        self._method, self._seed, self._device = method, seed, device
        splits = load_keypoints(data, seed)
        train, validation, measured = (
            SeenViews.of(split, method.reconstruction.min_confidence, method.min_joints)
            for split in (splits.train, splits.validation, getattr(splits, method.evaluate_on))
        )
        config = method.consistency
        self._skeleton = splits.train.skeleton
        joints_mm, truth_mm = reconstruct_frames(train, method.reconstruction), splits.train.joints_mm
        self._statistics = pose_statistics(train, joints_mm, config.output_statistics)
        self.training = TrainingViews.build(
            train,
            truth_mm if config.root == "truth" else joints_mm,
            truth_mm if config.supervision == "truth" else joints_mm,
        )
        wanted_mm = splits.validation.joints_mm
        if method.training.validation_target == "reconstruction":
            wanted_mm = reconstruct_frames(validation, method.reconstruction)
        self._validation = SingleViews.build(
            validation, wanted_mm, self._statistics, method.training.num_validation_views
        )
        self._measured = SingleViews.build(measured, measured.keypoints.joints_mm, self._statistics)
        self._network = ResidualLifter(method.network, self._statistics)
        initialise_xavier(self._network, seeded(seed, 0))
        self._network.to(device)

    def fit(self) -> Fit:
        """This seed's share of the training."""
        root, method = self._skeleton.root, self._method
        return Fit(
            name="training",
            network=self._network,
            generator=seeded(self._seed, 1),
            minibatch=self._minibatch,
            loss=lambda network, batch, epoch: _loss(network, batch, epoch, method),
            validate=lambda _: mean_distance_mm(self._network, self._validation, root),
        )

    def _minibatch(self, generator: torch.Generator) -> Batch:
        config, network = self._method.training, self._method.network
        batch = self.training.draw(config.num_frames, config.num_views, generator)
        batch["inputs_px"] = root_relative(
            batch["points_px"], batch["present"], self._skeleton.root, self._statistics.input_mean_px
        )
        num_samples = config.num_frames * batch["used"].shape[1]
        batch["masks"] = dropout_masks(network, num_samples, config.dropout, generator)
        return {name: values.to(self._device) for name, values in batch.items()}

    def measure(self) -> dict[str, float]:
        """Errors on the subjects that are measured."""
        predicted_mm = predict(self._network, self._measured)
        return single_view_errors(predicted_mm, self._measured, self._skeleton.names, self._skeleton.root)


def _loss(network: Network, batch: Batch, epoch: int, method: MultiViewConsistency) -> tuple[Tensor, dict[str, Tensor]]:
    """Lift every view of the batch and compare, by Eq. 3 or with the target."""
    views, config = ViewBatch.of(batch), method.consistency
    relative_mm = network(batch["inputs_px"].flatten(0, 1), batch["present"].flatten(0, 1), batch["masks"]).unflatten(
        0, batch["used"].shape
    )
    if config.supervision == "weak":
        return weak_loss(relative_mm, views, config, config.projection_in(epoch, method.training.num_epochs))
    return strong_loss(relative_mm, batch["target_mm"], batch["known"], views, config)


def _schedule(method: MultiViewConsistency, share: _Share) -> Schedule:
    config = method.training
    steps = config.steps_per_epoch or -(-len(share.training.frames) // config.num_frames)
    return Schedule(
        num_epochs=config.num_epochs,
        steps_per_epoch=steps,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        decay=config.decay,
        keep=config.keep,
    )
