"""The reports as files: what is written where, and that the page stands on its own."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from ablate.errors import StudyError
from ablate.report.build import write_markdown, write_report
from ablate.report.terminal import summary_table
from ablate.study.model import Curve
from ablate.trial import Status

VOID = {"meta", "link", "br", "img"}


class Balanced(HTMLParser):
    """Fails on a tag that is not closed, and collects what would be fetched and the text that is shown."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [
            value for name, value in attrs if name in ("src", "href") and not value.startswith(("#", "data:"))
        ]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def page(plan, store):
    return write_report(plan, store).html.read_text()


def test_reports_lie_in_the_studys_folder(plan, store):
    files = write_report(plan, store)
    folder = store.root / "studies" / "weights"
    assert (files.markdown, files.html) == (folder / "report.md", folder / "report.html")
    names = ["report.md", "report.html", "report.tex", "table.tex", "results.csv", "contrasts.csv", "report.json"]
    assert files.files == (*(folder / name for name in names), *files.figures)
    assert all(path.is_file() for path in (*files.files, folder / "summary.json"))
    assert files.figures == (folder / "figures" / "error_in_training.svg",)
    assert "](figures/error_in_training.svg)" in files.markdown.read_text()
    assert files.result_table.count("| **ours** (reference)") == 2


def test_a_report_is_the_same_each_time(plan, store):
    first = write_report(plan, store)
    texts = [path.read_text() for path in first.files]
    assert [path.read_text() for path in write_report(plan, store).files] == texts


def test_a_kept_markdown_report_has_its_figures_in_a_folder_of_its_name(plan, store, tmp_path):
    written = write_markdown(plan, store, tmp_path / "results" / "weights.md")
    assert written == (tmp_path / "results" / "weights.md", tmp_path / "results" / "weights" / "error_in_training.svg")
    assert "](weights/error_in_training.svg)" in written[0].read_text()


def test_the_page_is_whole_and_fetches_nothing(page):
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.fetched == []
    written = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|http-equiv', "", written)
    assert "default-src 'none'" in page


def test_plotly_is_inside_where_there_is_something_to_move_about_in(make_plan, store, page):
    assert len(page) > 3_000_000
    assert "Plotly.react" in page
    still = write_report(make_plan(curves=()), store).html.read_text()
    assert "<script" not in still
    assert len(still) < 100_000


def test_the_script_reads_the_lines_that_the_drawing_shows(page, plan):
    found = re.search(r'<script type="application/json" id="plots">(.*?)</script>', page)
    (figure,) = json.loads(found.group(1))["figures"]
    (panel,) = figure["panels"]
    assert [line["label"] for line in panel["lines"]] == [arm.name for arm in plan.study.arms]
    line = panel["lines"][0]
    assert line["x"] == list(range(0, 100, 10))
    assert all(low < mean < high for low, mean, high in zip(line["low"], line["y"], line["high"], strict=True))


def test_names_stay_text_in_the_scripts_data(make_plan, make_study, finish_trial, store):
    arms = make_study().arms[:2]
    plan = make_plan(arms=(arms[0], replace(arms[1], name="</script><b>x</b>")))
    for trial in plan.trials:
        finish_trial(trial)
    page = write_report(plan, store).html.read_text()
    assert "</script><b>" not in page
    assert "&lt;/script&gt;&lt;b&gt;x&lt;/b&gt;" in page


def test_the_page_escapes_what_the_study_says(page):
    assert "Weighting &lt;the&gt; views" in page
    assert "<strong>prevent damage</strong>" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_page_shows_table_contrasts_paper_and_curves(page):
    parser = Balanced()
    parser.feed(page)
    text = " ".join(" ".join(parser.text).split())
    for said in (
        "quick scale, method=toy, data=court_sim; n = 3, seeds 0 to 2",
        "All 10 trials finished.",
        "without weights is worse than ours",
        "the paper has +13.6, same sign",
        "+21.4 (!)",
        "multiview/kept: difference to ours [percent], higher is better",
        "torch 2.13.0",
        "15 min 0 s",
    ):
        assert said in text
    assert '<circle class="claim"' in page
    assert 'aria-label="Error in training"' in page


def test_drawings_on_the_page_follow_its_colours_and_keep_their_ids_apart(make_plan, finish_trial, store):
    curve = Curve(title="Error in training", metrics=("multiview/mpjpe",), unit="mm")
    plan = make_plan(curves=(curve, Curve(title="The same again", metrics=curve.metrics, log=True)))
    for trial in plan.trials:
        finish_trial(trial)
    drawings = re.findall(r"<svg role=.*?</svg>", write_report(plan, store).html.read_text(), flags=re.DOTALL)
    ids = [set(re.findall(r'\bid="([^"]+)"', drawing)) for drawing in drawings]
    assert len(ids) == 2
    assert not ids[0] & ids[1]
    for drawing, found in zip(drawings, ids, strict=True):
        ElementTree.fromstring(drawing)
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawing)) <= found
        assert "#1b1c1f" not in drawing
        assert "currentColor" in drawing


def test_a_study_without_points_draws_nothing(make_plan, store):
    files = write_report(make_plan(), store)
    assert files.figures == ()
    assert "## Curves" not in files.markdown.read_text()


def test_what_is_missing_is_named_with_its_log(make_plan, finish_trial, store):
    plan = make_plan()
    for trial in plan.trials[:-2]:
        finish_trial(trial)
    finish_trial(plan.trials[-2], status=Status.FAILED, metrics={}, error="Traceback\nValueError: loss is NaN")
    text = write_report(plan, store).markdown.read_text()
    log = f"log: trials/{plan.trials[-2].spec.id}/log.txt"
    assert "8 of 10 trials finished" in text
    assert f"- learned weights seed 1: failed: ValueError: loss is NaN ({log})" in text
    assert "- learned weights seed 2: not run\n" in text
    assert "- learned weights and ours: only one of the two has seed 1, 2, which takes no part (every metric)" in text


def test_a_plan_of_which_nothing_ran_gives_a_report(make_plan, store):
    text = write_report(make_plan(), store).markdown.read_text()
    assert "0 of 10 trials finished" in text
    assert "- without weights seeds 0 to 2: not run" in text
    assert "- detector: not run" in text


def test_a_table_the_paper_does_not_have_is_refused(make_plan, store):
    with pytest.raises(StudyError, match="unknown table of roy: 'table9'"):
        write_report(make_plan(paper="roy/table9"), store)


def test_a_study_of_one_arm_draws_its_metrics_as_lines(make_plan, make_study, finish_trial, store):
    arms = make_study().arms[:1]
    curve = Curve(title="Both", metrics=("multiview/mpjpe", "absent"))
    plan = make_plan(arms=arms, curves=(curve,))
    for trial in plan.trials:
        finish_trial(trial)
    content = write_report(plan, store).content
    assert [line.label for panel in content.curves[0].panels for line in panel.lines] == ["multiview/mpjpe"]
    assert summary_table(content.analysis).row_count == 1


def test_a_curve_draws_the_arms_it_names(make_plan, make_study, finish_trial, store):
    chosen = tuple(arm.name for arm in make_study().arms[:2])
    plan = make_plan(curves=(Curve(title="Two", metrics=("multiview/mpjpe",), arms=chosen),))
    for trial in plan.trials:
        finish_trial(trial)
    (panel,) = write_report(plan, store).content.curves[0].panels
    assert tuple(line.label for line in panel.lines) == chosen


def test_a_band_is_the_interval_over_seeds(plan, store):
    line = write_report(plan, store).content.curves[0].panels[0].lines[0]
    assert (line.label, line.num_seeds, line.steps) == ("ours", 3, tuple(range(0, 100, 10)))
    assert all(low < mean < high for low, mean, high in zip(line.low, line.mean, line.high, strict=True))


def test_a_study_without_randomness_speaks_of_no_seeds_and_no_p(make_plan, finish_trial, store):
    plan = make_plan(num_seeds=1)
    trials = tuple(replace(trial, spec=replace(trial.spec, seed=None)) for trial in plan.trials)
    plan = replace(plan, trials=trials)
    for trial in plan.trials:
        finish_trial(trial)
    text = write_report(plan, store).markdown.read_text()
    assert "n = 1, the task takes no seed" in text
    assert re.search(r"without weights is worse than ours, \+1\d\.\d+ mm \(deterministic: no seed\)", text)
    assert "Nothing is random" in text
    assert "Holm-adjusted" not in text
