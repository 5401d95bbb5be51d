"""The page in a real browser: its figures are drawn, nothing complains, and nothing is asked of a network."""

import re
import shutil
import subprocess

import pytest

from ablate.report.build import write_report

BROWSER = next((name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None)
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=8000 --enable-logging=stderr --v=0 --dump-dom"
).split()


@pytest.fixture
def opened(plan, store, tmp_path):
    """The page as the browser has it, with what it logged."""
    page = write_report(plan, store).html
    command = [str(BROWSER), *OPTIONS, "--window-size=1280,6000", f"--user-data-dir={tmp_path / 'browser'}"]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine")
def test_plotly_draws_every_figure_without_a_complaint(opened, plan):
    page, log = opened
    assert "CONSOLE" not in log
    assert page.count('class="drawn is-live"') == 1
    drawn = page[page.index('class="live') : page.index('class="static')]
    assert "main-svg" in drawn
    for arm in plan.study.arms:
        assert re.search(rf'class="legendtext"[^>]*>{arm.name}<', drawn)
