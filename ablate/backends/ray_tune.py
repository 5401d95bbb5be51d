"""The default backend: Ray Tune runs the trials, in parallel, on this machine or on a cluster."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ablate.backends.attempts import Attempts
from ablate.backends.ray_cluster import HeadLostError, connected, prepare_environment, scratch_folder
from ablate.errors import BackendError, StoreError
from ablate.records.recorder import Recorder
from ablate.search.proposer import Proposer
from ablate.store import Store
from ablate.worker.context import CHECKPOINT_INTERVAL_S

MIN_PENDING = 8
MANY_PENDING = 1000
"""For a cluster that may grow; what is handed over is bounded by what it has at the time."""
HEAD_TIMEOUT_S = 30.0
"""Ray itself ends the whole process after 60 s of silence."""
END_TIMEOUT_S = 5.0
JOIN_INTERVAL_S = 0.2


class RayTuneBackend:
    """Runs trials under one `Tuner`, each attempt, or stack of them, as a trial of Tune's.

    Tune starts processes, places them and carries reports; it neither retries (`Attempts` does, by one rule for all
    backends) nor restores (the store does).

    Args:
        address: A running cluster's address; by default a private cluster is started, and ended afterwards.
        num_cpus: CPUs of a private cluster; by default all that this process may use.
        checkpoint_interval_s: Least time between two checkpoints of a trial.
        grace_s: Time that trials get to save their state when the run is stopped.
        start_timeout_s: Time within which a trial has to start while none runs.
        head_timeout_s: Time for which the cluster's head may not answer.
    """

    def __init__(
        self,
        address: str | None = None,
        num_cpus: int | None = None,
        *,
        checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
        grace_s: float = 30.0,
        start_timeout_s: float = 300.0,
        head_timeout_s: float = HEAD_TIMEOUT_S,
    ) -> None:
        self._address = address
        self._num_cpus = num_cpus
        self._checkpoint_interval_s = checkpoint_interval_s
        self._grace_s = grace_s
        self._start_timeout_s = start_timeout_s
        self._head_timeout_s = head_timeout_s

    def run(self, proposer: Proposer, recorder: Recorder, *, store: str | Path, stopping: Callable[[], bool]) -> None:
        """Run until done or stopped.

        Raises:
            BackendError: Ray could not be started, or broke down.
            StoreError: The store could not be written, here or by a trial; the other trials saved what they could.
        """
        prepare_environment()
        trials = Store(store)
        faults: list[StoreError] = []

        def is_ending() -> bool:
            return bool(faults) or stopping()

        attempts = Attempts(proposer, recorder, store=trials, stopping=is_ending)
        # Nothing in the folder is needed on another node: Tune's own checkpoints and files are not used.
        with (
            scratch_folder(None) as scratch,
            connected(self._address, num_cpus=self._num_cpus, folder=scratch) as is_private,
        ):
            self._fit(attempts, trials, is_ending, faults, scratch=scratch, is_private=is_private)

    def _fit(
        self,
        attempts: Attempts,
        store: Store,
        stopping: Callable[[], bool],
        faults: list[StoreError],
        *,
        scratch: Path,
        is_private: bool,
    ) -> None:
        from ablate.backends.ray_driver import Run
        from ablate.backends.ray_nodes import Nodes

        with Nodes(scratch.name, head_timeout_s=self._head_timeout_s) as nodes:
            run = Run(
                attempts=attempts,
                stopping=stopping,
                faults=faults,
                settings={
                    "store": store.location,
                    "stop_file": str(scratch / "stop"),
                    "notices": scratch.name,
                    "folder": os.getcwd(),
                    "checkpoint_interval_s": self._checkpoint_interval_s,
                },
                nodes=nodes,
                may_grow=not is_private,
                grace_s=self._grace_s,
                start_timeout_s=self._start_timeout_s,
            )
            num_cpus = int(run.capacity.get("CPU", 0))
            os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(MIN_PENDING if is_private else MANY_PENDING, num_cpus))
            _fit_watched(run, _tuner(run, scratch))
        attempts.close(run.handed.values())
        if run.error is not None:
            raise run.error
        if faults:
            raise faults[0]


def _fit_watched(run: Any, tuner: Any) -> None:
    """Call `fit` in a thread that can be left behind: calls of a head that is gone never return.

    Raises:
        HeadLostError: It is gone.
    """
    fit = threading.Thread(target=_fit, args=(run, tuner), name="tune", daemon=True)
    fit.start()
    lost_at_s: float | None = None
    while fit.is_alive():
        fit.join(JOIN_INTERVAL_S)
        if lost_at_s is None and run.nodes.is_head_lost:
            lost_at_s = time.monotonic()
        if lost_at_s is not None and time.monotonic() - lost_at_s > END_TIMEOUT_S:
            raise HeadLostError


def _fit(run: Any, tuner: Any) -> None:
    try:
        tuner.fit()
    except Exception as error:
        fault = BackendError(f"Ray Tune broke down: {error}; the same command goes on from here")
        fault.__cause__ = error
        run.error = run.error or fault


def _tuner(run: Any, scratch: Path) -> Any:
    """Build the `Tuner`: one per run, never restored, silent."""
    from ray import tune

    from ablate.backends.ray_driver import Deadline, Placement, ProposerSearcher, Watch
    from ablate.backends.ray_trainable import TrialActor

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)

    def request(config: dict[str, Any]) -> Any:
        return tune.PlacementGroupFactory([{"CPU": config["num_cpus"], "GPU": config["num_gpus"]}])

    return tune.Tuner(
        tune.with_resources(TrialActor, request),
        tune_config=tune.TuneConfig(
            search_alg=ProposerSearcher(run),
            scheduler=Placement(run),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: "{}-{}".format(*trial.config["attempts"][0]),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            stop=Deadline(run),
            callbacks=[Watch(run)],
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    )
