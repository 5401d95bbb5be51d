"""The trial's end of the Ray backend: what runs in an actor's process. Imported only where ray is used."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.trainable.function_trainable import wrap_function

from ablate.store import Store
from ablate.trial import Report, Status
from ablate.worker import StopTrial, run_trial
from ablate.worker.isolation import load_libraries

_told_to_leave = threading.Event()
_not_for_reuse = threading.Event()


def _run(config: dict[str, Any]) -> None:
    """Run one attempt; everything but the fact that it ended is in the store."""
    stop_file = Path(config["stop_file"])
    outcome = run_trial(
        Store(Path(config["store"])),
        config["trial"],
        config["attempt"],
        on_report=_send,
        stopping=lambda: _told_to_leave.is_set() or stop_file.exists(),
        checkpoint_interval_s=config["checkpoint_interval_s"],
    )
    if outcome.status is Status.FAILED and config["num_gpus"]:
        # An error on the GPU can leave the process's CUDA context unusable for every trial after it.
        _not_for_reuse.set()
    # Tune prints a line for every trial that ends without a result.
    tune.report({"attempt": config["attempt"]})


def _send(report: Report) -> None:
    """Hand a point to the driver; Tune's way to stop a trial is a SystemExit in here."""
    try:
        tune.report({"step": report.step, "metrics": dict(report.metrics)})
    except SystemExit:
        raise StopTrial("stopped by the driver") from None


class TrialActor(wrap_function(_run)):  # type: ignore[misc]
    """Tune's function trainable, with warnings heeded: on SIGTERM the trial saves its state and ends."""

    def setup(self, config: dict[str, Any]) -> None:
        """Listen for SIGTERM; this is the actor's main thread, the task's own is not."""
        load_libraries()
        signal.signal(signal.SIGTERM, lambda *_: _told_to_leave.set())
        super().setup(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial, unless this process was told to leave or may be damaged: then end.

        The driver sees that the new trial's process died, and starts it elsewhere without counting it as a failure.
        """
        if _told_to_leave.is_set() or _not_for_reuse.is_set():
            os._exit(1)
        return bool(super().reset_config(new_config))
