"""Hua et al. (2022) as a study runs it: triangulate pairs of views, train the refiner on 2D labels, measure both."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from core.data.keypoints import KeypointsConfig, KeypointSplits, load_keypoints
from core.interfaces import Trial
from core.methods.crossview_ugcn import (
    CrossviewConfig,
    PairSamples,
    TrainingConfig,
    pair_samples,
    weak_loss,
)
from core.metrics.pose import mpjpe_mm, pmpjpe_mm, root_aligned
from core.nn.ugcn import CrossViewUgcn, num_parameters, size_mb
from core.train.epochs import Batch, EpochTraining, Fit, Network, Plateau, Schedule
from core.train.minibatches import draw, seeded
from core.typing import Float, Tensor

ACTIONS = {
    **{"dir": "Directions", "disc": "Discussion", "eat": "Eating", "greet": "Greeting", "phone": "Phoning"},
    **{"photo": "Photo", "pose": "Posing", "purch": "Purchases", "sit": "Sitting", "sitd": "SittingDown"},
    **{"smoke": "Smoking", "wait": "Waiting", "walkd": "WalkDog", "walk": "Walking", "walkt": "WalkTogether"},
}
"""The paper's columns and Human3.6M's names for them."""

STEPS_PER_PX = 1_000
"""Curves over the 2D noise count thousandths of a pixel, beyond any number of epochs, as steps are whole numbers."""

_EVALUATION_BATCH = 1_024
Estimator = Callable[[Float[Tensor, "B 2 J 3"]], Float[Tensor, "B 2 J 3"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlopesConfig(CrossviewConfig):
    """The method at several strengths of 2D noise (Fig. 5).

    Args:
        sigmas_px: Standard deviations of the noise on true image points, along each axis; at least two. Zero is left
            out: a refiner's floor there bends the line that is fitted.
    """

    sigmas_px: tuple[float, ...] = (2.0, 5.0, 8.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seed:
    """What a seed brings: its number, its frames, and where it is computed."""

    number: int
    splits: KeypointSplits
    device: str


def run(*, method: CrossviewConfig, data: KeypointsConfig, seed: int, trial: Trial) -> dict[str, float]:
    """Train one arm on one seed and measure it; see `run_stacked`."""
    return run_stacked(method=method, data=data, seeds=(seed,), trials=(trial,))[0]


def run_stacked(
    *, method: CrossviewConfig, data: KeypointsConfig, seeds: tuple[int, ...], trials: tuple[Trial, ...]
) -> list[dict[str, float]]:
    """Train one arm on several seeds at once and measure each.

    Returns:
        For each seed, in millimetres over all frames, both views and all pairs: `mpjpe` (which one is
        `method.mpjpe`), `root_relative/mpjpe`, `absolute/mpjpe`, `pmpjpe`, the same under `triangulated/` for the
        input of the refinement, and `gain`, how far `mpjpe` is below it. `mpjpe` is also given by pair (`pair/p1`,
        ...), by action (`action/dir`, ..., and their mean `action/avg`) where the data have the paper's, and
        `pmpjpe` under test noise (`noise_5/pmpjpe` and `noise_5/triangulated`). `keypoints/error_px` is the mean
        distance of the 2D input from the truth, `model/...` the refiner's size (0 without one).
    """
    loaded = _load(data, seeds, trials)
    networks = _train(EpochTraining(trials), "refiner", method, loaded)
    return [_measure(method, seed, network) for seed, network in zip(loaded, networks, strict=True)]


def noise_slopes(*, method: SlopesConfig, data: KeypointsConfig, seed: int, trial: Trial) -> dict[str, float]:
    """Train and measure one seed at every strength of 2D noise; see `noise_slopes_stacked`."""
    return noise_slopes_stacked(method=method, data=data, seeds=(seed,), trials=(trial,))[0]


def noise_slopes_stacked(
    *, method: SlopesConfig, data: KeypointsConfig, seeds: tuple[int, ...], trials: tuple[Trial, ...]
) -> list[dict[str, float]]:
    """Train and measure at every strength of 2D noise, and fit a line to each of the two errors (Fig. 5).

    The points are reported as curves, `refined` and `triangulated`, at steps of `STEPS_PER_PX` for each pixel.

    Returns:
        For each seed `slope/refined` and `slope/triangulated`, millimetres for each pixel by least squares,
        `slope/ratio`, the intercepts in millimetres, and `sigma_2/refined`, `sigma_2/triangulated`, ...
    """
    if len(set(method.sigmas_px)) < 2 or min(method.sigmas_px) <= 0:
        raise ValueError(f"sigmas_px needs two strengths of noise above 0, got {method.sigmas_px}")
    loaded = _load(data, seeds, trials)
    training = EpochTraining(trials)
    points: list[dict[float, tuple[float, float]]] = [{} for _ in seeds]
    for sigma_px in method.sigmas_px:
        noisy = replace(method, keypoints="truth", keypoint_noise_px=sigma_px)
        networks = _train(training, f"sigma_{sigma_px:g}", noisy, loaded)
        for seed, network, found_at in zip(loaded, networks, points, strict=True):
            found = _measure(noisy, seed, network)
            found_at[sigma_px] = (found["mpjpe"], found["triangulated/mpjpe"])
    for trial, found_at in zip(trials, points, strict=True):
        for sigma_px, (refined, triangulated) in found_at.items():
            trial.report(round(STEPS_PER_PX * sigma_px), {"refined": refined, "triangulated": triangulated})
    return [_slopes(found_at) for found_at in points]


def _load(data: KeypointsConfig, seeds: Sequence[int], trials: Sequence[Trial]) -> list[_Seed]:
    return [
        _Seed(number=seed, splits=load_keypoints(data, seed), device=trial.device)
        for seed, trial in zip(seeds, trials, strict=True)
    ]


def _train(
    training: EpochTraining, name: str, method: CrossviewConfig, seeds: Sequence[_Seed]
) -> list[CrossViewUgcn | None]:
    """Train a refiner for each seed; nothing without refinement."""
    if not method.refinement:
        return [None for _ in seeds]
    fits: list[Fit] = []
    networks: list[CrossViewUgcn] = []
    num_steps = set()
    for seed in seeds:
        frames = seed.splits.train
        samples = pair_samples(frames, method, method.train_pairs or method.pair_names, seeded(seed.number, 2))
        network = CrossViewUgcn(method.network, frames.skeleton)
        network.initialise(seeded(seed.number, 0))
        networks.append(network.to(seed.device))
        num_steps.add(method.training.steps_per_epoch or -(-len(samples) // method.training.batch_size))
        fits.append(_fit(name, networks[-1], samples, seed, method))
    if len(num_steps) > 1:
        raise ValueError(f"seeds trained together need epochs of one length, got {sorted(num_steps)} steps; set it")
    training.run(fits, _schedule(method.training, num_steps.pop()))
    return list(networks)


def _fit(name: str, network: CrossViewUgcn, samples: PairSamples, seed: _Seed, method: CrossviewConfig) -> Fit:
    skeleton, batch_size = seed.splits.train.skeleton, method.training.batch_size

    def minibatch(generator: torch.Generator) -> Batch:
        chosen = samples.minibatch(draw(len(samples), batch_size, generator))
        return {key: value.to(seed.device) for key, value in chosen.items()}

    def loss(refine: Network, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        del epoch
        return weak_loss(refine(batch["triangulated_mm"]), batch, method.losses, skeleton)

    return Fit(name=name, network=network, generator=seeded(seed.number, 1), minibatch=minibatch, loss=loss)


def _schedule(config: TrainingConfig, steps_per_epoch: int) -> Schedule:
    return Schedule(
        num_epochs=config.num_epochs,
        steps_per_epoch=steps_per_epoch,
        learning_rate=config.learning_rate,
        decay=config.decay,
        plateau=Plateau(factor=config.plateau_factor, patience=config.plateau_patience),
    )


def _measure(method: CrossviewConfig, seed: _Seed, network: CrossViewUgcn | None) -> dict[str, float]:
    data = getattr(seed.splits, method.evaluate_on)
    samples = pair_samples(data, method, method.pair_names, seeded(seed.number, 3))
    refine = _estimator(network, seed.device)
    refined_mm = refine(samples.triangulated_mm)
    errors = _errors(refined_mm, samples.joints_mm, data.skeleton.root)
    plain = _errors(samples.triangulated_mm, samples.joints_mm, data.skeleton.root)
    metrics = {name: float(values.mean()) for name, values in errors.items()}
    metrics |= {f"triangulated/{name}": float(values.mean()) for name, values in plain.items()}
    chosen, chosen_plain = (found[f"{method.mpjpe}/mpjpe"] for found in (errors, plain))
    metrics["mpjpe"], metrics["triangulated/mpjpe"] = float(chosen.mean()), float(chosen_plain.mean())
    metrics["gain"] = metrics["triangulated/mpjpe"] - metrics["mpjpe"]
    for number, name in enumerate(method.pair_names):
        metrics[f"pair/{name.lower()}"] = float(chosen[samples.pair == number].mean())
    metrics |= _by_action(chosen, samples, data.actions)
    metrics |= _under_noise(method, samples, refine, seeded(seed.number, 4))
    metrics["keypoints/error_px"] = _keypoint_error_px(method, seed)
    return metrics | model_metrics(network)


def _errors(
    found_mm: Float[Tensor, "N 2 J 3"], truth_mm: Float[Tensor, "N 2 J 3"], root: int
) -> dict[str, Float[Tensor, " N"]]:
    """Errors of each sample, mean of its two views."""
    errors = {
        "root_relative/mpjpe": mpjpe_mm(root_aligned(found_mm, root), root_aligned(truth_mm, root)),
        "absolute/mpjpe": mpjpe_mm(found_mm, truth_mm),
        "pmpjpe": pmpjpe_mm(found_mm, truth_mm),
    }
    return {name: error.mean(dim=1) for name, error in errors.items()}


def _by_action(errors: Float[Tensor, " N"], samples: PairSamples, actions: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for column, name in ACTIONS.items():
        of_action = [samples.action == number for number, action in enumerate(actions) if action == name]
        if of_action and bool(of_action[0].any()):
            found[f"action/{column}"] = float(errors[of_action[0]].mean())
    return found | ({"action/avg": statistics.fmean(found.values())} if found else {})


def _under_noise(
    method: CrossviewConfig, samples: PairSamples, refine: Estimator, generator: torch.Generator
) -> dict[str, float]:
    """Move the triangulated joints, as Table 7 does: the same shifts at every strength, and in both cameras."""
    found: dict[str, float] = {}
    first_mm = torch.randn(samples.triangulated_mm[:, 0].shape, generator=generator)
    unit_mm = torch.stack([first_mm, first_mm @ samples.to_other[:, 0, :, :3].mT], dim=1)
    for strength in method.test_noise:
        noisy_mm = samples.triangulated_mm + method.noise_std_mm(strength) * unit_mm
        found[f"noise_{strength:g}/pmpjpe"] = float(pmpjpe_mm(refine(noisy_mm), samples.joints_mm).mean())
        found[f"noise_{strength:g}/triangulated"] = float(pmpjpe_mm(noisy_mm, samples.joints_mm).mean())
    return found


def _keypoint_error_px(method: CrossviewConfig, seed: _Seed) -> float:
    """Mean distance of the 2D input from the truth, over the joints that were found."""
    data = getattr(seed.splits, method.evaluate_on)
    if method.keypoints == "truth":
        noise = torch.randn(data.truth_px.shape, generator=seeded(seed.number, 3))
        return method.keypoint_noise_px * float(noise.norm(dim=-1).mean())
    return float((data.points_px - data.truth_px).norm(dim=-1)[data.confidences > 0].mean())


def _estimator(network: CrossViewUgcn | None, device: str) -> Estimator:
    if network is None:
        return lambda poses_mm: poses_mm

    def refine(poses_mm: Float[Tensor, "B 2 J 3"]) -> Float[Tensor, "B 2 J 3"]:
        with torch.no_grad():
            return torch.cat([network(part.to(device)).cpu() for part in poses_mm.split(_EVALUATION_BATCH)])

    return refine


def model_metrics(network: CrossViewUgcn | None) -> dict[str, float]:
    """Give the refiner's size, in megabytes of float32 and in numbers; 0 without one."""
    if network is None:
        return {"model/size_mb": 0.0, "model/num_parameters": 0.0}
    return {"model/size_mb": size_mb(network), "model/num_parameters": float(num_parameters(network))}


def _slopes(found_at: dict[float, tuple[float, float]]) -> dict[str, float]:
    """Fit the lines."""
    sigmas_px = list(found_at)
    found: dict[str, float] = {}
    for number, name in enumerate(("refined", "triangulated")):
        errors_mm = [errors[number] for errors in found_at.values()]
        line = statistics.linear_regression(sigmas_px, errors_mm)
        found |= {f"slope/{name}": line.slope, f"intercept/{name}": line.intercept}
        found |= {f"sigma_{sigma_px:g}/{name}": errors[number] for sigma_px, errors in found_at.items()}
    return found | {"slope/ratio": found["slope/refined"] / found["slope/triangulated"]}
