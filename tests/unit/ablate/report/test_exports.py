"""The report as data: rows, keys, and what a number that is not there becomes."""

import csv
import io
import json
import math
from dataclasses import replace

import pytest

from ablate.report.build import write_report
from ablate.study.model import Adaptive
from ablate.trial import Status


def rows(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


@pytest.fixture
def gappy(make_plan, finish_trial, store):
    """A study whose last three trials: finished with a number that is none, failed, never run."""
    plan = make_plan()
    for trial in plan.trials[:-3]:
        finish_trial(trial)
    finish_trial(plan.trials[-3], metrics={"multiview/mpjpe": math.nan, "multiview/kept": 1.0, "singleview/mpjpe": 2.0})
    finish_trial(plan.trials[-2], status=Status.FAILED, metrics={}, error="ValueError: loss is NaN")
    return plan


def test_results_have_a_row_per_arm_metric_and_seed(plan, store):
    found = rows(write_report(plan, store).results)
    assert len(found) == 3 * 3 * 3
    first = found[0]
    assert (first["study"], first["scale"], first["arm"], first["metric"], first["seed"]) == (
        "weights", "quick", "ours", "multiview/mpjpe", "0",
    )  # fmt: skip
    assert (first["trial_id"], first["status"]) == (plan.trials[1].spec.id, "finished")
    assert float(first["value"]) == store.record(plan.trials[1].spec.id).metrics["multiview/mpjpe"]


def test_a_missing_number_keeps_its_row_and_says_how_the_trial_stands(gappy, store):
    found = [row for row in rows(write_report(gappy, store).results) if row["metric"] == "multiview/mpjpe"][-3:]
    assert [(row["value"], row["status"]) for row in found] == [("", "finished"), ("", "failed"), ("", "not run")]


def test_contrasts_have_both_intervals_and_the_paper(plan, store):
    found = {(row["metric"], row["arm"]): row for row in rows(write_report(plan, store).contrasts)}
    assert len(found) == 6
    row = found["multiview/mpjpe", "without weights"]
    assert (row["reference"], row["n"], row["method"], row["verdict"]) == ("ours", "3", "t", "worse")
    assert float(row["low"]) < float(row["bca_low"]) < float(row["difference"]) < float(row["high"])
    assert (row["paper_difference"], row["paper_claim"], row["agreement"]) == ("13.6", "+", "same sign")
    assert found["multiview/mpjpe", "learned weights"]["contradicted"] == "yes"


def test_the_json_says_everything(gappy, store):
    found = json.loads(write_report(gappy, store).data.read_text())
    assert found["schema"] == 1
    assert found["study"]["name"] == "weights"
    assert (found["scale"], found["plan"]["finished"], found["plan"]["trials"]) == ("quick", 8, 10)
    assert found["estimates"]["multiview/mpjpe"]["ours"]["n"] == 3
    contrast = found["contrasts"]["multiview/mpjpe"][0]
    assert (contrast["arm"], contrast["interval"]["method"]) == ("without weights", "t")
    assert contrast["paper"]["delta"] == 13.6
    assert len(contrast["differences"]) == 3
    assert {gap["reason"] for gap in found["gaps"]} == {"it is nan", "failed: ValueError: loss is NaN", "not run"}
    assert found["paper"]["values"]["Ours"] == {"mv": 66.9, "sv": 104.4}
    assert found["versions"]["libraries"] == {"python": ["3.11.4"], "torch": ["2.13.0"]}


def test_a_number_that_json_lacks_becomes_text(plan, store):
    content = write_report(replace(plan, configuration={"method": {"limit": math.inf}}), store)
    assert json.loads(content.data.read_text())["configuration"] == {"method": {"limit": "inf"}}


def test_the_summary_is_what_a_list_shows(gappy, store):
    found = json.loads(write_report(gappy, store).summary.read_text())
    assert (found["study"], found["title"], found["paper"]) == ("weights", "Weighting <the> views", "roy/table3")
    assert (found["scale"], found["num_finished"], found["num_trials"]) == ("quick", 8, 10)
    assert found["metric"] == "multiview/mpjpe"
    assert found["verdict"] == "1 of 2 worse, 1 undecided (multiview/mpjpe)"
    assert list(found["verdicts"]) == ["multiview/mpjpe", "singleview/mpjpe"]


def test_seeds_that_adaptive_replication_did_not_ask_for_are_not_missing(make_plan, finish_trial, store):
    adaptive = Adaptive(min=4, max=8, step=1, metric="multiview/mpjpe")
    plan = make_plan(num_seeds=8, adaptive=adaptive)
    for trial in plan.trials:
        if trial.spec.seed is None or trial.spec.seed < 4:
            finish_trial(trial)
    files = write_report(plan, store)
    states = [row["status"] for row in rows(files.results) if row["metric"] == "multiview/mpjpe"]
    assert states.count("finished") == 12
    assert states.count("not needed") > 0
    content = files.content
    assert "n = 4, adaptive within 4 to 8 seeds per arm, 12 of at most 24 trials used" in content.caption
    assert "seeds 5 to 7" not in files.markdown.read_text()
    assert "confidence sequence" in files.markdown.read_text()
