"""The same start for every trial, whatever ran before it in the process: seeds, threads, torch's flags, environment.

Processes are reused for many trials, because starting one costs a second. What a trial leaves behind (measured: module
globals aside, everything listed here) would otherwise make its result depend on its predecessors.
"""

import gc
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

NUMPY_SEEDS = 2**32


def load_libraries() -> None:
    """Import what every trial's reset needs, so that it is not counted as time of the process's first trial."""
    import numpy  # noqa: F401
    import threadpoolctl  # noqa: F401
    import torch  # noqa: F401


@contextmanager
def clean_process(*, seed: int, num_threads: int, deterministic: bool = False) -> Iterator[None]:
    """Reset the process for a trial, and give back afterwards what the trial may have changed.

    Args:
        seed: For the global generators of `random`, numpy and torch; tasks should rather use generators of their own.
        num_threads: For torch, and for the BLAS and OpenMP pools of every library loaded so far: sums are taken in
            an order that depends on it, so the same trial gets the same number under every backend.
        deterministic: Torch raises where an operation has no repeatable form.
    """
    # The libraries are loaded even for a task that needs neither: one that imports them late must find them reset.
    import numpy as np
    import threadpoolctl
    import torch

    with ExitStack() as stack:
        stack.enter_context(_kept_interpreter())
        stack.enter_context(_kept_logging())
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(threadpoolctl.threadpool_limits(num_threads))
        stack.enter_context(_kept_torch(torch))
        torch.set_num_threads(num_threads)
        _reset_torch(torch)
        if deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with it
            torch.use_deterministic_algorithms(True)
        random.seed(seed)
        np.random.seed(seed % NUMPY_SEEDS)
        torch.manual_seed(seed)
        # Frozen, what stood before is not looked through: a collection takes 1 ms instead of 80 ms with torch loaded.
        gc.freeze()
        try:
            yield
        finally:
            gc.collect()
            gc.unfreeze()
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()


@contextmanager
def _kept_interpreter() -> Iterator[None]:
    environment, path, folder = dict(os.environ), list(sys.path), os.getcwd()
    python_state = random.getstate()
    try:
        yield
    finally:
        random.setstate(python_state)
        os.chdir(folder)
        sys.path[:] = path
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        for name, value in environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


@contextmanager
def _kept_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, root.manager.disable
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.disable(disabled)


@contextmanager
def _kept_torch(torch: Any) -> Iterator[None]:
    """Give the driver its thread count and default type back; a local backend runs trials in the driver's process."""
    num_threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    generator_state = torch.get_rng_state()
    try:
        yield
    finally:
        _reset_torch(torch)
        torch.set_num_threads(num_threads)
        torch.set_default_dtype(dtype)
        torch.set_rng_state(generator_state)


def _reset_torch(torch: Any) -> None:
    """Put torch's process-wide switches to one known state: its defaults, but repeatable convolutions."""
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.enabled = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    for device in ("cpu", "cuda"):
        torch.set_autocast_enabled(device, False)
    torch.set_autocast_cache_enabled(True)
