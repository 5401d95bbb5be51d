"""The compiled kernel where it is built: the cache, and life without a compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.geometry.native import build

TRIANGULATE = """
import logging, torch
logging.basicConfig()
from core.geometry.triangulation import backend, triangulate_dlt
from core.testing import ring_scene
scene = ring_scene(4, 5)
assert (triangulate_dlt(scene.projections, scene.points_px) - scene.joints_mm).abs().max() < 1e-6
print(backend(), backend("meta"))
"""


def triangulate(**environment: str) -> subprocess.CompletedProcess[str]:
    """Triangulate in a fresh interpreter with these variables."""
    return subprocess.run(
        [sys.executable, "-c", TRIANGULATE],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(build.__file__).parents[3],
        env={name: value for name, value in os.environ.items() if name != "CXX"} | environment,
    )


def test_the_fingerprint_of_trials_covers_the_sources():
    assert build.source_digest() == build.SOURCE_DIGEST, "set SOURCE_DIGEST in core/geometry/native/build.py"


def test_without_a_compiler_plain_torch_does_it_and_says_so_once(tmp_path):
    done = triangulate(PATH="", ABLATE_CACHE=str(tmp_path))
    assert done.stdout.split() == ["torch", "torch"]
    assert done.stderr.count("plain torch") == 1
    assert "no C++ compiler on the PATH" in done.stderr
    assert not list(tmp_path.rglob("*.so"))


def test_building_ahead_says_what_came_of_it(tmp_path, monkeypatch, capsys, native):
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path))
    build.main()
    (library,) = tmp_path.rglob("*.so")
    assert capsys.readouterr().out == f"triangulation is compiled: {library}\n"
    monkeypatch.setenv("CXX", "")
    build.main()
    assert "runs on plain torch" in capsys.readouterr().out


def test_an_empty_cxx_turns_the_kernel_off(tmp_path):
    done = triangulate(CXX="", ABLATE_CACHE=str(tmp_path))
    assert done.stdout.split() == ["torch", "torch"]
    assert "CXX='' is no compiler" in done.stderr


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho cannot do that >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path))
    with pytest.raises(build.BuildError, match="cannot do that"):
        build.built_library()
    assert not list(tmp_path.rglob("*.so"))


def test_a_cache_that_cannot_be_written_is_no_kernel(tmp_path, monkeypatch, native):
    (tmp_path / "kernels").write_text("in the way")
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path))
    with pytest.raises(build.BuildError, match="cannot compile into"):
        build.built_library()


def test_what_was_built_is_not_built_again(tmp_path, monkeypatch, native):
    compiler = tmp_path / "counting"
    compiler.write_text('#!/bin/sh\necho run >> "$(dirname "$0")/runs"\nshift $(($# - 1))\necho library > "$1"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path))
    assert build.built_library() == build.built_library()
    assert (tmp_path / "runs").read_text() == "run\n"
    compiler.write_text(compiler.read_text() + "# a newer compiler\n")
    build.built_library()
    assert (tmp_path / "runs").read_text() == "run\nrun\n"
    assert len(list((tmp_path / "kernels").iterdir())) == 2


def test_edited_sources_are_refused_with_the_new_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SOURCE_DIGEST", "0" * 20)
    with pytest.raises(RuntimeError, match=f"set SOURCE_DIGEST in .* to '{build.source_digest()}'"):
        build.built_library()


def test_a_fork_amid_threads_triangulates(native):
    """Threads end with their call: a child process finds none that it would wait for."""
    from core.testing import ring_scene

    scene = ring_scene(4, 17, batch=2_000, dtype=torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        native.dlt(scene.projections, scene.points_px, None, "scene")
        child = os.fork()
        if child == 0:
            native.dlt(scene.projections, scene.points_px, None, "scene")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)
