"""What importing the packages and answering quick questions may load, each in a fresh interpreter; and the floors."""

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATFORM_LIBRARIES = ("ray", "mlflow", "optuna", "hydra", "omegaconf")
HEAVY = (*PLATFORM_LIBRARIES, "torch", "pandas", "scipy", "matplotlib")
REPORT = "; import json, sys; print(json.dumps([sorted({name.split('.')[0] for name in sys.modules}), here]))"


def loaded_by(code: str, *, here: str = "None") -> tuple[set[str], str]:
    """Run code in a fresh interpreter; give the top-level packages that are loaded then, and the value of `here`."""
    command = [sys.executable, "-c", f"{code}; here = {here}{REPORT}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT.parent)
    names, value = json.loads(done.stdout.splitlines()[-1])
    return set(names), value


def modules_of(package: str) -> Iterable[str]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_core_is_this_projects_own() -> None:
    _, path = loaded_by("import core", here="core.__file__")
    assert Path(path) == ROOT / "core" / "__init__.py"


def test_no_module_of_core_loads_a_library_of_the_platform() -> None:
    loaded, _ = loaded_by(f"import {', '.join(modules_of('core'))}")
    assert "torch" in loaded
    assert not loaded.intersection([*PLATFORM_LIBRARIES, "ablate"])


def test_importing_ablate_loads_nothing_heavy() -> None:
    loaded, _ = loaded_by("import ablate")
    assert not loaded.intersection(HEAVY)


def test_every_module_of_the_platform_but_the_doors_to_ray_and_optuna_loads_without_the_libraries() -> None:
    doors = (
        *("ablate.backends.ray_driver", "ablate.backends.ray_nodes", "ablate.backends.ray_trainable"),
        *("ablate.search.optuna", "ablate.search.optuna_importance", "ablate.search.optuna_mirror"),
    )
    loaded, _ = loaded_by(f"import {', '.join(name for name in modules_of('ablate') if name not in doors)}")
    assert "rich" in loaded
    assert not loaded.intersection([*PLATFORM_LIBRARIES, "core"])


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["list"], ["status", "other"]])
def test_quick_questions_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['ablate', *{arguments!r}]\n"
        "from ablate.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "pass"
    )
    loaded, _ = loaded_by(code)
    assert "typer" in loaded
    assert not loaded.intersection(HEAVY)


def test_imports_point_downwards_and_the_heavy_libraries_have_one_door() -> None:
    # In a process of its own: the linter sets up logging, and mutes every logger that stood before.
    check = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", check], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
