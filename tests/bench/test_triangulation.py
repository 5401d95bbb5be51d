"""How fast joints are triangulated, in float32: the kernel, batched SVD in torch, OpenCV, kornia, a loop over points.

All triangulate 17 joints a frame, seen by one rig with 1 px of noise. `frames` is the batch; a group of its own has
cameras that differ from frame to frame, as crops make them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch

from core.geometry.triangulation import RobustConfig, triangulate_dlt, triangulate_robust
from core.testing import ring_scene
from core.typing import Tensor
from tests.bench.measuring import Contract, Peer
from tests.bench.solvers import HAS_KORNIA, by_kornia, by_opencv, by_point, by_svd, robust_by_svd

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

NUM_JOINTS = 17
FRAMES = [1, 64, 256, 4096]
VIEWS = [2, 4, 8]
MAX_LOOP_FRAMES = 256
TOLERANCE_MM = 0.5
"""By how much peers may differ: float32 SVD on raw pixels and millimetres is off by some hundredths, eigh by more."""
OURS, SVD, LOOP, OPENCV, KORNIA = "ablate", "torch SVD", "loop", "OpenCV", "kornia"
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
ROBUST = RobustConfig(sigma_mm=100.0)
FEW = Contract(min_rounds=5)


@dataclass(frozen=True)
class Inputs:
    """What is triangulated."""

    projections: Tensor
    points_px: Tensor
    weights: Tensor | None

    @classmethod
    def make(cls, num_views: int, num_frames: int, *, weighted: bool, device: str = "cpu", crops: bool = False):
        generator = torch.Generator().manual_seed(0)
        # Two cameras are neighbours of four: on a ring of their own they would face each other.
        scene = ring_scene(max(num_views, 4), NUM_JOINTS, generator, batch=num_frames)
        points_px, projections = scene.points_px[:, :num_views], scene.projections[:, :num_views]
        points_px = points_px + torch.randn(points_px.shape, generator=generator, dtype=torch.float64)
        weights = torch.rand(points_px.shape[:-1], generator=generator) * 0.9 + 0.1 if weighted else None
        if crops:
            corner_px = 500.0 * torch.rand(num_frames, num_views, 2, generator=generator, dtype=torch.float64)
            shift = torch.eye(3, dtype=torch.float64).repeat(num_frames, num_views, 1, 1)
            shift[..., :2, 2] = -corner_px
            projections, points_px = shift @ projections, points_px - corner_px[..., None, :]
        else:
            projections = projections[:1].float().to(device).expand(projections.shape)
        weights = None if weights is None else weights.to(device)
        return cls(projections.float().to(device), points_px.float().to(device), weights)


def synchronised(call: Callable[[], Tensor], device: str) -> Callable[[], Tensor]:
    """Let a call on a GPU end when its result is there."""
    if device == "cpu":
        return call

    def wait() -> Tensor:
        result = call()
        torch.cuda.synchronize()
        return result

    return wait


def peers(calls: dict[str, Callable[[], Tensor]], num_frames: int, device: str) -> dict[str, Peer]:
    """Make peers of calls that give the same points."""
    found = {name: torch.as_tensor(call()).reshape(-1).cpu() for name, call in calls.items()}
    for name, points in found.items():
        assert (points - found[OURS]).abs().quantile(0.99) < TOLERANCE_MM, name
    return {name: Peer(synchronised(call, device), num_frames * NUM_JOINTS) for name, call in calls.items()}


def forward_peers(num_views: int, num_frames: int, *, weighted: bool, device: str, crops: bool = False):
    inputs = Inputs.make(num_views, num_frames, weighted=weighted, device=device, crops=crops)
    arguments = (inputs.projections, inputs.points_px, inputs.weights)
    calls = {OURS: partial(triangulate_dlt, *arguments), SVD: partial(by_svd, *arguments)}
    if device == "cpu" and num_frames <= MAX_LOOP_FRAMES:
        arrays = [None if one is None else one.numpy() for one in arguments]
        calls[LOOP] = partial(by_point, *arrays)
    if num_views == 2 and not weighted and not crops:
        if device == "cpu":
            images_px = [inputs.points_px[:, view].flatten(0, 1).T.contiguous().numpy() for view in (0, 1)]
            calls[OPENCV] = partial(by_opencv, *inputs.projections[0].numpy(), *images_px)
        if HAS_KORNIA:
            calls[KORNIA] = partial(by_kornia, inputs.projections, inputs.points_px)
    return peers(calls, num_frames, device)


def backward(solve: Callable[[Tensor, Tensor, Tensor | None], Tensor], inputs: Inputs) -> Callable[[], Tensor]:
    """Triangulate and go back to the points and weights; gives the points' gradient."""
    points_px = inputs.points_px.clone().requires_grad_()
    weights = None if inputs.weights is None else inputs.weights.clone().requires_grad_()

    def call() -> Tensor:
        points_px.grad = None
        if weights is not None:
            weights.grad = None
        solve(inputs.projections, points_px, weights).sum().backward()
        return points_px.grad

    return call


def backward_peers(num_views: int, num_frames: int, *, weighted: bool, device: str):
    inputs = Inputs.make(num_views, num_frames, weighted=weighted, device=device)
    calls = {OURS: backward(triangulate_dlt, inputs), SVD: backward(by_svd, inputs)}
    if num_views == 2 and not weighted and HAS_KORNIA:
        calls[KORNIA] = backward(by_kornia, inputs)
    return peers(calls, num_frames, device)


def robust_ours(projections: Tensor, points_px: Tensor, weights: Tensor | None = None) -> Tensor:
    return triangulate_robust(projections, points_px, ROBUST).points_mm


def robust_svd(projections: Tensor, points_px: Tensor, weights: Tensor | None = None) -> Tensor:
    return robust_by_svd(projections, points_px, ROBUST)


def robust_peers(num_frames: int, direction: str, device: str):
    inputs = Inputs.make(8, num_frames, weighted=False, device=device)
    solvers = {OURS: robust_ours, SVD: robust_svd}
    if direction == "forward":
        calls = {name: partial(solve, inputs.projections, inputs.points_px) for name, solve in solvers.items()}
    else:
        calls = {name: backward(solve, inputs) for name, solve in solvers.items()}
    return peers(calls, num_frames, device)


def skip_where_it_cannot(peer: str, num_views: int, num_frames: int, device: str, *, weighted: bool) -> None:
    if peer in (OPENCV, KORNIA) and (num_views != 2 or weighted):
        pytest.skip(f"{peer} triangulates two views without weights")
    if peer == KORNIA and not HAS_KORNIA:
        pytest.skip("kornia is not installed: pip install '.[bench]'")
    if peer == LOOP and num_frames > MAX_LOOP_FRAMES:
        pytest.skip(f"a loop over {num_frames * NUM_JOINTS:,} points takes seconds")
    if peer in (LOOP, OPENCV) and device != "cpu":
        pytest.skip(f"{peer} runs on the CPU")


def title(what: str, direction: str, num_views: int, num_frames: int, device: str) -> str:
    where = "" if device == "cpu" else f", {device}"
    return f"{what}, {direction}, {num_views} views, {num_frames} frames{where}"


device = pytest.mark.parametrize("device", DEVICES)
frames = pytest.mark.parametrize("num_frames", FRAMES)
views = pytest.mark.parametrize("num_views", VIEWS)


@device
@frames
@views
@pytest.mark.parametrize("peer", [OURS, SVD, LOOP])
def test_weighted_dlt_forward(side_by_side, peer, num_views, num_frames, device):
    skip_where_it_cannot(peer, num_views, num_frames, device, weighted=True)
    group = title("weighted DLT", "forward", num_views, num_frames, device)
    side_by_side(
        group, peer, partial(forward_peers, num_views, num_frames, weighted=True, device=device), unit="points"
    )


@device
@frames
@views
@pytest.mark.parametrize("peer", [OURS, SVD])
def test_weighted_dlt_backward(side_by_side, peer, num_views, num_frames, device):
    group = title("weighted DLT", "forward and backward", num_views, num_frames, device)
    side_by_side(
        group, peer, partial(backward_peers, num_views, num_frames, weighted=True, device=device), unit="points"
    )


@device
@pytest.mark.parametrize("peer", [OURS, SVD])
def test_dlt_with_cameras_of_each_frame(side_by_side, peer, device):
    group = title("weighted DLT with cameras of each frame", "forward", 4, 256, device)
    side_by_side(group, peer, partial(forward_peers, 4, 256, weighted=True, device=device, crops=True), unit="points")


@device
@frames
@views
@pytest.mark.parametrize("peer", [OURS, SVD, LOOP, OPENCV, KORNIA])
def test_plain_dlt_forward(side_by_side, peer, num_views, num_frames, device):
    skip_where_it_cannot(peer, num_views, num_frames, device, weighted=False)
    group = title("plain DLT", "forward", num_views, num_frames, device)
    side_by_side(
        group, peer, partial(forward_peers, num_views, num_frames, weighted=False, device=device), unit="points"
    )


@device
@frames
@views
@pytest.mark.parametrize("peer", [OURS, SVD, KORNIA])
def test_plain_dlt_backward(side_by_side, peer, num_views, num_frames, device):
    skip_where_it_cannot(peer, num_views, num_frames, device, weighted=False)
    group = title("plain DLT", "forward and backward", num_views, num_frames, device)
    side_by_side(
        group, peer, partial(backward_peers, num_views, num_frames, weighted=False, device=device), unit="points"
    )


@device
@frames
@pytest.mark.parametrize("direction", ["forward", "forward and backward"])
@pytest.mark.parametrize("peer", [OURS, SVD])
def test_robust(side_by_side, peer, direction, num_frames, device):
    group = title("robust", direction, 8, num_frames, device)
    side_by_side(group, peer, partial(robust_peers, num_frames, direction, device), unit="points", contract=FEW)
