"""On what a run was measured: processor, cores, threads and versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "kornia",
    "ray",
    "mlflow",
    "optuna",
    "pytest-benchmark",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def facts() -> dict[str, Any]:
    """Give what a saved run carries of the machine beside what pytest-benchmark knows."""
    import torch

    return {
        "num_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": {name: os.environ.get(name, "") for name in THREAD_VARIABLES},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "versions": {"python": platform.python_version(), **_versions()},
    }


def described(run: dict[str, Any]) -> str:
    """Say in one line when and on what a saved run was measured."""
    machine, commit = run["machine_info"], run["commit_info"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    threads = machine["threads"]["OMP_NUM_THREADS"]
    parts = [
        f"{run['datetime'][:16].replace('T', ' ')} UTC",
        f"commit {commit['id'][:10]}{' with changes' if commit['dirty'] else ''}",
        machine["cpu"].get("brand_raw", machine["machine"]),
        f"{machine['num_cores']} cores",
        f"OMP_NUM_THREADS={threads}" if threads else "threads as torch chooses",
        *([machine["gpu"]] if machine["gpu"] else []),
        f"load {run['load_average'][0]:.1f} at the end",
        versions,
    ]
    return "; ".join(parts)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
