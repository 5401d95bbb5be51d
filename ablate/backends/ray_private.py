"""A private cluster of several nodes on this machine, held by a process that does nothing else.

Its head has no CPUs. A node comes for every line on standard input, and each is answered with the process id of its
raylet, so that whoever holds the other end may kill it; at the end of the input, however it came, all of it goes.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

from ablate.backends.ray_cluster import NUM_START_TRIES, prepare_environment, scratch_folder

_IMPATIENT = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
}
"""A node that is silent counts as dead after some seconds; by default it is more than a minute."""
_Started = TypeVar("_Started")


def keep(num_cpus: int, num_gpus: int) -> None:
    """Hold a cluster whose nodes have so many CPUs and GPUs each, until standard input ends."""
    answers = _answers()
    prepare_environment()
    with scratch_folder(None) as folder:
        # Ray leaves the address of the newest cluster in this folder; nobody else may find it.
        os.environ["RAY_TMPDIR"] = str(folder)
        from ray.cluster_utils import Cluster

        head: dict[str, Any] = {
            "num_cpus": 0,
            "include_dashboard": False,
            "temp_dir": str(folder / "ray"),
            "_system_config": _IMPATIENT,
        }
        cluster = _tried(lambda: Cluster(initialize_head=True, head_node_args=head))
        try:
            _say(answers, cluster.address)
            for _ in sys.stdin:
                node = _tried(lambda: cluster.add_node(num_cpus=num_cpus, num_gpus=num_gpus))
                _say(answers, node.all_processes["raylet"][0].process.pid)
        finally:
            for node in list(cluster.worker_nodes):
                cluster.remove_node(node, allow_graceful=False)
            cluster.shutdown()  # type: ignore[no-untyped-call]


def _answers() -> TextIO:
    """Take standard output away from everything else, which writes to standard error from now on."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _say(answers: TextIO, content: str | int) -> None:
    print(json.dumps(content), file=answers, flush=True)


def _tried(start: Callable[[], _Started]) -> _Started:
    """Try more than once: on a busy machine a raylet may fall silent while it starts."""
    for _ in range(1, NUM_START_TRIES):
        try:
            return start()
        except Exception as error:
            print(f"Ray did not start, once more: {error}", file=sys.stderr, flush=True)
    return start()
