"""The named steps of the store's writes: those that runs met, and those at which one has crashed."""

import os
import re
from pathlib import Path

from ablate.run import crash_points

_LOADER = "import ablate.run.crash_points as points\n\npoints.install()\n"


class FaultPoints:
    """What `crash_points` notes in the processes of several runs.

    Args:
        folder: For the loader and the lists.
        pattern: A regular expression; steps of other names are left out.
    """

    def __init__(self, folder: Path, pattern: str = ".*") -> None:
        self._pattern = pattern
        self._loader = folder / "loader"
        self._listed, self._crashed = folder / "steps.txt", folder / "crashed.txt"
        self._loader.mkdir(parents=True)
        (self._loader / "sitecustomize.py").write_text(_LOADER, encoding="utf-8")

    def listing(self, store: Path, path: str) -> dict[str, str]:
        """Give the environment of a run that only lists the steps that it meets."""
        python_path = f"{self._loader}{os.pathsep}{path}" if path else str(self._loader)
        return {
            "PYTHONPATH": python_path,
            crash_points.STORE: str(store),
            crash_points.LISTED: str(self._listed),
        }

    def crashing(self, store: Path, path: str) -> dict[str, str]:
        """Give the environment of a run that crashes at each step at which none did before."""
        return {
            **self.listing(store, path),
            crash_points.CRASHED: str(self._crashed),
            crash_points.PATTERN: self._pattern,
        }

    def names(self) -> list[str]:
        """Give all steps that were listed, in the order in which they were first met."""
        return [name for name in _lines(self._listed) if re.fullmatch(self._pattern, name)]

    def met(self) -> list[str]:
        """Give the steps at which a process crashed."""
        return _lines(self._crashed)

    def left(self) -> list[str]:
        """Give the steps at which none did."""
        met = set(self.met())
        return [name for name in self.names() if name not in met]


def _lines(path: Path) -> list[str]:
    """Give the distinct lines of a file, in order; several processes may have met the same step at once."""
    try:
        return list(dict.fromkeys(path.read_text(encoding="utf-8").splitlines()))
    except FileNotFoundError:
        return []
