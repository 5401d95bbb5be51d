import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ablate.backends import ray_cluster
from ablate.errors import BackendError


@pytest.fixture
def fake_ray(monkeypatch):
    """Ray, as far as starting goes: fails as often as it is told to."""
    import ray

    fake = SimpleNamespace(num_failures=0, calls=[], num_shutdowns=0)

    def init(**options):
        fake.calls.append(options)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if len(fake.calls) <= fake.num_failures:
            raise RuntimeError("the raylet fell silent")

    def shutdown():
        fake.num_shutdowns += 1

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", shutdown)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    return fake


def test_a_start_that_fails_is_tried_again_and_told(fake_ray, tmp_path, caplog):
    fake_ray.num_failures = 2
    with ray_cluster.connected(None, num_cpus=2, folder=tmp_path) as is_private:
        assert is_private
        assert [options["address"] for options in fake_ray.calls] == ["local"] * 3
    assert "try 2 of 3): the raylet fell silent" in caplog.text


def test_a_start_that_fails_for_good_says_what_to_do(fake_ray, tmp_path):
    fake_ray.num_failures = 9
    with (
        pytest.raises(BackendError, match="tried 3 times: the raylet fell silent; `--backend local` runs without Ray"),
        ray_cluster.connected(None, num_cpus=2, folder=tmp_path),
    ):
        pass


def test_the_programs_own_signal_handlers_stay(fake_ray, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with ray_cluster.connected("10.0.0.1:6379", num_cpus=None, folder=tmp_path) as is_private:
        assert not is_private
        assert signal.getsignal(signal.SIGTERM) == before
    assert fake_ray.num_shutdowns == 1


def test_a_cluster_that_stood_before_is_used_and_left_alone(fake_ray, tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with ray_cluster.connected(None, num_cpus=2, folder=tmp_path):
        pass
    assert (fake_ray.calls, fake_ray.num_shutdowns) == ([], 0)


def test_the_path_of_this_process_reaches_its_workers_only(fake_ray, tmp_path, monkeypatch):
    seen = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    import ray

    monkeypatch.setattr(ray, "init", lambda **_: seen.extend(os.environ["PYTHONPATH"].split(os.pathsep)))
    with ray_cluster.connected(None, num_cpus=2, folder=tmp_path):
        assert "PYTHONPATH" not in os.environ
    assert str(tmp_path) in seen


def test_importing_the_backend_loads_neither_ray_nor_torch():
    code = "import sys, ablate.backends.ray_tune; print({'ray', 'torch'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_scratch_folders_of_killed_runs_are_removed_and_those_in_use_are_kept(tmp_path):
    with ray_cluster.scratch_folder(tmp_path) as used:
        dead, half_removed = tmp_path / "ablate-ray-dead", tmp_path / "ablate-ray-half"
        (half_removed / "logs").mkdir(parents=True)
        dead.mkdir()
        (dead / "owner.lock").touch()
        for folder in (used, dead, half_removed):
            os.utime(folder, (0, 0))
        with ray_cluster.scratch_folder(tmp_path) as other:
            assert set(tmp_path.iterdir()) == {used, other}
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_locked_yet_is_left_alone(tmp_path):
    new = tmp_path / "ablate-ray-new"
    new.mkdir()
    with ray_cluster.scratch_folder(tmp_path):
        assert new.exists()
