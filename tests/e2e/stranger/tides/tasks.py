"""Fitting a level as a sum of tidal constituents, by stochastic gradient steps on hours drawn at random."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from tides.data import Gauge

PERIODS_H = {"M2": 12.4206, "S2": 12.0, "O1": 25.8193}


@dataclass(frozen=True)
class Model:
    """Which constituents there are, whether outliers are clipped, and how the fit is done."""

    solar: bool = True
    lunar_daily: bool = True
    clipping: bool = True
    num_steps: int = 60
    rate: float = 0.4


@dataclass(frozen=True)
class Cleaning:
    """Spikes further than this from the running median are cut."""

    spike_m: float = 1.5


Scores = TypedDict("Scores", {"test/rmse": float, "test/bias": float})


def clean(*, data: Gauge, cleaning: Cleaning, trial) -> dict[str, float]:
    """Cut spikes once, for every arm and seed."""
    hours, levels = data.read()
    median = np.median(levels)
    kept = np.clip(levels, median - cleaning.spike_m, median + cleaning.spike_m)
    np.savez(trial.artifact("clean.npz"), hours=hours, levels=levels, kept=kept)
    return {"num_cut": float((kept != levels).sum())}


def fit(*, model: Model, data: Gauge, seed: int, trial) -> Scores:
    """Fit on the first hours, score on the rest."""
    stored = np.load(trial.inputs["clean"] / "clean.npz")
    levels = stored["kept" if model.clipping else "levels"]
    design = constituents(stored["hours"], model)
    train = slice(0, data.num_train)
    state = trial.restore() or {"step": 0, "weights": [0.0] * design.shape[1]}
    weights = np.array(state["weights"])
    for step in range(state["step"] + 1, model.num_steps + 1):
        generator = np.random.default_rng([seed, step])
        rows = generator.integers(0, data.num_train, 48)
        error = design[rows] @ weights - levels[rows]
        weights -= model.rate * design[rows].T @ error / len(rows)
        loss = float(np.mean((design[train] @ weights - levels[train]) ** 2))
        state = {"step": step, "weights": weights.tolist()}
        trial.report(step, {"train/mse": loss}, state=state.copy)
    residual = design[data.num_train :] @ weights - stored["kept"][data.num_train :]
    draw(trial.artifact("residual.svg"), residual)
    return {"test/rmse": float(np.sqrt(np.mean(residual**2))), "test/bias": float(abs(residual.mean()))}


def constituents(hours: np.ndarray, model: Model) -> np.ndarray:
    """Give cosine and sine of each constituent at each hour, and a constant."""
    chosen = ["M2", *(["S2"] if model.solar else []), *(["O1"] if model.lunar_daily else [])]
    angles = [2 * np.pi * hours / PERIODS_H[name] for name in chosen]
    return np.stack([wave for angle in angles for wave in (np.cos(angle), np.sin(angle))] + [np.ones_like(hours)], 1)


def draw(path: Path, residual: np.ndarray) -> None:
    """Draw the residual as a line."""
    points = " ".join(f"{index},{20 - 10 * value:.1f}" for index, value in enumerate(residual))
    line = f'<polyline fill="none" stroke="teal" points="{points}"/>'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {len(residual)} 40">{line}</svg>')
