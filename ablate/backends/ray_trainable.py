"""The trial's end of the Ray backend: what runs in an actor's process. Imported only where ray is used."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.trainable.function_trainable import wrap_function

from ablate.backends.ray_nodes import hear_notices
from ablate.errors import StoreError
from ablate.store import Store
from ablate.trial import Report, Status
from ablate.worker import StopTrial, run_trials
from ablate.worker.isolation import load_libraries

STORE_TIMEOUT_S = 30.0
"""For a claimed attempt to be seen here; network file systems show new files late."""

_told_to_stop = threading.Event()
_told_to_leave = threading.Event()
_not_for_reuse = threading.Event()


def _run(config: dict[str, Any]) -> None:
    """Run one attempt, or a stack of them; everything but the fact that they ended is in the store."""
    store = Store(config["store"])
    fault = _missing_package(config["task"]) or _missing_store(store, config)
    if fault is None:
        try:
            _run_trials(store, config)
        except StoreError as error:
            if not _is_overtaken(store, config):
                fault = f"on the node {socket.gethostname()}: {error}"
    # Tune prints a line for every trial that ends without a result.
    tune.report({"num_trials": len(config["attempts"]), **({"unusable": fault} if fault else {})})


def _run_trials(store: Store, config: dict[str, Any]) -> None:
    if os.path.isdir(config["folder"]):
        # Relative paths mean the same as for the driver, where the node has its folder at all.
        os.chdir(config["folder"])
    stop_file = Path(config["stop_file"])

    def is_stopping() -> bool:
        # The file is seen at once, but only where the driver runs; notices come later, and everywhere.
        return _told_to_leave.is_set() or _told_to_stop.is_set() or stop_file.exists()

    try:
        outcomes = run_trials(
            store,
            config["attempts"],
            on_report=lambda report: _send(report, is_stopping),
            stopping=is_stopping,
            checkpoint_interval_s=config["checkpoint_interval_s"],
            may_exit=True,
        )
    except StoreError as error:
        if _is_overtaken(store, config):
            raise
        tune.report({"num_trials": len(config["attempts"]), "store_fault": str(error)})
        return
    if config["num_gpus"] and any(outcome.status is Status.FAILED for outcome in outcomes):
        # An error on the GPU can leave the process's CUDA context unusable for every trial after it.
        _not_for_reuse.set()
    if outcomes[0].status is Status.PRUNED:
        sys.exit(0)  # Tune waits for this thread to end, and takes no further report from it.


def _is_overtaken(store: Store, config: dict[str, Any]) -> bool:
    """Say whether a trial was started again elsewhere, so that the store rightly refused this attempt."""
    try:
        return any(store.last_attempt(trial_id) > attempt for trial_id, attempt in config["attempts"])
    except StoreError:
        return False


def _missing_package(task: str) -> str | None:
    """Say so if this node lacks the package of a task that the driver could import."""
    package = task.partition(":")[0].partition(".")[0]
    if find_spec(package) is not None:
        return None
    return (
        f"the node {socket.gethostname()} cannot import {package!r}, which {task} is in: install the study's code on "
        "every node, or keep it in the same folder everywhere (the driver's import path is searched)"
    )


def _missing_store(store: Store, config: dict[str, Any]) -> str | None:
    """Say so if this node does not see what the driver wrote."""
    deadline_s = time.monotonic() + STORE_TIMEOUT_S
    while True:
        try:
            if all(store.last_attempt(trial_id) >= attempt for trial_id, attempt in config["attempts"]):
                return None
            reason = "it is not the one that the driver writes"
        except StoreError as error:
            reason = str(error)
        if time.monotonic() > deadline_s:
            return (
                f"the node {socket.gethostname()} cannot use the store {config['store']} ({reason}): the nodes must "
                "share that folder, or use a store at a URL such as s3://bucket/prefix"
            )
        time.sleep(1.0)


def _send(report: Report, is_stopping: Callable[[], bool]) -> bool:
    """Hand a point to the driver, and say whether it ends the trial: Tune's way to do so is a SystemExit in here."""
    try:
        tune.report(
            {
                "trial": report.trial_id,
                "attempt": report.attempt,
                "step": report.step,
                "metrics": dict(report.metrics),
            }
        )
    except SystemExit:
        if is_stopping():
            raise StopTrial("stopped by the driver") from None
        return True
    return False


class TrialActor(wrap_function(_run)):  # type: ignore[misc]
    """Tune's function trainable, with warnings heeded: SIGTERM, a notice for its node, the end of the run.

    The trial then saves its state and ends.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Listen for warnings; this is the actor's main thread, the task's own is not."""
        signal.signal(signal.SIGTERM, lambda *_: _told_to_leave.set())
        hear_notices(config["notices"], on_stop=_told_to_stop.set, on_leave=_told_to_leave.set)
        load_libraries()
        super().setup(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial, unless this process was told to leave, may be damaged, or runs a task on: then end.

        The driver sees that the new trial's process died, and starts it elsewhere without counting it as a failure.
        """
        if _told_to_leave.is_set() or _not_for_reuse.is_set() or not super().reset_config(new_config):
            os._exit(1)
        return True
