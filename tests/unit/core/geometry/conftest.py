"""The back-ends of triangulation, as tests ask for them, and the same tests with tensors on a GPU."""

import os
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from types import FunctionType, ModuleType, SimpleNamespace

import pytest
import torch

from core.geometry import reference, shifted
from core.geometry.gpu import triton_backend
from core.geometry.native import kernel
from core.geometry.native.library import Library, library

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Set by `test_gpu_kernels.py`, for the process that runs tests in Triton's interpreter."""

ON_ANY_DEVICE = {f"core.geometry.{name}" for name in ("triangulation", "median", "projection")}
"""Where the functions are that tests call with tensors on a GPU, too."""


def moved(value, device):
    """The same with all tensors on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(moved(part, device) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: moved(getattr(value, field.name), device) for field in fields(value)})
    return value


def on_gpu(function: Callable) -> Callable:
    """The same on the GPU, for callers whose tensors are not there."""

    @wraps(function)
    def there(*arguments, **settings):
        arguments = [moved(value, "cuda") for value in arguments]
        settings = {name: moved(value, "cuda") for name, value in settings.items()}
        return moved(function(*arguments, **settings), "cpu")

    return there


def backend_on_gpu(module: ModuleType) -> SimpleNamespace:
    return SimpleNamespace(dlt=on_gpu(module.dlt), robust=on_gpu(module.robust))


def need_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")


def pytest_generate_tests(metafunc):
    """Run tests of functions on both devices; those that ask for a back-end get one on the GPU."""
    if not {"backend", "any_backend", "native"} & set(metafunc.fixturenames) and any(
        is_on_any_device(value) for value in vars(metafunc.module).values()
    ):
        devices = ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)]
        metafunc.parametrize("device", devices, indirect=True)


def is_on_any_device(value: object) -> bool:
    return isinstance(value, FunctionType) and value.__module__ in ON_ANY_DEVICE


@pytest.fixture(autouse=True)
def device(request, monkeypatch):
    """Where the functions under test find their tensors."""
    if getattr(request, "param", "cpu") == "gpu":
        need_gpu()
        for name, value in list(vars(request.module).items()):
            if is_on_any_device(value):
                monkeypatch.setattr(request.module, name, on_gpu(value))


def _native() -> ModuleType:
    found = library()
    if not isinstance(found, Library):
        pytest.skip(f"no compiled kernel: {found}")
    return kernel


def _torch_gpu() -> SimpleNamespace:
    need_gpu()
    return backend_on_gpu(shifted)


def _triton_gpu() -> SimpleNamespace:
    need_gpu()
    return backend_on_gpu(_triton())


def _triton() -> ModuleType:
    return triton_backend() or pytest.skip("no Triton")


BACKENDS = {
    "native": _native,
    "torch": lambda: shifted,
    "reference": lambda: reference,
    "torch_gpu": _torch_gpu,
    "triton_gpu": _triton_gpu,
    "triton_interpreted": _triton,
}
FAST = ["native", "torch", *(pytest.param(name, marks=pytest.mark.gpu) for name in ("torch_gpu", "triton_gpu"))]
if IS_INTERPRETED:
    FAST = ["triton_interpreted"]


@pytest.fixture(params=FAST)
def backend(request):
    """A fast back-end: `dlt` and `robust`."""
    return BACKENDS[request.param]()


@pytest.fixture(params=[*FAST, "reference"])
def any_backend(request):
    return BACKENDS[request.param]()


@pytest.fixture
def native() -> ModuleType:
    return _native()


@pytest.fixture(autouse=IS_INTERPRETED)
def large_blocks(monkeypatch):
    """The interpreter takes its time for each step, whatever the size of a block."""
    if IS_INTERPRETED:
        monkeypatch.setattr(_triton(), "POINTS_PER_PROGRAM", 1 << 13)
        monkeypatch.setattr(_triton(), "PAIRS_PER_PROGRAM", 1 << 15)
