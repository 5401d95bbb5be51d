"""How long a pair of views takes (Hua et al. 2022, beside Table 4): triangulation and refinement, no detection."""

import json
import time
from collections.abc import Callable

import torch

from core.interfaces import Trial
from core.methods.crossview_ugcn import CrossviewConfig, relative_poses, triangulate_pairs
from core.nn.ugcn import CrossViewUgcn
from core.skeleton import HUMAN36M
from core.tasks.crossview_ugcn import model_metrics
from core.train.minibatches import seeded
from core.typing import Tensor

NUM_REPEATS = 200
NUM_WARM_UP = 20


def run(*, method: CrossviewConfig, trial: Trial) -> dict[str, float]:
    """Time one pose at a time on this machine, with Human3.6M's joints.

    What is measured goes to the artifact `latency.json`. It is no metric: records of equal trials are equal in every
    bit, and times never are.

    Returns:
        The refiner's size, which needs no clock.
    """
    network = CrossViewUgcn(method.network, HUMAN36M).to(trial.device)
    network.initialise(seeded(0, 0))
    network.eval()
    pose = torch.eye(3, 4).repeat(1, 2, 1, 1)
    pose[0, 1, 0, 3] = 1_000.0
    to_other = relative_poses(pose).to(trial.device)
    points = torch.rand(1, 2, HUMAN36M.num_joints, 2, generator=seeded(0, 1)).to(trial.device)

    def once() -> None:
        with torch.no_grad():
            found: Tensor = network(triangulate_pairs(points, to_other, frame=method.triangulation).float())
        found.sum().item()

    times_ms = sorted(_times_ms(once))
    quartiles = {name: times_ms[len(times_ms) * part // 4] for name, part in (("q1", 1), ("median", 2), ("q3", 3))}
    text = {"latency_ms": quartiles, "device": trial.device, "num_threads": torch.get_num_threads()}
    trial.artifact("latency.json").write_text(json.dumps(text, indent=1) + "\n")
    return model_metrics(network)


def _times_ms(once: Callable[[], None]) -> list[float]:
    times_ms = []
    for _ in range(NUM_WARM_UP + NUM_REPEATS):
        start_s = time.perf_counter()
        once()
        times_ms.append(1e3 * (time.perf_counter() - start_s))
    return times_ms[NUM_WARM_UP:]
