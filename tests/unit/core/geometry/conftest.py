"""The back-ends of triangulation, as tests ask for them."""

from types import ModuleType

import pytest

from core.geometry import reference, shifted
from core.geometry.native import kernel
from core.geometry.native.library import Library, library


def _native() -> ModuleType:
    found = library()
    if not isinstance(found, Library):
        pytest.skip(f"no compiled kernel: {found}")
    return kernel


@pytest.fixture(params=["native", "torch"])
def backend(request) -> ModuleType:
    """A fast back-end: a module with `dlt` and `robust`."""
    return _native() if request.param == "native" else shifted


@pytest.fixture(params=["native", "torch", "reference"])
def any_backend(request) -> ModuleType:
    return {"native": _native, "torch": lambda: shifted, "reference": lambda: reference}[request.param]()


@pytest.fixture
def native() -> ModuleType:
    return _native()
