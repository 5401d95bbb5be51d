"""The default backend: Ray Tune runs the trials, in parallel, on this machine or on a cluster."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ablate.backends.attempts import Attempts
from ablate.backends.ray_cluster import connected, prepare_environment, scratch_folder
from ablate.errors import BackendError
from ablate.records.recorder import Recorder
from ablate.search.proposer import Proposer
from ablate.store import Store
from ablate.worker.context import CHECKPOINT_INTERVAL_S

MIN_PENDING = 8


class RayTuneBackend:
    """Runs trials under one `Tuner`, each attempt as a trial of Tune's.

    Tune starts processes, places them and carries reports; it neither retries (`Attempts` does, by one rule for all
    backends) nor restores (the store does).

    Args:
        address: A running cluster's address; by default a private cluster is started, and ended afterwards.
        num_cpus: CPUs of a private cluster; by default all that this process may use.
        checkpoint_interval_s: Least time between two checkpoints of a trial.
        grace_s: Time that trials get to save their state when the run is stopped.
        start_timeout_s: Time within which a trial has to start while none runs.
    """

    def __init__(
        self,
        address: str | None = None,
        num_cpus: int | None = None,
        *,
        checkpoint_interval_s: float = CHECKPOINT_INTERVAL_S,
        grace_s: float = 30.0,
        start_timeout_s: float = 300.0,
    ) -> None:
        self._address = address
        self._num_cpus = num_cpus
        self._checkpoint_interval_s = checkpoint_interval_s
        self._grace_s = grace_s
        self._start_timeout_s = start_timeout_s

    def run(self, proposer: Proposer, recorder: Recorder, *, store: Path, stopping: Callable[[], bool]) -> None:
        """Run until done or stopped.

        Raises:
            BackendError: Ray could not be started, or broke down.
        """
        prepare_environment()
        trials = Store(store)
        attempts = Attempts(proposer, recorder, store=trials, stopping=stopping)
        # The nodes of a cluster share the store's folder, and nothing else.
        parent = trials.root if self._address else None
        with (
            scratch_folder(parent) as scratch,
            connected(self._address, num_cpus=self._num_cpus, folder=scratch) as is_private,
        ):
            self._fit(attempts, trials, stopping, scratch=scratch, is_private=is_private)

    def _fit(
        self, attempts: Attempts, store: Store, stopping: Callable[[], bool], *, scratch: Path, is_private: bool
    ) -> None:
        import ray

        from ablate.backends.ray_driver import Run

        run = Run(
            attempts=attempts,
            stopping=stopping,
            settings={
                "store": str(store.root),
                "stop_file": str(scratch / "stop"),
                "checkpoint_interval_s": self._checkpoint_interval_s,
            },
            capacity=ray.cluster_resources(),  # type: ignore[no-untyped-call]
            may_grow=not is_private,
            grace_s=self._grace_s,
            start_timeout_s=self._start_timeout_s,
        )
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(MIN_PENDING, int(run.capacity.get("CPU", 0))))
        try:
            _tuner(run, scratch).fit()
        except Exception as error:
            if run.error is None:
                raise BackendError(f"Ray Tune broke down: {error}; the same command goes on from here") from error
        attempts.close(list(run.handed.values()))
        if run.error is not None:
            raise run.error


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
            trial_dirname_creator=lambda trial: f"{trial.config['trial']}-{trial.config['attempt']}",
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
