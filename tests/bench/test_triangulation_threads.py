"""What threads gain the triangulation of 4096 frames, what an oversubscribed machine costs it, and a first call."""

import json
import os
import subprocess
import sys
from functools import partial
from statistics import median

import pytest
import torch

from core.geometry.triangulation import triangulate_dlt
from core.testing import ring_scene
from tests.bench.measuring import Contract, Peer, Timing

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

NUM_FRAMES, NUM_JOINTS = 4096, 17
NUM_POINTS = NUM_FRAMES * NUM_JOINTS
NUM_PROCESSES = 4
WORK_S = 0.3
"""Every process triangulates for so long in a round, so that those that begin at once work at once."""
VIEWS = pytest.mark.parametrize("num_views", [2, 4, 8])

WORKER = f'''
"""Triangulates for a while with as many threads as it is told; says how often, and what time that took."""

import json
import sys
import time

import torch

from core.geometry.triangulation import triangulate_dlt
from core.testing import ring_scene

scene = ring_scene(4, {NUM_JOINTS}, batch={NUM_FRAMES}, dtype=torch.float32)
weights = torch.ones(scene.points_px.shape[:-1])
for line in sys.stdin:
    torch.set_num_threads(int(line))
    start_cpu_s, start_s, num_calls = time.process_time(), time.perf_counter(), 0
    while time.perf_counter() - start_s < {WORK_S}:
        triangulate_dlt(scene.projections, scene.points_px, weights)
        num_calls += 1
    print(json.dumps([num_calls, time.perf_counter() - start_s, time.process_time() - start_cpu_s]), flush=True)
'''

FIRST_CALL = """\
import torch
from core.geometry.triangulation import triangulate_dlt
projections = torch.eye(4)[:3].expand(1, 2, 3, 4).clone()
projections[:, 1, 0, 3] = -1.0
triangulate_dlt(projections, torch.zeros(1, 2, 17, 2), torch.ones(1, 2, 17))
"""
SCRIPTS = {"import torch": "import torch", "import torch and triangulate once": FIRST_CALL}
MAX_FIRST_CALL_S = 0.3


@VIEWS
@pytest.mark.parametrize("num_threads", [1, 2])
def test_two_threads(side_by_side, num_views, num_threads):
    def peers():
        scene = ring_scene(max(num_views, 4), NUM_JOINTS, batch=NUM_FRAMES, dtype=torch.float32)
        projections = scene.projections[:1, :num_views].expand(NUM_FRAMES, -1, -1, -1)
        points_px = scene.points_px[:, :num_views].contiguous()
        weights = torch.ones(points_px.shape[:-1])

        def call(number):
            torch.set_num_threads(number)
            triangulate_dlt(projections, points_px, weights)

        return {title(number): Peer(partial(call, number), NUM_POINTS) for number in (1, 2)}

    group = f"weighted DLT with threads, forward, {num_views} views, {NUM_FRAMES} frames"
    side_by_side(group, title(num_threads), peers, unit="points")


def title(num_threads):
    return f"{num_threads} {'thread' if num_threads == 1 else 'threads'}"


class Workers:
    """Processes that triangulate at the same time."""

    def __init__(self):
        pipe = subprocess.PIPE
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
        command = [sys.executable, "-c", WORKER]
        self._processes = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(NUM_PROCESSES)
        ]

    def together(self, num_threads):
        return self._timing(self._processes, num_threads)

    def alone(self, num_threads):
        """One of them, while the others wait: what the machine can do when nobody is in the way."""
        return self._timing(self._processes[:1], num_threads)

    def _timing(self, processes, num_threads):
        """Give the times per call of all of them together."""
        for process in processes:
            print(num_threads, file=process.stdin, flush=True)
        answers = [json.loads(process.stdout.readline()) for process in processes]
        calls_per_s = sum(num_calls / wall_s for num_calls, wall_s, _ in answers)
        return Timing(1.0 / calls_per_s, sum(cpu_s for *_, cpu_s in answers) / sum(one[0] for one in answers))

    def stop(self):
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def workers():
    processes = Workers()
    yield processes
    processes.stop()


CROWDS = {
    "one process, 1 thread": (Workers.alone, 1),
    "one process, 2 threads": (Workers.alone, 2),
    "four processes, 1 thread each": (Workers.together, 1),
    "four processes, 2 threads each": (Workers.together, 2),
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_an_oversubscribed_machine(side_by_side, workers, crowd):
    """The processor time is the four processes' own."""

    def peers():
        return {name: Peer(partial(way, workers, number), NUM_POINTS) for name, (way, number) in CROWDS.items()}

    side_by_side(f"weighted DLT in several processes, 4 views, {NUM_FRAMES} frames", crowd, peers, unit="points")


@pytest.mark.parametrize("script", SCRIPTS)
def test_first_call(side_by_side, script):
    """Each in a fresh interpreter; compiled code may be cached on the disk, which the warm-up fills."""

    def run(code):
        subprocess.run([sys.executable, "-c", code], check=True)

    def peers():
        return {name: Peer(partial(run, code)) for name, code in SCRIPTS.items()}

    comparison = side_by_side(
        "first triangulation in a process", script, peers, unit="processes", contract=Contract(min_rounds=9)
    )
    alone, with_call = (comparison.samples[name].cpu_s for name in SCRIPTS)
    assert median(more - less for more, less in zip(with_call, alone, strict=True)) < MAX_FIRST_CALL_S
