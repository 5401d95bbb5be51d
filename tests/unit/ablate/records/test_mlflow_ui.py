"""The links to MLflow's page, and the server over the store."""

import json
import re
import socket
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from ablate.errors import AblateError
from ablate.records import mlflow_app
from ablate.records.mlflow import MlflowMirror
from ablate.records.mlflow_client import default_tracking_uri
from ablate.records.mlflow_sync import sync_study
from ablate.records.mlflow_ui import comparison_url, find_study, runs_url, serve, study_links

ROOT = Path(__file__).parents[4]


def test_the_comparison_link_names_runs_and_experiment_percent_encoded():
    url = comparison_url("http://127.0.0.1:5000/", "4", ["id1", "id2"])
    assert url == (
        "http://127.0.0.1:5000/#/compare-runs?runs=%5B%22id1%22%2C%22id2%22%5D&experiments=%5B%224%22%5D"
        "&workflowType=machine_learning"
    )
    query = parse_qs(urlsplit(url).fragment.partition("?")[2])
    assert json.loads(query["runs"][0]) == ["id1", "id2"]


def test_the_runs_link_opens_the_classic_table():
    assert runs_url("http://h:1", "4") == "http://h:1/#/experiments/4/runs?workflowType=machine_learning"


def test_a_study_that_was_never_mirrored_has_no_link(store):
    (line,) = study_links("http://h:1", default_tracking_uri(store.root), "weights")
    assert line == "weights has no runs in MLflow yet: `ablate run` mirrors them"


def test_the_comparison_takes_only_the_runs_of_the_current_plan(store, make_plan, worker):
    """Quick and standard runs share the experiment."""
    quick, standard = make_plan(), make_plan(scale="standard", seeds=(2, 3, 4))
    uri = default_tracking_uri(store.root)
    for plan in (quick, standard):
        for trial in plan.trials:
            if store.record(trial.spec.id) is None:
                worker.carry_out(trial)
        sync_study(plan, store, uri, description=None)
    (_, compare) = study_links("http://h:1", uri, "weights", standard.specs)
    query = parse_qs(urlsplit(compare.split()[-1]).fragment.partition("?")[2])
    assert tuple(json.loads(query["runs"][0])) == find_study(uri, "weights", standard.specs).run_ids
    assert len(find_study(uri, "weights", standard.specs).run_ids) == 6
    assert len(find_study(uri, "weights").run_ids) == 10
    assert find_study(uri, "weight") is None


def test_a_configured_server_is_only_named(store):
    said = []
    serve(store.root, "https://mlflow.example.org", say=said.append)
    assert said == ["MLflow is at https://mlflow.example.org"]


def test_a_taken_port_is_refused(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AblateError, match="choose another --port"):
            serve(store.root, port=taken.getsockname()[1])


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The package's own entry point, also where it was installed before it had one."""
    folder = tmp_path / "plugin" / "ablate_ui-0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ablate-ui\nVersion: 0\n")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["mlflow.app"]
    (folder / "entry_points.txt").write_text(
        "[mlflow.app]\n" + "".join(f"{name} = {value}\n" for name, value in declared.items())
    )
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("PYTHONPATH", f"{folder.parent}:{ROOT}")


@pytest.mark.usefixtures("plugin")
def test_the_server_answers_and_ends_with_the_interrupt(store, make_plan, worker):
    """The line that leads to the comparison is the last thing before it waits: there the user presses Ctrl-C."""
    plan = make_plan()
    worker.carry_out(plan.trials[1])
    MlflowMirror(plan, store, None).close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said, pages = [], []

    def say(line):
        said.append(line)
        if "compare" in line:
            pages.append(urlopen(f"http://127.0.0.1:{port}/").read().decode())
            raise KeyboardInterrupt

    serve(store.root, study="weights", trial_ids=plan.specs, port=port, say=say)
    assert said[0] == f"MLflow is at http://127.0.0.1:{port} (end with Ctrl-C)"
    assert said[-1] == "MLflow ended"
    assert pages[0].count("localStorage.setItem") == 1
    assert "<title>MLflow</title>" in pages[0]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_browser_is_told_that_the_assistant_was_open_already():
    """The flag is MLflow's own: were it called otherwise in the installed version, the pane would be back."""
    import mlflow

    scripts = Path(mlflow.__file__).parent.joinpath("server", "js", "build", "static", "js").glob("main.*.js")
    key = re.search(r'"(mlflow\.assistant\.[\w.]+)_v1"', mlflow_app.SCRIPT)[1]
    assert any(f'key:"{key}",version:1,' in path.read_text() for path in scripts)
