"""What a task expects of whoever runs it, and a stand-in that makes every task callable from a notebook."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
@runtime_checkable
class Trial(Protocol):
    """The running trial, as a task sees it (structural: the platform's object need not derive from this)."""

    @property
    def inputs(self) -> Mapping[str, Path]:
        """Artifact folder of each stage this trial needs."""
        ...

    @property
    def device(self) -> str:
        """Where to compute: `cpu`, `cuda`, `cuda:1`."""
        ...

    @property
    def workers(self) -> int:
        """Size of the group of workers; 1 where the trial runs alone."""
        ...

    def restore(self) -> dict[str, Any] | None:
        """Give the state of the last checkpoint, or nothing."""
        ...

    def report(
        self, step: int, metrics: Mapping[str, float], *, state: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        """Give one point of the curves; `state` is called only when a checkpoint is due.

        Raises whatever stops the trial (pruned, or its machine is about to go): let it pass.
        """
        ...

    def artifact(self, name: str) -> Path:
        """Give the path at which to write a file that belongs to the trial."""
        ...


class Standalone:
    """A trial of nobody: keeps files in `folder`, remembers reports, never stops."""

    def __init__(self, folder: Path, inputs: Mapping[str, Path] | None = None, device: str = "cpu") -> None:
        self.folder = folder
        self.inputs: Mapping[str, Path] = inputs or {}
        self.device = device
        self.workers = 1
        self.reports: list[tuple[int, dict[str, float]]] = []

    def restore(self) -> dict[str, Any] | None:
        """Give nothing: a stand-alone run starts anew."""
        return None

    def report(
        self, step: int, metrics: Mapping[str, float], *, state: Callable[[], dict[str, Any]] | None = None
    ) -> None:
        """Remember the point."""
        self.reports.append((step, dict(metrics)))

    def artifact(self, name: str) -> Path:
        """Give a path in the folder, which is made if need be."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@runtime_checkable
@runtime_checkable
class Fingerprinted(Protocol):
    """A configuration that points at data outside its own values says what is there.

    The platform calls `fingerprint` on every dataclass among a task's parameters that has it, before anything starts;
    the answer becomes part of the trial's id.
    """

    def fingerprint(self) -> str:
        """Identify the content, cheaply (names, sizes, a published checksum).

        Raises:
            FileNotFoundError: The data are not there; the text says where they were looked for and what to do.
        """
        ...
