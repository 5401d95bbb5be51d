"""The links to MLflow's page, and the server over the store."""

import json
import socket
from urllib.parse import parse_qs, urlsplit

import pytest

from ablate.errors import AblateError
from ablate.records.mlflow import MlflowMirror, default_tracking_uri
from ablate.records.mlflow_ui import comparison_url, runs_url, serve, study_links


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
    store.root.mkdir(parents=True)
    (line,) = study_links("http://h:1", default_tracking_uri(store.root), "weights")
    assert line == "weights has no runs in MLflow yet: `ablate run` mirrors them"


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


def test_the_server_answers_and_ends_with_the_interrupt(store, make_plan, worker):
    """The line that leads to the comparison is the last thing before it waits: there the user presses Ctrl-C."""
    plan = make_plan()
    worker.carry_out(plan.trials[1])
    MlflowMirror(plan, store, None).close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = []

    def say(line):
        said.append(line)
        if "compare" in line:
            raise KeyboardInterrupt

    serve(store.root, study="weights", port=port, say=say)
    assert said[0] == f"MLflow is at http://127.0.0.1:{port} (end with Ctrl-C)"
    assert said[-1] == "MLflow ended"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
