"""Triangulation on GPUs: Triton kernels, behind a door that opens when they are used."""

import logging
from functools import cache
from types import ModuleType

_OLDEST = (3, 3)
"""The first Triton with tuples."""

_log = logging.getLogger(__name__)


@cache
def triton_backend() -> ModuleType | None:
    """The module with `dlt` and `robust` by Triton; `None` where there is no Triton for it, which is logged once."""
    try:
        import triton
    except ImportError as error:
        reason = str(error)
    else:
        if tuple(int(part) for part in triton.__version__.split(".")[:2]) >= _OLDEST:
            from core.geometry.gpu import kernel

            return kernel
        reason = f"Triton {triton.__version__} is older than {_OLDEST[0]}.{_OLDEST[1]}"
    _log.warning("triangulation on the GPU runs on plain torch, slower than on Triton: %s", reason)
    return None
