"""Nodes in network namespaces, started by `ray start` as on real machines: they share the store's folder, no more."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from ablate.errors import ExitCode
from ablate.store import Store
from ablate.trial import Status

pytestmark = [pytest.mark.chaos, pytest.mark.ray, pytest.mark.timeout(400)]

RAY = str(Path(sys.executable).with_name("ray"))
HEAD = "10.77.0.1"
ADDRESS = f"{HEAD}:6379"
IMPATIENT = '{"health_check_period_ms": 1000, "health_check_timeout_ms": 2000, "health_check_failure_threshold": 3}'
"""A node that is silent counts as dead after some nine seconds; by default it is more than a minute."""

GHOST = """\
        held = __import__("pathlib").Path("held")
        if step == 12 and not held.exists():
            held.write_text(f"{trial.artifact('x').parents[1].name} {__import__('os').environ['RAY_RAYLET_PID']}")
            deadline_s = __import__("time").monotonic() + 90
            while not held.with_name("released").exists() and __import__("time").monotonic() < deadline_s:
                __import__("time").sleep(0.1)
            try:
                trial.report(step, {"error": -1.0}, state=lambda: {"step": 29, "error": -1.0, "random": None})
                held.with_name("ghost").write_text("wrote")
            except BaseException as error:
                held.with_name("ghost").write_text(f"{type(error).__name__}: {error}")
                raise
"""


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Net:
    """Machines of one cable each: network namespaces on a bridge, the head's namespace holds the bridge."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prefix = f"abl{os.getpid()}"
        self._names: list[str] = []
        self._started: list[subprocess.Popen[str]] = []
        self._ray: dict[str, subprocess.Popen[str]] = {}
        self.hidden = folder / "driver"
        self.hidden.mkdir()

    def add_head(self) -> None:
        self._add_space("head")
        space = self.space("head")
        _ip("-n", space, "link", "add", "name", "br0", "type", "bridge")
        _ip("-n", space, "addr", "add", f"{HEAD}/24", "dev", "br0")
        _ip("-n", space, "link", "set", "br0", "up")
        self._start_ray(
            "head",
            "--head",
            "--port=6379",
            f"--node-ip-address={HEAD}",
            "--num-cpus=0",
            "--include-dashboard=false",
            f"--system-config={IMPATIENT}",
        )

    def add(self, name: str, **environment: str) -> int:
        """Add a machine of one CPU, and give the process id of its raylet."""
        number = len(self._names) + 1
        self._add_space(name)
        space, head = self.space(name), self.space("head")
        _ip("-n", head, "link", "add", "name", f"v{number}", "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("-n", head, "link", "set", f"v{number}", "master", "br0", "up")
        _ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        options = [f"--address={ADDRESS}", f"--node-ip-address=10.77.0.{number}", "--num-cpus=1"]
        return self._start_ray(name, *options, **environment)

    def end(self, name: str) -> None:
        """Kill a machine's Ray."""
        process = self._ray[name]
        for each in (*_family(process.pid), process):
            each.kill()

    def cut(self, name: str) -> None:
        _ip("-n", self.space(name), "link", "set", "eth0", "down")

    def drain(self, raylet: int) -> None:
        arguments = psutil.Process(raylet).cmdline()
        node_id = next(each.partition("=")[2] for each in arguments if each.startswith("--node_id="))
        why = ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot", "--deadline-remaining-seconds=60"]
        self.run(RAY, "drain-node", f"--address={ADDRESS}", f"--node-id={node_id}", *why).wait(timeout=30)

    def run(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a program on the head's machine."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        more = {"TMPDIR": str(self.hidden), "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", **environment}
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.space("head"), *command], env={**os.environ, **more}, **options
        )
        self._started.append(process)
        return process

    def space(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def close(self) -> None:
        for process in self._started:
            for each in (*_family(process.pid), *([process] if process.poll() is None else [])):
                each.kill()
            process.wait(timeout=10)
        for name in self._names:
            subprocess.run(["ip", "netns", "del", self.space(name)], check=False, capture_output=True)

    def _add_space(self, name: str) -> None:
        _ip("netns", "add", self.space(name))
        self._names.append(name)
        _ip("-n", self.space(name), "link", "set", "lo", "up")

    def _start_ray(self, name: str, *options: str, **environment: str) -> int:
        place = self.folder / name
        place.mkdir()
        # Nobody but the driver sees what is in the driver's folder for temporary files.
        hide = f'mount -t tmpfs none "{self.hidden}" && exec "$@"'
        command = [RAY, "start", "--block", f"--temp-dir={place}", *options]
        more = {
            "RAY_TMPDIR": str(place),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": "",
            **environment,
        }
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.space(name), "sh", "-c", hide, "sh", *command],
            stdout=(place / "start.log").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            cwd=place,
            env={**os.environ, **more},
        )
        self._started.append(process)
        self._ray[name] = process
        deadline_s = time.monotonic() + 40
        while "Ray runtime started" not in (log := (place / "start.log").read_text()):
            assert process.poll() is None and time.monotonic() < deadline_s, log
            time.sleep(0.1)
        return next(each.pid for each in _family(process.pid) if each.name() == "raylet")


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


@pytest.fixture
def net(tmp_path_factory) -> Iterator[Net]:
    net = Net(tmp_path_factory.mktemp("n"))
    try:
        try:
            _ip("netns", "add", net.space("try"))
            _ip("netns", "del", net.space("try"))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"network namespaces cannot be made here: {getattr(error, 'stderr', None) or error}")
        net.add_head()
        yield net
    finally:
        net.close()


def test_a_cut_off_node_is_fenced_another_is_drained_and_the_study_completes(marked_project, net):
    marked_project = replace(marked_project, num_steps=90)
    root, step = marked_project.root, '        error = state["'
    (marked_project.root / "toy" / "tasks.py").write_text(
        (root / "toy" / "tasks.py").read_text().replace(step, GHOST + step, 1)
    )
    _run_alone(marked_project)
    machines = {net.add(name): name for name in ("a", "b")}
    driver = net.run(*marked_project.command("many", "--address", ADDRESS, "--checkpoint-interval", "1"))
    marked_project.wait((root / "held").exists, driver)
    trial_id, raylet = (root / "held").read_text().split()
    first = Store(root / "many").last_attempt(trial_id)
    net.cut(machines.pop(int(raylet)))
    cut_s = time.monotonic()
    marked_project.wait(lambda: Store(root / "many").last_attempt(trial_id) > first, driver)
    seen_s = time.monotonic() - cut_s
    (root / "released").touch()
    marked_project.wait((root / "ghost").exists, driver)
    assert "may not write, the newest is" in (root / "ghost").read_text()

    added = net.add("c")
    drained = next(iter(machines))
    marked_project.wait_for_steps("many", added, driver)
    marked_project.wait_for_steps("many", drained, driver)
    net.drain(drained)
    noticed_s = time.time()
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == ExitCode.DONE, errors
    _same_results(marked_project)

    marks = marked_project.marks("many")
    assert max(mark.time_s for mark in marks if mark.raylet == drained) < noticed_s + 5
    own = [[mark for mark in marks if mark.trial_id == each] for each in marked_project.results("many")]
    again = {int(raylet): 0, drained: 0}
    for before, after in (pair for each in own for pair in pairwise(each)):
        if before.raylet != after.raylet:
            again[before.raylet] += before.step + 1 - after.step
    assert again[drained] == 0
    attempts = sum(Store(root / "many").last_attempt(each) for each in marked_project.results("many"))
    print(
        f"9 trials: {attempts} attempts; cut-off node noticed after {seen_s:.0f} s, {again[int(raylet)]} steps "
        f"computed again; {again[drained]} again after a notice"
    )


def test_the_head_is_gone_and_the_same_command_goes_on(marked_project, net):
    _run_alone(marked_project)
    node = net.add("a")
    driver = net.run(*marked_project.command("many", "--address", ADDRESS, "--checkpoint-interval", "1"))
    marked_project.wait_for_steps("many", node, driver)
    net.end("head")
    killed_s = time.monotonic()
    _, errors = driver.communicate(timeout=100)
    print(f"the driver ended {time.monotonic() - killed_s:.0f} s after the head")
    assert driver.returncode == ExitCode.INTERNAL
    assert "head of the Ray cluster does not answer any more" in errors
    assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    again = subprocess.run(
        marked_project.command("many", "--backend", "local"), capture_output=True, text=True, check=False
    )
    assert again.returncode == ExitCode.DONE, again.stderr
    _same_results(marked_project)


def test_a_node_that_lacks_the_platform_is_named_at_once(marked_project, net):
    (net.folder / "shadow" / "ablate").mkdir(parents=True)
    (net.folder / "shadow" / "ablate" / "__init__.py").write_text("raise ModuleNotFoundError('not here')")
    net.add("a", PYTHONPATH=str(net.folder / "shadow"))
    driver = net.run(*marked_project.command("many", "--address", ADDRESS))
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == ExitCode.INTERNAL, errors
    assert "10.77.0.2 cannot import the platform (ModuleNotFoundError: not here)" in errors
    assert "interrupted (attempt 2)" not in errors
    assert "Traceback" not in errors


def _run_alone(project) -> None:
    """Run the study undisturbed, in this process's namespace; no trial waits to be held there."""
    (project.root / "held").touch()
    ended = subprocess.run(project.command("alone", "--backend", "local"), capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.DONE, ended.stderr
    (project.root / "held").unlink()


def _same_results(project) -> None:
    alone, many = project.results("alone"), project.results("many")
    assert len(many) == 9
    assert {status for status, *_ in many.values()} == {Status.FINISHED}
    assert many == alone
