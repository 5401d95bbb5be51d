"""The GPU kernels on machines without a GPU: interpreted against the reference, and compiled to machine code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.geometry import gpu
from core.geometry.gpu.tables import RigTables, padded_pairs
from core.geometry.robust import RobustConfig, WssRule
from core.testing import ring_scene

triton = pytest.importorskip("triton", reason="Triton is not installed")

FOLDER = Path(__file__).parent

LONG = ("gradients_of_the", "robust_form_agrees", "2-2.0]", "3-0.0]", "0.0-", "1-60")
CHOSEN = (
    *("with_missing", "True-3]", "keep-mean-3]", "discard-mean-5]"),
    *("equal_weights-lower-4]", "discard-lower-8]", "equal_weights-mean-2]"),
)
"""Of the long tests of all back-ends, what the interpreter does in time; `TRITON_INTERPRET=1 pytest FILE` does all."""


def test_interpreted_they_pass_the_tests_of_all_back_ends():
    """In a process of its own: Triton looks for the variable when it is imported."""
    which = f"interpreted and (not ({' or '.join(LONG)}) or {' or '.join(CHOSEN)})"
    tests = [str(FOLDER / "test_backends.py"), "-k", which]
    options = ["-q", "-W", "ignore::RuntimeWarning", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tests, *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=FOLDER.parents[3],
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name} | {"TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("num_views", "is_plain"), [(8, False), (3, True)])
def test_they_compile_as_they_are_launched(tmp_path, monkeypatch, num_views, is_plain):
    """Down to a GPU's instructions: what the interpreter takes is not always what the compiler takes."""
    capability, dtype = (80, torch.float64) if is_plain else (90, torch.float32)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = gpu.triton_backend()
    compiled = []

    def compile_instead(function, block, *arguments, **constants):
        given = dict(zip(function.arg_names, arguments, strict=False))
        given |= constants | {"BLOCK": block}
        signature = {name: signature_of(given[name], name) for name in function.arg_names}
        fixed = {(i,): given[name] for i, name in enumerate(function.arg_names) if signature[name] == "constexpr"}
        source = triton.compiler.ASTSource(fn=function, signature=signature, constexprs=fixed)
        target = triton.backends.compiler.GPUTarget("cuda", capability, 32)
        assert "cubin" in triton.compile(source, target=target).asm
        compiled.append(function.__name__)

    monkeypatch.setattr(kernel, "_launch", compile_instead)
    scene = ring_scene(num_views, 3, batch=2, dtype=dtype)
    points_px, tables = scene.points_px.requires_grad_(), RigTables.of(scene.projections, dtype)
    weights = None if is_plain else torch.ones_like(points_px[..., 0], requires_grad=True)
    kernel._Dlt.apply(points_px, weights, tables)[0].sum().backward()
    config = RobustConfig(wss=None if is_plain else WssRule(above="equal_weights"))
    kernel._weigh_certain(tables, points_px, config, None if is_plain else weights > 0)
    assert compiled == ["dlt_forward", "dlt_backward", "weigh_views"]


def signature_of(value, name):
    """How Triton writes an argument's type."""
    if isinstance(value, torch.Tensor):
        return {"float32": "*fp32", "float64": "*fp64", "bool": "*i1", "int32": "*i32"}[str(value.dtype).split(".")[1]]
    return "i32" if isinstance(value, int) and name.islower() else "constexpr"


def test_without_triton_plain_torch_does_it_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    gpu.triton_backend.cache_clear()
    try:
        assert gpu.triton_backend() is None
        assert gpu.triton_backend() is None
    finally:
        gpu.triton_backend.cache_clear()
    assert len(caplog.records) == 1
    assert "plain torch" in caplog.text


def test_an_older_triton_is_refused_by_its_version(monkeypatch, caplog):
    monkeypatch.setattr(triton, "__version__", "3.2.0")
    gpu.triton_backend.cache_clear()
    try:
        assert gpu.triton_backend() is None
    finally:
        gpu.triton_backend.cache_clear()
    assert "Triton 3.2.0 is older than 3.3" in caplog.text


@pytest.mark.parametrize("num_views", [2, 3, 4, 8])
def test_pairs_are_padded_to_a_power_of_two_with_no_pairs(num_views):
    first, second = padded_pairs(num_views, torch.device("cpu")).tolist()
    assert len(first) & (len(first) - 1) == 0
    real = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
    assert real == [(i, j) for i in range(num_views) for j in range(i + 1, num_views)]


def test_importing_the_public_functions_does_not_load_triton():
    code = "import sys; import core.geometry.triangulation; print('triton' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=FOLDER.parents[3]
    )
    assert done.stdout.strip() == "False"
