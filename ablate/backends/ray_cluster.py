"""A Ray cluster for one run: a private one here, or the one at an address. Only what was started is ended."""

import atexit
import fcntl
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablate.errors import BackendError

NUM_START_TRIES = 3
NEW_FOLDER_S = 60.0
"""Younger folders are left alone: their owner may be about to lock them."""
_PREFIX = "ablate-ray-"
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
SHUTDOWN_TIMEOUT_S = 10.0
_log = logging.getLogger(__name__)


class HeadLostError(BackendError):
    """The head of the cluster is gone: nothing can be asked of Ray any more."""

    def __init__(self) -> None:
        super().__init__(
            "the head of the Ray cluster does not answer any more; the store has what was done: once there is a "
            "cluster, the same command goes on from here"
        )


def prepare_environment() -> None:
    """Set what Ray reads from the environment; before ray is imported for the first time."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """Give a folder that is gone afterwards, with those that killed runs left beside it.

    Args:
        parent: Where; by default the system's folder for temporary files.
    """
    place = Path(parent or tempfile.gettempdir())
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    with (folder / "owner.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove the folders that nobody holds: their owner was killed, or Ray still wrote while they were removed."""
    for folder in place.glob(f"{_PREFIX}*"):
        try:
            if time.time() - folder.stat().st_mtime < NEW_FOLDER_S:
                continue
            with (folder / "owner.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


@contextmanager
def connected(address: str | None, *, num_cpus: int | None, folder: Path) -> Iterator[bool]:
    """Connect to the cluster at `address`, or start a private one; what stands in this process already is used.

    Args:
        address: Ray's address, or `None`.
        num_cpus: CPUs of a private cluster; by default all that this process may use.
        folder: Where a private cluster keeps its files; a short path, for there are sockets in it.

    Yields:
        Whether the cluster is private, so that it will not grow.

    Raises:
        BackendError: It could not be reached or started.
    """
    import ray

    if ray.is_initialized():
        yield address is None
        return
    with _kept_signal_handlers():
        _start(address, num_cpus=num_cpus, folder=folder)
    end = ray.shutdown
    try:
        yield address is None
    except HeadLostError:
        end = _abandon
        raise
    finally:
        with _kept_signal_handlers():
            end()


def _start(address: str | None, *, num_cpus: int | None, folder: Path) -> None:
    import ray
    from ray._private import worker
    from ray.job_config import JobConfig

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"num_cpus": num_cpus, "include_dashboard": False, "_temp_dir": str(folder)}
    else:
        # The processes of nodes that stand already have an environment of their own.
        options["job_config"] = JobConfig(_py_driver_sys_path=_own_path())
    for number in range(1, NUM_START_TRIES + 1):
        try:
            with _path_for_workers():
                ray.init(address=address or "local", **options)
            # Else a thread of Ray's prints to our stdout whenever a worker dies; the switch is its debugger's.
            worker._worker_logs_enabled = False
            return
        except Exception as error:
            ray.shutdown()
            if number == NUM_START_TRIES:
                place = (
                    f"the Ray cluster at {address} cannot be reached" if address else "Ray could not be started here"
                )
                raise BackendError(
                    f"{place}, tried {number} times: {error}; `--backend local` runs without Ray"
                ) from error
            _log.warning("Ray did not start (try %d of %d): %s", number, NUM_START_TRIES, error)


def _abandon() -> None:
    """End what of Ray can be ended without its head; what it would ask the head for would not come back."""
    import ray
    from ray._private import worker

    own = worker._global_node
    if own is not None and own.head:
        own.kill_all_processes(check_alive=False, allow_graceful=False)
    shutdown = threading.Thread(target=ray.shutdown, daemon=True)
    shutdown.start()
    shutdown.join(SHUTDOWN_TIMEOUT_S)
    if shutdown.is_alive():
        atexit.unregister(worker.shutdown)


@contextmanager
def _path_for_workers() -> Iterator[None]:
    """Let the processes of a private cluster find the same packages as this one: they take over its environment."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*_own_path(), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _own_path() -> list[str]:
    """Give the folders of the import path that are no part of the installation, such as the project's."""
    known = (sys.prefix, sys.base_prefix)
    return [os.path.abspath(path) for path in sys.path if os.path.isdir(path) and not path.startswith(known)]


@contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    """Keep the program's own handlers: `ray.init` puts others in their place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)
