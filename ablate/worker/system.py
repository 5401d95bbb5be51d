"""How busy the machine is while a trial runs, sampled by a thread of its own. Nothing here can fail a trial."""

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from ablate.errors import StoreError
from ablate.store import Store
from ablate.store.system import SystemSample, append_system

_log = logging.getLogger(__name__)

_FIRST_SECONDS, _INTERVAL_SECONDS = 1.0, 5.0
_END_SECONDS = 2.0
_MIB = 2**20
_MB = 1e6


@contextmanager
def sampled(
    store: Store,
    attempts: Sequence[tuple[str, int]],
    *,
    first_s: float = _FIRST_SECONDS,
    interval_s: float = _INTERVAL_SECONDS,
) -> Iterator[None]:
    """Sample the machine while the body runs, into the `system.jsonl` of each trial that runs in this process.

    Args:
        store: Takes the samples.
        attempts: Id and claimed attempt of each trial: one that is overtaken stops the sampling.
        first_s: Seconds until the first sample; trials that are shorter leave none.
        interval_s: Seconds between two samples.
    """
    ending = Event()

    def work() -> None:
        try:
            probe = _Probe()
            pause_s = first_s
            while not ending.wait(pause_s):
                metrics, time_ms = probe.look(), round(time.time() * 1000)
                for trial_id, attempt in attempts:
                    append_system(store, trial_id, SystemSample(attempt=attempt, time_ms=time_ms, metrics=metrics))
                pause_s = interval_s
        except StoreError:
            return  # overtaken, or the disk is full: the trial's own writes say so
        except Exception as error:  # a look at the machine is not worth a trial
            _log.info("the machine's load is not recorded: %r", error)

    thread = Thread(target=work, name="system-sampler", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(_END_SECONDS)


class _Probe:
    """Looks at this process and its machine. Shares of the CPU are since the look before."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        psutil.cpu_percent()
        self._process.cpu_percent()

    def look(self) -> dict[str, float]:
        """Give the values by MLflow's names; `process_*` are of this process and its threads."""
        memory = self._psutil.virtual_memory()
        return {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system_memory_usage_megabytes": round((memory.total - memory.available) / _MB, 1),
            "system_memory_usage_percentage": memory.percent,
            "process_cpu_utilization_percentage": self._process.cpu_percent(),
            "process_memory_mebibytes": round(self._process.memory_info().rss / _MIB, 1),
            **_gpu_metrics(sys.modules.get("torch")),
        }


def _gpu_metrics(torch: Any) -> dict[str, float]:
    """Look at the GPU that the trial uses through torch, if it does; asking must not be what starts CUDA."""
    if torch is None or not torch.cuda.is_initialized():
        return {}
    index = torch.cuda.current_device()
    free, total = torch.cuda.mem_get_info(index)
    found = {
        f"gpu_{index}_memory_usage_megabytes": round((total - free) / _MB, 1),
        f"gpu_{index}_memory_usage_percentage": round(100 * (1 - free / total), 1),
    }
    try:
        found[f"gpu_{index}_utilization_percentage"] = float(torch.cuda.utilization(index))
    except Exception:  # needs NVIDIA's management library, which torch does not bring
        return found
    return found
