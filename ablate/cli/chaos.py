"""`chaos`: does a study come out the same whatever is killed while it runs?"""

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from ablate.cli.output import JsonOption, print_json
from ablate.cli.places import Overrides, StudyFile, shown
from ablate.cli.planning import make_plan
from ablate.cli.running import NO_MIRROR, BackendName
from ablate.errors import ExitCode, Fault, StudyError

if TYPE_CHECKING:
    from ablate.run.chaos import Outcome

VICTIMS = ("workers", "driver", "nodes")

KillsOption = Annotated[int, typer.Option("--kills", min=1, help="How many processes are killed at least.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Decides the moments and the victims.")]
WhatOption = Annotated[
    str,
    typer.Option(
        "--what",
        metavar="LIST",
        help="Who is killed: `workers`, `driver`, `nodes`, with commas. With `nodes` trials run on a private cluster "
        "of two nodes and a head, and every node that is killed is replaced.",
    ),
]
ChaosBackendOption = Annotated[
    BackendName,
    typer.Option("--backend", help="As for `run`; with `local` trials run in the driver, which alone is killed."),
]
PointsOption = Annotated[
    bool, typer.Option("--fault-points", help="Also crash once at every step of the store's writes.")
]
IntervalOption = Annotated[
    float,
    typer.Option(
        "--checkpoint-interval",
        metavar="SECONDS",
        min=0.0,
        help="Least time between two checkpoints in the disturbed runs; short, so that trials do resume.",
    ),
]
ChaosMlflowOption = Annotated[
    bool, typer.Option("--mlflow/--no-mlflow", help="Whether each store gets an MLflow database, compared as well.")
]
KeepOption = Annotated[
    Path | None,
    typer.Option(
        "--keep",
        metavar="FOLDER",
        help="Keep stores and logs here; by default they are kept only where something differs.",
        show_default=False,
    ),
]


def chaos(
    study: StudyFile,
    overrides: Overrides = None,
    *,
    kills: KillsOption = 10,
    seed: SeedOption = 0,
    what: WhatOption = "workers,driver",
    backend: ChaosBackendOption = BackendName.RAY,
    fault_points: PointsOption = False,
    checkpoint_interval: IntervalOption = 0.5,
    mlflow: ChaosMlflowOption = True,
    keep: KeepOption = None,
    as_json: JsonOption = False,
) -> ExitCode:
    """Kill what runs a study, and show whether anything is lost.

    The study runs undisturbed, then while it is killed, in stores of its own, which are compared. Only processes that
    chaos started are killed. A difference says that a task does not save all of its state (exit code 3).
    """
    from ablate.run.chaos import Chaos, Settings, describe

    victims = _victims(what, backend)
    plan = make_plan(study, overrides or [], yes=True)
    folder = _folder(keep)
    more = () if mlflow else ("--mlflow", NO_MIRROR)
    settings = Settings(
        arguments=("run", str(study), *(overrides or []), "--backend", backend.value, "--yes", *more),
        num_kills=kills,
        seed=seed,
        what=victims,
        interval_s=checkpoint_interval,
        points=".*" if fault_points else None,
        folder=folder,
    )
    is_equal = False
    try:
        with _ended_like_by_ctrl_c():
            outcome = Chaos(plan, settings, partial(print, file=sys.stderr, flush=True)).run()
        is_equal = not outcome.differences
    finally:
        if keep is None and is_equal:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"stores and logs: {shown(folder)}", file=sys.stderr, flush=True)
    if as_json:
        print_json(_content(outcome))
    else:
        print(*describe(outcome), sep="\n")
        for difference in outcome.differences:
            print(f"DIFFERENT {difference}", file=sys.stderr)
    return outcome.exit_code


def _victims(text: str, backend: BackendName) -> tuple[str, ...]:
    given = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    wrong = [part for part in given if part not in VICTIMS]
    if wrong:
        message = f"--what: expected `workers`, `driver`, `nodes`, or some of them with commas, got {wrong[0]!r}"
        raise StudyError([Fault(message=message)])
    if backend is BackendName.RAY:
        return given
    if "nodes" in given:
        raise StudyError([Fault(message="--what nodes: --backend local uses no cluster; use --backend ray")])
    if "driver" not in given:
        message = "--what workers: with --backend local trials run in the driver; use --backend ray, or --what driver"
        raise StudyError([Fault(message=message)])
    return ("driver",)


def _folder(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="ablate-chaos-"))
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise StudyError([Fault(message="--keep: expected a new or an empty folder", path=keep)])
    keep.mkdir(parents=True, exist_ok=True)
    return keep.absolute()


@contextmanager
def _ended_like_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end what was started, as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    kept = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


def _content(outcome: "Outcome") -> dict[str, object]:
    return {
        "is_equal": not outcome.differences,
        "differences": outcome.differences,
        "num_trials": outcome.num_trials,
        "num_finished": outcome.num_finished,
        "undisturbed_s": outcome.undisturbed_s,
        "kills": [
            {"what": kill.what, "at_s": kill.at_s, "lost_s": kill.lost_s, "first_step_s": kill.first_step_s}
            for kill in outcome.kills
        ],
        "rounds": [
            {"seconds": one.seconds, "num_starts": one.num_starts, "num_attempts": one.num_attempts}
            for one in outcome.rounds
        ],
        "leftovers": [name for one in outcome.rounds for name in one.leftovers],
        "points": outcome.points,
        "points_left": outcome.points_left,
    }
