"""MLflow's own page over the right store, and the links that open a study's runs there."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

from ablate.errors import AblateError
from ablate.records.mlflow_app import APP_NAME
from ablate.records.mlflow_client import Tracking, default_tracking_uri
from ablate.records.mlflow_content import TRIAL_TAG

_START_SECONDS = 90.0
_POLL_SECONDS = 0.25
_MAX_COMPARED = 100
_CLASSIC = "workflowType=machine_learning"  # else the page opens in its GenAI mode


def comparison_url(base: str, experiment_id: str, run_ids: Sequence[str]) -> str:
    """Give the link to MLflow's page that compares runs side by side."""
    runs, experiments = (quote(json.dumps(list(ids), separators=(",", ":"))) for ids in (run_ids, [experiment_id]))
    return f"{base.rstrip('/')}/#/compare-runs?runs={runs}&experiments={experiments}&{_CLASSIC}"


def runs_url(base: str, experiment_id: str) -> str:
    """Give the link to the classic table of an experiment's runs."""
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{_CLASSIC}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredStudy:
    """Where a study is in MLflow: its experiment and the runs of its arms, in the order of the arms and seeds."""

    experiment_id: str
    run_ids: tuple[str, ...]


def find_study(tracking_uri: str, name: str, trial_ids: Collection[str] | None = None) -> MirroredStudy | None:
    """Look a study up, or give nothing if it was never mirrored there.

    Args:
        tracking_uri: A server or database.
        name: The study's name.
        trial_ids: The trials of its current plan: runs of other scales and versions share the experiment. By default
            all runs are given.
    """
    tracking = Tracking(tracking_uri)
    experiment_id = tracking.find_experiment(name)
    if experiment_id is None:
        return None
    runs = [run for run in tracking.runs(experiment_id) if run.tags.get("role") == "arm"]
    if trial_ids is not None:
        runs = [run for run in runs if run.tags.get(TRIAL_TAG) in trial_ids]
    # Trials start in the order of the plan, the reference first: so do the arms here.
    starts: dict[str, int] = {}
    for run in sorted(runs, key=lambda run: run.start_ms):
        starts.setdefault(run.tags.get("arm", ""), run.start_ms)
    runs.sort(key=lambda run: (starts[run.tags.get("arm", "")], int(run.tags.get("seed", "0"))))
    return MirroredStudy(experiment_id=experiment_id, run_ids=tuple(run.run_id for run in runs))


def study_links(base: str, tracking_uri: str, study: str, trial_ids: Collection[str] | None = None) -> list[str]:
    """Write the lines that lead to a study's runs, or to what to do where it has none.

    Args:
        base: Address of the page.
        tracking_uri: A server or database.
        study: The study's name.
        trial_ids: Those whose runs are compared (`plan.specs`); by default all of the study's.
    """
    found = find_study(tracking_uri, study, trial_ids)
    if found is None or not found.run_ids:
        return [f"{study} has no runs in MLflow yet: `ablate run` mirrors them"]
    compared = found.run_ids[:_MAX_COMPARED]
    return [
        f"{study}: runs     {runs_url(base, found.experiment_id)}",
        f"{study}: compare  {comparison_url(base, found.experiment_id, compared)}",
    ]


def serve(
    store_root: Path,
    tracking_uri: str | None = None,
    study: str | None = None,
    *,
    trial_ids: Collection[str] | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
    say: Callable[[str], None] = print,
) -> None:
    """Start MLflow's server over the store and keep it until Ctrl-C or SIGTERM; a configured server is only linked to.

    Args:
        store_root: Root of the store, for its own MLflow.
        tracking_uri: A server or database; `None` is the store's own.
        study: Whose runs to link to.
        trial_ids: Those of its trials that the comparison shows (`plan.specs`); by default all.
        host: Address to listen on.
        port: Port to listen on.
        say: Where lines for the user go.

    Raises:
        AblateError: The port is taken, or the server did not start.
    """
    uri = tracking_uri or default_tracking_uri(store_root.absolute())
    if uri.startswith(("http://", "https://")):
        say(f"MLflow is at {uri}")
        _say_links(say, uri, uri, study, trial_ids)
        return
    _check_port(host, port)
    base = f"http://{host}:{port}"
    child = _start(uri, store_root.absolute(), host, port)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _wait_until_up(child, base)
        say(f"MLflow is at {base} (end with Ctrl-C)")
        _say_links(say, base, uri, study, trial_ids)
        child.wait()
    except KeyboardInterrupt:
        say("MLflow ended")
    finally:
        signal.signal(signal.SIGTERM, before)
        _end(child)


def _say_links(
    say: Callable[[str], None], base: str, uri: str, study: str | None, trial_ids: Collection[str] | None
) -> None:
    for line in study_links(base, uri, study, trial_ids) if study else []:
        say(line)


def _start(uri: str, root: Path, host: str, port: int) -> subprocess.Popen[bytes]:
    """Start the server as a child in a session of its own, so that Ctrl-C reaches it through us alone."""
    artifacts = (root / "mlflow-artifacts").as_uri()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--artifacts-destination",
        artifacts,
    ]
    # An installation older than the plugin has a server without it, that only opens its assistant at first.
    plugin = ["--app-name", APP_NAME] if entry_points(group="mlflow.app", name=APP_NAME) else []
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # its seven idle job processes serve GenAI evaluation only
    return subprocess.Popen(
        [*command, *plugin, "--host", host, "--port", str(port), "--workers", "1"],
        env={**os.environ, **quiet, **lean},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AblateError(
                f"{host}:{port} cannot be listened on ({error.strerror}): choose another --port"
            ) from error


def _wait_until_up(child: subprocess.Popen[bytes], base: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise AblateError(f"MLflow's server ended with code {child.returncode}; `mlflow server` alone says why")
        try:
            with urlopen(f"{base}/health", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise AblateError(f"MLflow's server did not answer at {base} within {_START_SECONDS:.0f} s")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the server and the workers it started: they share its process group, which has its pid."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=10)
    except ProcessLookupError:
        pass
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
